"""The store: rows and folders, and when a result counts as one."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from picasso.errors import NotFound
from picasso.runs.run import Run, State, StoredImage
from picasso.runs.store import MANIFEST, Store

PNG = b"not looked into by the store"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "data")


@pytest.fixture
def session(store: Store) -> str:
    return store.new_session()


def add_image(store: Store, session: str, name: str = "cat.png", png: bytes = PNG) -> StoredImage:
    return store.add_image(session, name, png, (3, 2), "PNG", ["Turned upright."])


def add_run(store: Store, session: str, key: str | None = "k") -> Run:
    return store.add_run(session, "occlusion", {"window": 8}, ["i"], key, 0)


def finish(store: Store, run: Run, files: dict[str, bytes] | None = None) -> Run:
    store.write_results(run, files or {"0.npy": b"1"}, {"results": [1]})
    store.change_run(run.id, (State.QUEUED, State.RUNNING), state=State.DONE)
    return store.run(run.session, run.id)


# Sessions and images


def test_a_session_has_a_row_and_a_folder_of_its_own(store: Store) -> None:
    one, two = store.new_session(), store.new_session()
    assert one != two
    assert store.touch_session(one)
    assert {path.name for path in store.session_folder(one).iterdir()} == {"images", "runs"}
    assert store.session_folder(one).parent == store.folder / "sessions"
    assert not store.touch_session("0" * 32)


def test_an_image_comes_back_as_it_was_kept(store: Store, session: str) -> None:
    image = add_image(store, session)
    assert store.image(session, image.id) == image
    assert store.images(session) == [image]
    assert store.image_path(image).read_bytes() == PNG
    assert (image.width, image.height, image.notes) == (3, 2, ["Turned upright."])
    assert image.digest == sha256(PNG).hexdigest()


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/passwd", "a" * 300, "", "<img src=x>", "ä\U0001f600"])
def test_a_files_own_name_is_text_only(store: Store, session: str, name: str) -> None:
    image = add_image(store, session, name)
    assert store.image(session, image.id).filename == name
    assert store.image_path(image) == store.session_folder(session) / "images" / f"{image.id}.png"
    assert [path.name for path in store.folder.rglob("*.png")] == [f"{image.id}.png"]


def test_images_keep_their_order(store: Store, session: str) -> None:
    added = [add_image(store, session, f"{number}.png") for number in range(5)]
    assert store.images(session) == added


def test_nothing_of_another_session_is_found(store: Store, session: str) -> None:
    image, run = add_image(store, session), add_run(store, session)
    other = store.new_session()
    for ask in (
        lambda: store.image(other, image.id),
        lambda: store.run(other, run.id),
        lambda: store.remove_image(other, image.id),
    ):
        with pytest.raises(NotFound):
            ask()
    assert store.images(other) == store.runs(other) == []
    assert store.run_of_key(other, "k") is None
    assert store.images(session) == [image]


def test_a_removed_image_is_deleted(store: Store, session: str) -> None:
    image = add_image(store, session)
    store.remove_image(session, image.id)
    assert store.images(session) == []
    assert not store.image_path(image).exists()
    with pytest.raises(NotFound):
        store.image(session, image.id)


def test_a_removed_image_stays_for_the_runs_that_show_it(store: Store, session: str) -> None:
    image = add_image(store, session)
    store.add_run(session, "occlusion", {}, [image.id], None, 0)
    store.remove_image(session, image.id)
    assert store.images(session) == []
    assert store.image(session, image.id) == image
    assert store.image_path(image).read_bytes() == PNG


# Runs


def test_a_new_run_is_queued(store: Store, session: str) -> None:
    run = store.add_run(session, "occlusion", {"window": 8, "fill": "grey"}, ["b", "a"], "k", 7)
    assert store.run(session, run.id) == run
    assert (run.state, run.progress, run.attempts, run.seed) == (State.QUEUED, 0, 0, 7)
    assert run.settings == {"window": 8, "fill": "grey"}
    assert run.images == ["b", "a"]
    assert run.started is run.finished is run.error is None


def test_runs_are_newest_first_and_the_queue_oldest_first(store: Store, session: str) -> None:
    runs = [add_run(store, session), add_run(store, store.new_session()), add_run(store, session)]
    assert store.runs(session) == [runs[2], runs[0]]
    assert store.unfinished_runs() == runs
    assert [store.runs_ahead(run) for run in runs] == [0, 1, 2]
    finish(store, runs[0])
    assert store.unfinished_runs() == runs[1:]
    assert store.runs_ahead(runs[2]) == 1


@pytest.mark.parametrize("state", list(State))
def test_change_run_expects_a_state(store: Store, session: str, state: State) -> None:
    run = add_run(store, session)
    store.change_run(run.id, (State.QUEUED,), state=state)
    for other in State:
        assert store.change_run(run.id, (other,), message=f"was {other}") is (other is state)
    assert store.run(session, run.id).message == f"was {state}"


def test_change_run_changes_one_run_only(store: Store, session: str) -> None:
    run, other = add_run(store, session), add_run(store, session)
    assert store.change_run(run.id, (State.QUEUED, State.RUNNING), state=State.FAILED, error="Why.", progress=0.5)
    changed = store.run(session, run.id)
    assert (changed.state, changed.error, changed.progress) == (State.FAILED, "Why.", 0.5)
    assert store.run(session, other.id) == other
    assert not store.change_run("0" * 32, tuple(State), state=State.DONE)


def test_a_run_is_started_by_one_of_many_only(store: Store, session: str) -> None:
    """What keeps a cancel and a start apart: the change happens once."""
    run = add_run(store, session)
    changed = [store.change_run(run.id, (State.QUEUED,), state=State.RUNNING) for _ in range(3)]
    assert changed == [True, False, False]


def test_run_of_key_takes_the_newest_that_has_or_will_have_the_answer(store: Store, session: str) -> None:
    assert store.run_of_key(session, "k") is None
    runs = [add_run(store, session) for _ in range(2)]
    add_run(store, session, "another")
    assert store.run_of_key(session, "k") == runs[1]
    finish(store, runs[1])
    found = store.run_of_key(session, "k")
    assert found is not None
    assert (found.id, found.state) == (runs[1].id, State.DONE)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.INTERRUPTED])
def test_run_of_key_leaves_out_runs_without_an_answer(store: Store, session: str, state: State) -> None:
    run = add_run(store, session)
    store.change_run(run.id, (State.QUEUED,), state=state)
    assert store.run_of_key(session, "k") is None


# Results


def test_results_come_back_with_their_digests(store: Store, session: str) -> None:
    run = finish(store, add_run(store, session), {"0.a.npy": b"one", "0.b.png": b"two"})
    manifest = store.manifest(run)
    assert manifest is not None
    assert manifest["results"] == [1]
    assert manifest["files"] == {
        name: {"bytes": 3, "sha256": sha256(data).hexdigest()}
        for name, data in {"0.a.npy": b"one", "0.b.png": b"two"}.items()
    }
    assert store.artifact(run, "0.a.npy") == b"one"


def test_without_a_manifest_there_is_nothing(store: Store, session: str) -> None:
    run = finish(store, add_run(store, session))
    (store.run_folder(run) / MANIFEST).unlink()
    assert store.manifest(run) is None
    with pytest.raises(NotFound):
        store.artifact(run, "0.npy")


def test_the_manifest_is_written_last(store: Store, session: str) -> None:
    run = add_run(store, session)
    files = {f"{number}.npy": bytes(number) for number in range(20)}
    store.write_results(run, files, {"results": []})
    last = (store.run_folder(run) / MANIFEST).stat().st_mtime_ns
    assert all((store.run_folder(run) / name).stat().st_mtime_ns <= last for name in files)
    assert {path.name for path in store.run_folder(run).iterdir()} == {*files, MANIFEST}


def test_a_write_that_fails_half_way_leaves_no_result(store: Store, session: str) -> None:
    run = add_run(store, session)
    with pytest.raises(OSError, match=r"n{300}"):
        store.write_results(run, {"0.npy": b"1", f"{'n' * 300}.npy": b"2", "1.npy": b"3"}, {"results": []})
    assert store.manifest(run) is None
    store.write_results(run, {"2.npy": b"4"}, {"results": []})  # the next try starts from an empty folder
    assert {path.name for path in store.run_folder(run).iterdir()} == {"2.npy", MANIFEST}


def test_numbers_that_are_not_json_are_refused_before_the_manifest(store: Store, session: str) -> None:
    run = add_run(store, session)
    with pytest.raises(ValueError, match="JSON"):
        store.write_results(run, {"0.npy": b"1"}, {"results": [float("nan")]})
    assert store.manifest(run) is None


@pytest.mark.parametrize(
    "name",
    [
        "1.npy",
        MANIFEST,
        "",
        ".",
        "..",
        "../../images/{image}.png",
        "../../../../picasso.sqlite",
        "../{run}/0.npy",
        "/etc/passwd",
        "./0.npy",
        "0.npy/",
        "0.npy\0",
    ],
)
def test_only_files_in_the_manifest_are_given(store: Store, session: str, name: str) -> None:
    image = add_image(store, session)
    run = finish(store, add_run(store, session))
    (store.run_folder(run) / "1.npy").write_bytes(b"there, but not listed")
    with pytest.raises(NotFound):
        store.artifact(run, name.format(image=image.id, run=run.id))


def test_results_of_a_deleted_session_leave_nothing(store: Store, session: str) -> None:
    run = add_run(store, session)
    store.delete_session(session)
    with pytest.raises(NotFound):
        store.write_results(run, {"0.npy": b"1"}, {"results": []})
    assert not store.session_folder(session).exists()


def test_delete_session_leaves_nothing(store: Store, session: str) -> None:
    image, run, other = add_image(store, session), add_run(store, session), store.new_session()
    finish(store, run)
    kept = add_image(store, other)
    store.delete_session(session)
    assert not store.session_folder(session).exists()
    assert not store.touch_session(session)
    for ask in (lambda: store.image(session, image.id), lambda: store.run(session, run.id)):
        with pytest.raises(NotFound):
            ask()
    with store.database.transaction() as db:
        for table, column in (("sessions", "id"), ("images", "session"), ("runs", "session")):
            assert db.execute(f"SELECT COUNT(*) FROM {table} WHERE {column} = ?", (session,)).fetchone()[0] == 0
    assert store.images(other) == [kept]
    store.delete_session(session)  # twice does no harm


def test_session_bytes_counts_pictures_and_results(store: Store, session: str) -> None:
    assert store.session_bytes(session) == 0
    add_image(store, session, png=b"12345")
    assert store.session_bytes(session) == 5
    run = finish(store, add_run(store, session), {"0.npy": b"123"})
    assert store.session_bytes(session) == 8 + (store.run_folder(run) / MANIFEST).stat().st_size


# Expiry


def test_expired_sessions_have_no_run_under_way(store: Store) -> None:
    idle, queued, running, done = (store.new_session() for _ in range(4))
    add_run(store, queued)
    store.change_run(add_run(store, running).id, (State.QUEUED,), state=State.RUNNING)
    finish(store, add_run(store, done))
    assert store.expire_sessions(time.time() - 60) == []
    assert set(store.expire_sessions(time.time() + 1)) == {idle, done}
    assert {path.name for path in (store.folder / "sessions").iterdir()} == {queued, running}


def test_a_visit_keeps_a_session(store: Store, session: str) -> None:
    with store.database.transaction() as db:
        db.execute("UPDATE sessions SET used = used - 3600")
    before = time.time()
    other = store.new_session()
    assert store.touch_session(session)
    assert store.expire_sessions(before) == []
    with store.database.transaction() as db:
        db.execute("UPDATE sessions SET used = used - 3600 WHERE id = ?", (session,))
    assert store.expire_sessions(before) == [session]
    assert store.touch_session(other)


def test_orphaned_folders_are_those_without_a_row(store: Store, session: str) -> None:
    assert store.orphaned_folders() == []
    orphan = store.session_folder("f" * 32)
    shutil.copytree(store.session_folder(session), orphan)
    assert store.orphaned_folders() == [orphan]


def test_a_new_store_has_no_orphaned_folders(store: Store) -> None:
    assert store.orphaned_folders() == []


# Several threads and processes


def test_a_question_that_fails_leaves_nothing_half_way(store: Store, session: str) -> None:
    def stumble() -> None:
        with store.database.transaction() as db:
            db.execute("DELETE FROM sessions")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stumble()
    assert store.touch_session(session)


def test_threads_ask_at_once(store: Store, session: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: finish(store, add_run(store, session)), range(20)))
    assert [run.state for run in store.runs(session)] == [State.DONE] * 20
    assert 1 <= len(store.database._idle) <= 5  # connections: as many as asked at once
    store.close()
    assert store.database._idle == []
    assert len(store.runs(session)) == 20  # whoever is late is answered still


def test_the_data_folder_is_the_owners_only(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o077 == 0


def test_a_second_store_finds_everything(store: Store, session: str) -> None:
    image, run = add_image(store, session), finish(store, add_run(store, session))
    again = Store(store.folder)
    assert again.image(session, image.id) == image
    assert again.run(session, run.id) == run
    assert again.manifest(run) == store.manifest(run)


def _add_runs(folder: Path, session: str, count: int) -> None:
    store = Store(folder)
    for _ in range(count):
        run = add_run(store, session)
        assert store.change_run(run.id, (State.QUEUED,), state=State.RUNNING)


def test_two_processes_write_at_once(store: Store, session: str) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_runs, args=(store.folder, session, 20)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    runs = store.runs(session)
    assert len(runs) == len({run.id for run in runs}) == 40
    assert {run.state for run in runs} == {State.RUNNING}


def test_the_manifest_is_readable_json(store: Store, session: str) -> None:
    run = finish(store, add_run(store, session))
    text = (store.run_folder(run) / MANIFEST).read_text(encoding="utf-8")
    assert json.loads(text) == store.manifest(run)


def test_a_database_of_earlier_versions_is_brought_up_to_date(tmp_path: Path) -> None:
    """It had one model, whose digest was in the column that now has its reference."""
    store = Store(tmp_path)
    session = store.new_session()
    run = store.add_run(session, "occlusion", {}, ["i"], None, 0, "old digest")
    with store.database.transaction() as db:
        db.execute("ALTER TABLE runs DROP COLUMN digest")
    again = Store(tmp_path).run(session, run.id)
    assert (again.model, again.digest) == ("", "old digest")
    assert Store(tmp_path).run(session, run.id) == again


def test_a_picture_for_a_deleted_session_leaves_nothing(store: Store, session: str) -> None:
    store.delete_session(session)
    with pytest.raises(NotFound, match="deleted meanwhile"):
        add_image(store, session)
    assert not store.session_folder(session).exists()
