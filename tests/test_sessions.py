"""Sessions: what comes in, how much, how long it stays; and the key that signs cookies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from picasso.config import Config
from picasso.errors import ImageRefused, NotFound, TooLarge
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.sessions import FRESH_FOLDER_SECONDS, Sessions, image_bytes, secret_key

MakeSessions = Callable[..., Sessions]
ROOT = Path(__file__).resolve().parents[1]


class NoEngine:
    """An engine that only notes which runs it is to end."""

    def __init__(self) -> None:
        self.cancelled: list[str] = []

    def cancel(self, run: Run) -> bool:
        self.cancelled.append(run.id)
        return True


@pytest.fixture
def make_sessions(tmp_path: Path) -> MakeSessions:
    def make(**settings: object) -> Sessions:
        config = Config(DATA_DIR=tmp_path / "data", **settings)
        return Sessions(config, Store(config.DATA_DIR), NoEngine())  # type: ignore[arg-type]

    return make


def png(size: tuple[int, int] = (4, 4), seed: int = 0) -> bytes:
    stream = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def used_long_ago(sessions: Sessions, session: str) -> None:
    long_ago = time.time() - sessions.config.SESSION_HOURS * 3600 - 60
    with sessions.store.database.transaction() as db:
        db.execute("UPDATE sessions SET used = ? WHERE id = ?", (long_ago, session))


def make_old(folder: Path) -> None:
    long_ago = time.time() - FRESH_FOLDER_SECONDS - 60
    os.utime(folder, (long_ago, long_ago))


# Uploads and limits


def test_an_upload_is_kept_as_png(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()
    session = sessions.store.new_session()
    image = sessions.add_image(session, png((3, 5)), "dir/cat.png")
    assert (image.filename, image.width, image.height) == ("cat.png", 5, 3)
    with Image.open(BytesIO(image_bytes(sessions.store, image))) as kept:
        assert (kept.format, kept.size) == ("PNG", (5, 3))


def test_what_is_no_image_is_refused_and_not_kept(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()
    session = sessions.store.new_session()
    with pytest.raises(ImageRefused, match=r"notes\.txt"):
        sessions.add_image(session, b"hello", "notes.txt")
    assert sessions.store.images(session) == []
    assert sessions.store.session_bytes(session) == 0


def test_a_session_holds_so_many_images(make_sessions: MakeSessions) -> None:
    sessions = make_sessions(MAX_IMAGES=2)
    session, other = sessions.store.new_session(), sessions.store.new_session()
    first = sessions.add_image(session, png(), "1.png")
    sessions.add_image(session, png(), "2.png")
    with pytest.raises(TooLarge, match=r"3\.png.*holds 2 pictures.*Remove some"):
        sessions.add_image(session, png(), "3.png")
    sessions.add_image(other, png(), "3.png")  # another session has its own
    sessions.store.remove_image(session, first.id)
    sessions.add_image(session, png(), "3.png")


def test_a_session_keeps_so_many_bytes(make_sessions: MakeSessions) -> None:
    large = png((64, 64))
    sessions = make_sessions(SESSION_MAX_BYTES=2 * len(large))
    session = sessions.store.new_session()
    sessions.add_image(session, large, "1.png")
    with pytest.raises(TooLarge, match=r"2\.png.*MiB are used up"):
        sessions.add_image(session, png((96, 96)), "2.png")
    assert sessions.store.session_bytes(session) <= 2 * len(large)


def test_results_count_for_the_quota(make_sessions: MakeSessions) -> None:
    sessions = make_sessions(SESSION_MAX_BYTES=10_000)
    session = sessions.store.new_session()
    run = sessions.store.add_run(session, "occlusion", {}, [], None, 0)
    sessions.store.write_results(run, {"0.npy": bytes(9_990)}, {"results": []})
    with pytest.raises(TooLarge):
        sessions.add_image(session, png(), "1.png")


def test_a_file_has_so_many_bytes_and_pixels(make_sessions: MakeSessions) -> None:
    data = png((10, 10))
    for limit in ({"MAX_IMAGE_BYTES": len(data) - 1}, {"MAX_IMAGE_PIXELS": 99}):
        sessions = make_sessions(**limit)
        with pytest.raises(TooLarge, match=r"1\.png"):
            sessions.add_image(sessions.store.new_session(), data, "1.png")


def test_a_picture_whose_file_is_gone_is_not_found(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()
    image = sessions.add_image(sessions.store.new_session(), png(), "1.png")
    sessions.store.image_path(image).unlink()
    with pytest.raises(NotFound, match=r"1\.png"):
        image_bytes(sessions.store, image)


# Samples


@pytest.fixture
def samples(tmp_path: Path) -> list[str]:
    for seed, name in enumerate(("one.png", "two.png")):
        (tmp_path / name).write_bytes(png(seed=seed))
    return [str(tmp_path / name) for name in ("one.png", "two.png", "missing.png")]


def test_a_sample_is_added_once(make_sessions: MakeSessions, samples: list[str]) -> None:
    sessions = make_sessions(SAMPLE_IMAGES=samples)
    session = sessions.store.new_session()
    first = sessions.add_sample(session, 0)
    second = sessions.add_sample(session, 1)
    assert sessions.add_sample(session, 0) == first
    assert sessions.store.images(session) == [first, second]
    assert [first.filename, second.filename] == ["one.png", "two.png"]


def test_an_upload_of_the_same_name_is_not_taken_for_the_sample(
    make_sessions: MakeSessions, samples: list[str]
) -> None:
    sessions = make_sessions(SAMPLE_IMAGES=samples)
    session = sessions.store.new_session()
    mine = sessions.add_image(session, png(seed=9), "one.png")
    sample = sessions.add_sample(session, 0)
    assert sample.digest != mine.digest
    assert sessions.add_sample(session, 0) == sample


@pytest.mark.parametrize("number", [-1, 2, 3, 10**9])
def test_a_sample_that_is_not_there_is_not_found(make_sessions: MakeSessions, samples: list[str], number: int) -> None:
    sessions = make_sessions(SAMPLE_IMAGES=samples)
    with pytest.raises(NotFound):
        sessions.sample(number)


# The end of a session


def test_delete_ends_runs_under_way_and_leaves_nothing(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()
    store, session = sessions.store, sessions.store.new_session()
    sessions.add_image(session, png(), "1.png")
    queued, running, done = (store.add_run(session, "occlusion", {}, [], None, 0) for _ in range(3))
    store.change_run(running.id, (State.QUEUED,), state=State.RUNNING)
    store.change_run(done.id, (State.QUEUED,), state=State.DONE)
    sessions.delete(session)
    assert set(sessions.engine.cancelled) == {queued.id, running.id}  # type: ignore[attr-defined]
    assert not store.session_folder(session).exists()
    assert not store.touch_session(session)


def test_the_sweeper_takes_what_nobody_used(make_sessions: MakeSessions) -> None:
    sessions = make_sessions(SESSION_HOURS=2)
    old, fresh = sessions.store.new_session(), sessions.store.new_session()
    used_long_ago(sessions, old)
    assert sessions.sweep() == 1
    assert not sessions.store.session_folder(old).exists()
    assert sessions.store.session_folder(fresh).exists()
    assert sessions.sweep() == 0


@pytest.mark.parametrize("state", list(State))
def test_the_sweeper_never_takes_a_session_with_a_run_under_way(make_sessions: MakeSessions, state: State) -> None:
    sessions = make_sessions()
    session = sessions.store.new_session()
    run = sessions.store.add_run(session, "occlusion", {}, [], None, 0)
    sessions.store.change_run(run.id, (State.QUEUED,), state=state)
    used_long_ago(sessions, session)
    make_old(sessions.store.session_folder(session))
    assert sessions.sweep() == int(state.finished)
    assert sessions.store.session_folder(session).exists() is not state.finished


def test_the_sweeper_takes_old_folders_without_a_row(make_sessions: MakeSessions) -> None:
    sessions = make_sessions()
    session = sessions.store.new_session()
    make_old(sessions.store.session_folder(session))  # has a row: stays
    old, fresh = (sessions.store.session_folder(digit * 32) for digit in "ab")
    for folder in (old, fresh):
        (folder / "images").mkdir(parents=True)
    make_old(old)
    sessions.sweep()
    assert not old.exists()
    assert fresh.exists()
    assert sessions.store.session_folder(session).exists()


# The key that signs cookies


def test_the_key_is_the_owners_only_and_stays(tmp_path: Path) -> None:
    key = secret_key(tmp_path)
    assert len(key) == 32
    assert secret_key(tmp_path) == key
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_every_data_folder_has_its_own_key(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert secret_key(tmp_path / "a") != secret_key(tmp_path / "b")


MAKE_KEY = """
import sys, pathlib
from picasso.sessions import secret_key
sys.stdin.readline()
print(secret_key(pathlib.Path(sys.argv[1])).hex())
"""


@pytest.mark.slow
def test_processes_that_start_at_once_agree_on_a_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE_KEY, str(tmp_path)]
    processes = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for process in processes:  # all are up to the line they wait for, or soon will be
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in processes}
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
