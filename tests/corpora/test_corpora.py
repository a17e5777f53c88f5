"""Every file that other libraries are tested with gets an answer: taken, or refused with a sentence."""

from __future__ import annotations

import random
import re
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import figures
import psutil
import pytest
import requests
from browsing import InProcessEngine
from corpora import CORPORA, QUICK, NotFetched, files
from long_forms import everything
from PIL import Image
from programs import API, Program, examine
from urllib3 import encode_multipart_formdata

from picasso.app import create_app
from picasso.config import Config
from picasso.images.reading import Limits
from picasso.serving import make_server

SEED, SAMPLE, SERVED = 7, 150, 20
STATUSES = {201, 413, 415, 422}
GROWS = 300 * 2**20  # bytes of memory that this process may take more after thousands of files than before

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A program at an application with the usual limits."""
    app = create_app(Config(DATA_DIR=tmp_path_factory.mktemp("corpora")), engine := InProcessEngine())
    engine.begin(app)
    return Program(app)


def paths(names: Iterable[str]) -> list[Path]:
    """The files of these corpora."""
    try:
        return [path for name in names for path in files(name)]
    except NotFetched as error:
        pytest.fail(str(error))


def sample(count: int) -> list[Path]:
    """Some files of the corpora that are quick to fetch: always the same."""
    return random.Random(SEED).sample(paths(QUICK), count)


def ask(program: Program, path: Path) -> int:
    """Uploads a file by REST, in a session of its own; examines the answer, and that nothing of it stays."""
    program.client = program.app.test_client(use_cookies=False)
    body, kind = encode_multipart_formdata({"file": (path.name, path.read_bytes())})
    response = program.client.post(f"{API}/images", data=body, content_type=kind, buffered=True)
    assert response.status_code in STATUSES, (path, response.get_data(as_text=True))
    examine(response)
    store = program.services.store
    sessions = list((store.folder / "sessions").iterdir())
    if response.status_code == 201:
        (shown,) = response.get_json()["images"]
        (session,) = sessions
        (kept,) = store.images(session.name)
        with Image.open(store.image_path(kept), formats=["PNG"]) as image:
            image.load()
            assert (image.size, image.info) == ((shown["width"], shown["height"]), {})
        store.delete_session(session.name)
    else:
        assert sessions == []
        message = response.get_json()["error"]["message"]
        assert re.match(r'["“].+["”] .+\w+ .*\.$', message, re.S), (path, message)
    return response.status_code


def most_memory() -> int:
    """The most bytes that a process started by this one has had; 0 where the system does not keep that."""
    found = [0]
    for child in psutil.Process().children():
        with suppress(OSError):
            found += re.findall(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{child.pid}/status").read_text())
    return max(map(int, found)) * 1024


@pytest.mark.parametrize("names", [[name] for name in CORPORA] if everything() else [QUICK], ids="+".join)
def test_every_file_gets_an_answer(
    program: Program, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    chosen = paths(names) if everything() else sample(SAMPLE)
    here = psutil.Process()
    memory, descriptors = here.memory_info().rss, here.num_fds()
    answers: Counter[int] = Counter()
    most = 0
    for path in chosen:
        answers[ask(program, path)] += 1
        most = max(most, most_memory())
    assert most < Limits().max_memory
    assert here.memory_info().rss - memory < GROWS
    assert here.num_fds() <= descriptors + 6  # two processes, and the database
    assert list(tmp_path.iterdir()) == []
    assert sum(answers.values()) == len(chosen)
    if everything():
        figures.note(names[0], chosen[0], answers, most)


@contextmanager
def served(program: Program) -> Iterator[str]:
    """The application behind the real HTTP server; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(program.app, listener, program.services.config)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.task_dispatcher.shutdown()
            server.trigger.pull_trigger(lambda: server.asyncore.close_all(server._map))
            thread.join(10)


def test_a_real_server_answers_the_same(program: Program) -> None:
    """Many at once, in one upload: what is taken and what is refused are those of single uploads."""
    chosen = sample(SERVED)
    expected = [ask(program, path) == 201 for path in chosen]
    with served(program) as address, requests.Session() as client:
        sent = [("file", (f"{number} {path.name}", path.read_bytes())) for number, path in enumerate(chosen)]
        answer = client.post(f"{address}{API}/images", files=sent, timeout=300)
        assert answer.status_code == 201, answer.text
    found = answer.json()
    assert [f"{number} {path.name}" for number, path in enumerate(chosen) if expected[number]] == [
        image["filename"] for image in found["images"]
    ]
    assert len(found["images"]) + len(found["refused"]) == len(chosen)
