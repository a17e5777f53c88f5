"""Sessions that expire or are taken away: by the sweeper, by a system's cleaner of temporary files."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from browsing import ExaminingClient, InProcessEngine, Visitor, picture
from long_forms import everything

from picasso.app import create_app
from picasso.config import Config
from picasso.runs.store import Store
from picasso.testing import TinyModel

LONG_AGO = time.time() - 400 * 86_400


@pytest.fixture
def app(tmp_path: Path) -> Any:
    """An application with an engine of the test's process."""
    engine = InProcessEngine()
    made = create_app(Config(DATA_DIR=tmp_path / "data"), engine)
    made.test_client_class = ExaminingClient
    engine.begin(made)
    engine.open(TinyModel())
    return made


def whole_folder(visitor: Visitor) -> None:
    shutil.rmtree(visitor.services.store.folder)


def all_sessions(visitor: Visitor) -> None:
    shutil.rmtree(visitor.services.store.folder / "sessions")


def own_session(visitor: Visitor) -> None:
    shutil.rmtree(visitor.services.store.session_folder(visitor.session))


def pictures(visitor: Visitor) -> None:
    for path in visitor.services.store.session_folder(visitor.session).rglob("*.png"):
        path.unlink()


def results(visitor: Visitor) -> None:
    shutil.rmtree(visitor.services.store.session_folder(visitor.session) / "runs")


def manifests(visitor: Visitor) -> None:
    for path in visitor.services.store.session_folder(visitor.session).rglob("manifest.json"):
        path.unlink()


def arrays(visitor: Visitor) -> None:
    for path in visitor.services.store.session_folder(visitor.session).rglob("*.npy"):
        path.unlink()


def database(visitor: Visitor) -> None:
    visitor.services.store.database.path.unlink()


def everything_of_sqlite(visitor: Visitor) -> None:
    for path in visitor.services.store.folder.glob("picasso.sqlite*"):
        path.unlink()


def the_log_of_sqlite(visitor: Visitor) -> None:
    Path(f"{visitor.services.store.database.path}-wal").unlink()


TAKEN = [
    whole_folder, all_sessions, own_session, pictures, results, manifests, arrays, database, everything_of_sqlite,
    the_log_of_sqlite,
]  # fmt: skip
SAMPLE = [own_session, pictures, everything_of_sqlite]


def addresses(app: Any, image: str, run: str) -> list[str]:
    """Every page that is asked for with GET, of that picture and run."""
    known = {"image": image, "run": run, "number": "0", "index": "0", "filename": "picasso.css"}
    names = {"pages.run_input": "cat.png", "pages.map_of_class": "map.npy", "pages.colour_bar": "inferno"}
    found = []
    for rule in app.url_map.iter_rules():
        if "GET" in (rule.methods or ()):
            values = known | {
                "name": names.get(rule.endpoint, "0.maps.0.map.npy" if "run" in rule.arguments else "occlusion")
            }
            found.append(re.sub(r"<(?:[^>:]+:)?([^>]+)>", lambda part, values=values: values[part[1]], rule.rule))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("taken", TAKEN if everything() else SAMPLE, ids=lambda taken: taken.__name__)
def test_what_is_taken_away_under_the_server(app: Any, taken: Callable[[Visitor], None]) -> None:
    visitor = Visitor(app)
    image = visitor.add()
    run = visitor.start("occlusion", image, window="4", stride="4")
    assert run.state == "done"
    taken(visitor)
    for _ in range(2):  # the first time may mend something
        for address in addresses(app, image, run.id):
            response = visitor.get(address)
            assert response.status_code < 500, (address, response.get_data(as_text=True)[:500])
    assert visitor.post("/runs", {"visualization": "occlusion", "image": [image]}).status_code in (303, 404)
    assert visitor.post(f"/runs/{run.id}/again").status_code in (303, 404)
    other = visitor.add("dog.png", 1)  # in the same session, or in a new one
    again = visitor.start("class-probabilities", other)
    assert again.state == "done"
    assert visitor.get(f"/runs/{again.id}/").status_code == 200
    store = visitor.services.store
    for folder in (store.folder / "sessions", store.session_folder(visitor.session)):
        assert folder.stat().st_mode & 0o077 == 0, folder  # made again for nobody else to read
    assert visitor.post("/start-over").status_code == 303
    assert Visitor(app).upload(("a.png", picture())).status_code == 303


def test_files_in_use_never_look_old(app: Any) -> None:
    visitor = Visitor(app)
    visitor.add()
    store, own = visitor.services.store, []
    for path in [*store.folder.rglob("*"), store.folder]:
        if path.is_file() and "sessions" not in path.parts:
            own.append(path)
            os.utime(path, (LONG_AGO, LONG_AGO))
    assert {"picasso.sqlite", "picasso.sqlite-wal", "secret_key"} <= {path.name for path in own}
    visitor.services.sessions.sweep()
    assert [path.name for path in own if path.stat().st_mtime < time.time() - 60] == []


# Expiry


def expired(store: Store, session: str) -> None:
    with store.database.transaction() as db:
        db.execute("UPDATE sessions SET used = ? WHERE id = ?", (LONG_AGO, session))


def test_a_session_that_expires_while_a_run_of_it_waits_or_runs(app: Any) -> None:
    visitor = Visitor(app)
    engine: Any = visitor.services.engine
    engine.waiting = True
    run = visitor.start("occlusion", visitor.add(), window="4", stride="4")
    session, store, sessions = visitor.session, visitor.services.store, visitor.services.sessions
    expired(store, session)
    assert sessions.sweep() == 0  # it waits
    engine.waiting = False
    expired(store, session)
    execute = engine.execute

    def sweeping(run: Any) -> Any:
        assert sessions.sweep() == 0  # it runs
        return execute(run)

    engine.execute = sweeping
    engine.wake()
    assert visitor.services.store.run(session, run.id).state == "done"
    assert visitor.get(f"/runs/{run.id}/").status_code == 200  # which is a use
    assert sessions.sweep() == 0
    expired(store, session)
    assert sessions.sweep() == 1
    gone = visitor.get(f"/runs/{run.id}/")
    assert gone.status_code == 404
    assert "expired" in gone.get_data(as_text=True)


def test_a_session_that_is_used_again_at_the_last_moment_stays(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = Visitor(app)
    visitor.add()
    store, session, forget = visitor.services.store, visitor.session, Store._forget
    expired(store, session)

    def used_meanwhile(self: Store, *args: Any) -> bool:
        self.touch_session(session)
        return forget(self, *args)

    monkeypatch.setattr(Store, "_forget", used_meanwhile)
    assert visitor.services.sessions.sweep() == 0
    assert visitor.page("/").text.count("cat.png") > 0
