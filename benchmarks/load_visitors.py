"""Who comes to a server under load: browsers, programs, somebody who hides parts by hand, and strangers.

Each waits where the server says so (429 and 503 with Retry-After), and goes on afterwards as people do.
"""

from __future__ import annotations

import html
import random
import re
import secrets
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gevent
from locust import FastHttpUser, between, task
from urllib3.filepost import encode_multipart_formdata

from benchmarks.load_ledger import AGAIN, Accepted, Ledger

ID = r"[0-9a-f]{32}"
LOOK_SECONDS = 0.7  # as the page of a run does
PATIENCE = 900.0  # seconds; a run that is watched for so long is left to the reckoning
TRIES = 60
UNFINISHED = ("queued", "running")
Work = tuple[str, Callable[[], dict[str, Any]]]


WORK: list[Work] = [  # with settings that are seldom twice the same, and that a model for 28 x 28 pixels takes too
    ("class-probabilities", lambda: {"classes": random.randint(1, 10)}),
    ("occlusion", lambda: {"window": random.randint(16, 28), "stride": random.randint(14, 28)}),
    ("saliency", lambda: {"method": random.choice(("gradient", "gradient x input"))}),
    ("saliency", lambda: {"method": "SmoothGrad", "samples": random.randint(4, 8), "seed": _seed()}),
    ("class-activation", lambda: {"method": random.choice(("Grad-CAM", "Grad-CAM++", "LayerCAM"))}),
    ("feature-maps", lambda: {"channels": random.randint(1, 24)}),
    ("random-masks", lambda: {"masks": random.randint(40, 80), "seed": _seed()}),
    ("what-if", lambda: {"region": _region()}),
]


def _seed() -> int:
    return random.randrange(1_000_000)


def _region() -> str:
    left, top, width, height = (random.randint(1, 14) for _ in range(4))
    return f"{left},{top},{width},{height}"


class Visitor(FastHttpUser):
    """Asks, counts the answers, and asks again where the server says when."""

    abstract = True
    wait_time = between(0.5, 3)
    ledger: Ledger  # of all visitors
    good: list[Path]
    bad: list[Path]

    def on_start(self) -> None:
        """Nobody knows the visitor yet."""
        self.bearer: dict[str, str] = {}
        self.mine: list[str] = []

    def leave(self) -> None:
        """Comes back as somebody else; what was made stays on the server."""
        self.client.cookiejar.clear()
        self.on_start()

    def ask(
        self, method: str, path: str, what: str, expected: Collection[int] = (200,), again: bool = True, **sent: Any
    ) -> Any:
        """An answer with one of the expected statuses, however often it has to be asked for.

        Args:
            what: the kind of request, which figures are told of.
            again: whether to try again where the server is busy; else that answer is given, too.

        Raises:
            GivenUp: there is none; that is noted.
        """
        sent["headers"] = self.bearer | sent.get("headers", {})
        for _ in range(TRIES):
            start = time.perf_counter()
            with self.client.request(
                method, path, name=what, catch_response=True, allow_redirects=False, **sent
            ) as answer:
                status, later = answer.status_code, (answer.headers or {}).get("Retry-After")
                self.ledger.answered(what, status, 1000 * (time.perf_counter() - start))
                if status in expected:
                    answer.success()
                    return answer
                if status not in AGAIN or not later:
                    answer.failure(f"status {status}")
                    self.ledger.fault(f"{what}: {status or answer.error} {_sentence(answer)}")
                    raise GivenUp
                answer.success()
                if not again:
                    return answer
            gevent.sleep(float(later) * random.uniform(1, 1.5))
        raise GivenUp

    def accept(self, run: str, what: str) -> None:
        """Notes a run that the server took."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.client.cookiejar)
        headers = self.bearer or {"Cookie": cookies}
        self.ledger.accept(Accepted(run, what, tuple(headers.items())))
        self.mine.append(run)

    def start_over(self) -> None:
        """Deletes the session, and its runs with it."""
        gone = self.ledger.forget(*self.mine)
        try:
            self.ask("POST", "/start-over", "POST /start-over", (303,))
        except GivenUp:
            self.ledger.remember(gone)
            raise

    def delete(self, run: str) -> None:
        """Cancels a run by REST if it is under way, else deletes it."""
        gone = self.ledger.forget(run)
        try:
            status = self.ask("DELETE", f"/api/v1/runs/{run}", "DELETE run", (200, 204)).status_code
        except GivenUp:
            status = 0
        if status != 204:  # it is still there
            self.ledger.remember(gone)

    def upload(self, pictures: list[Path]) -> list[str]:
        """Begins a session by REST; the ids of its images."""
        answer = self.ask("POST", "/api/v1/images", "POST /api/v1/images", (201,), **self.files(pictures)).json()
        self.bearer = {"Authorization": f"Bearer {answer['session']['token']}"}
        self.client.cookiejar.clear()
        return [image["id"] for image in answer["images"]]

    def files(self, paths: Collection[Path], **fields: str) -> dict[str, Any]:
        """The body of an upload."""
        parts: list[Any] = list(fields.items())
        parts += [("file", (path.name, path.read_bytes(), "application/octet-stream")) for path in paths]
        body, kind = encode_multipart_formdata(parts)
        return {"data": body, "headers": {"Content-Type": kind}}


class GivenUp(Exception):
    """The visitor leaves, and comes back as somebody else."""


def visit(act: Callable[[Any], None]) -> Any:
    """A visit from its beginning to its end, by somebody whom the server does not know."""

    def whole(visitor: Visitor) -> None:
        visitor.leave()
        try:
            act(visitor)
        except GivenUp:
            gevent.sleep(1)

    return task(whole)


def _sentence(answer: Any) -> str:
    """The first words of an answer, without markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", (answer.text or "")[:20_000]).split())[:300]


class Browser(Visitor):
    """A person with a browser, who sends forms and looks at pages that ask for news of themselves."""

    weight = 50

    @visit
    def look(self) -> None:
        """Pictures, a few runs, results; perhaps everything is deleted at the end."""
        self.ask("GET", "/", "GET /")
        pictures = random.sample(self.good, random.randint(1, 3))
        self.ask("POST", "/images", "POST /images", (303,), **self.files(pictures))
        page = self.ask("GET", "/", "GET /").text
        images = list(dict.fromkeys(re.findall(rf"/images/({ID})/thumbnail", page)))
        for image in images:
            self.ask("GET", f"/images/{image}/thumbnail.webp", "GET thumbnail")
        for _ in range(random.randint(1, 3)):
            self.look_with(images[: random.randint(1, 2)])
            gevent.sleep(random.uniform(0.5, 3))
        page = self.ask("GET", "/runs", "GET /runs").text
        if len(self.mine) > 1:
            address = "&".join(f"run={run}" for run in self.mine[:2])
            self.ask("GET", f"/compare?{address}", "GET /compare")
        if random.random() < 0.3:
            self.ask("POST", f"/images/{images[0]}/remove", "POST remove", (303,))
        if random.random() < 0.6:
            self.start_over()

    def look_with(self, images: list[str]) -> None:
        """One visualization: its pages, the run, what it gives; sometimes it is cancelled and run again."""
        name, settings = random.choice(WORK)
        chosen = {key: str(value) for key, value in settings().items()}
        self.ask("GET", f"/visualizations/{name}", "GET settings", (200, 303))
        form = [("visualization", name), *chosen.items(), *(("image", image) for image in images)]
        run = self.started(self.form("/runs", "POST /runs", form), name)
        if random.random() < 0.15:
            gevent.sleep(random.uniform(0, 2))
            self.ask("POST", f"/runs/{run}/cancel", "POST cancel", (303,))
            if self.watched(run):
                return
            run = self.started(self.ask("POST", f"/runs/{run}/again", "POST again", (303,)), name)
        found = re.findall(rf"/runs/{run}/files/[\w.]+(?:\?[\w=&;.%+-]+)?", html.unescape(self.watched(run)))
        for address in random.sample(found, min(3, len(found))):
            self.ask("GET", address, "GET file of a run")

    def form(self, path: str, what: str, fields: list[tuple[str, str]]) -> Any:
        """Sends a form."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, what, (303,), data=urlencode(fields), headers=headers)

    def started(self, answer: Any, name: str) -> str:
        """The run that a form leads to."""
        (run,) = re.findall(rf"/runs/({ID})/", answer.headers["Location"])
        self.accept(run, name)
        return str(run)

    def watched(self, run: str) -> str:
        """The page of a run when that has ended; "" where it did not end well, or not in time."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            page = str(self.ask("GET", f"/runs/{run}/", "GET page of a run", headers={"HX-Request": "true"}).text)
            if 'id="live"' not in page:
                return "" if "outcome" in page else page
            gevent.sleep(LOOK_SECONDS)
        return ""


class Program(Visitor):
    """A script that uses REST."""

    weight = 34

    @visit
    def look(self) -> None:
        """Uploads, runs, results; deletes some of what it made."""
        pictures = random.sample(self.good, random.randint(1, 2))
        images = self.upload(pictures)
        for _ in range(random.randint(1, 3)):
            name, settings = random.choice(WORK)
            run = self.order(name, images, settings())
            if random.random() < 0.15:
                self.delete(run)
                continue
            self.results(run)
        self.ask("GET", "/api/v1/runs?limit=5", "GET /api/v1/runs")
        if random.random() < 0.5:
            self.ask("DELETE", f"/api/v1/images/{images[0]}", "DELETE image", (204,))

    @visit
    def explain(self) -> None:
        """An image in, an explanation out."""
        body = self.files([random.choice(self.good)], visualization="class-probabilities", classes="3")
        answer = self.ask("POST", "/api/v1/explain", "POST /explain", **body)
        if not answer.json()["results"]:
            self.ledger.fault("POST /explain: no results")

    def order(self, name: str, images: list[str], settings: dict[str, Any]) -> str:
        """A run, asked for twice where the first answer might have been lost."""
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"visualization": name, "images": images, "settings": settings}
        runs = []
        for _ in range(random.choice((1, 1, 2))):
            answer = self.ask("POST", "/api/v1/runs", "POST /api/v1/runs", (202,), json=body, headers=key)
            runs.append(str(answer.json()["id"]))
            self.accept(runs[0], name)
        if len(set(runs)) > 1:
            self.ledger.fault("POST /api/v1/runs: two runs for one Idempotency-Key")
        return runs[0]

    def results(self, run: str) -> None:
        """Waits for a run, reads its files, perhaps deletes it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = self.ask("GET", f"/api/v1/runs/{run}", "GET run").json()
            if found["state"] not in UNFINISHED:
                break
            gevent.sleep(LOOK_SECONDS)
        if found["state"] != "done":
            return
        for artifact in found["results"][0]["artifacts"][:3]:
            self.ask("GET", artifact["url"], "GET artifact")
        self.ask("GET", found["bundle"], "GET bundle")
        if random.random() < 0.4:
            self.delete(run)


class Hand(Visitor):
    """Somebody who hides parts of a picture and watches the answer."""

    weight = 9

    @visit
    def look(self) -> None:
        """A picture, and questions about it as they come while the hand moves."""
        self.ask("POST", "/images", "POST /images", (303,), **self.files([random.choice(self.good)]))
        address = self.ask("GET", "/ask", "GET /ask", (303,)).headers["Location"].partition("?")[0]
        self.ask("GET", address, "GET /ask/<image>")
        self.ask("GET", f"{address}/pictures.png", "GET pictures")
        self.ask("GET", f"{address}/pieces", "GET pieces")
        for _ in range(random.randint(20, 60)):
            self.ask("POST", f"{address}/answer", "POST answer", json={"region": _region()}, again=False)
            gevent.sleep(random.uniform(0.1, 0.4))


class Stranger(Visitor):
    """Sends what is no picture, and asks for what is not there."""

    weight = 5

    @visit
    def look(self) -> None:
        """Each is refused with a sentence."""
        refused = (413, 415, 422)
        for path in random.sample(self.bad, 3):
            self.ask("POST", "/images", "POST /images (no picture)", refused, **self.files([path]))
            self.ask("POST", "/api/v1/images", "POST /api/v1/images (no picture)", refused, **self.files([path]))
            gevent.sleep(random.uniform(0.2, 1))
        self.ask("GET", f"/runs/{secrets.token_hex(16)}/", "GET what is not there", (404,))


class Greedy(Visitor):
    """Asks for more runs than one visitor may have, then takes all back."""

    weight = 2

    @visit
    def look(self) -> None:
        """Until the server says that these are too many."""
        images = self.upload([random.choice(self.good)])
        body = {"visualization": "class-probabilities", "images": images}
        for seed in range(1000):
            sent = body | {"seed": seed}
            answer = self.ask("POST", "/api/v1/runs", "POST /api/v1/runs", (202,), again=False, json=sent)
            if answer.status_code == 429:
                break
            if answer.status_code == 202:
                self.accept(answer.json()["id"], "class-probabilities")
        for run in self.mine[10:]:
            self.delete(run)
        gevent.sleep(random.uniform(20, 40))


VISITORS = [Browser, Program, Hand, Stranger, Greedy]
