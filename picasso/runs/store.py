"""Sessions, images and runs on disk: rows in sqlite, pictures and results in one folder per session.

DATA_DIR/picasso.sqlite
DATA_DIR/sessions/<session>/images/<image>.png
DATA_DIR/sessions/<session>/runs/<run>/manifest.json     written last: without it there is no result
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sqlite3
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from picasso.errors import NotFound
from picasso.runs.run import Run, State, StoredImage
from picasso.runs.servers import lock_file, withdraw

SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, created REAL NOT NULL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS images (
    id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, filename TEXT NOT NULL,
    format TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, bytes INTEGER NOT NULL,
    digest TEXT NOT NULL, notes TEXT NOT NULL, created REAL NOT NULL, in_tray INTEGER NOT NULL DEFAULT 1);
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, visualization TEXT NOT NULL,
    settings TEXT NOT NULL, images TEXT NOT NULL, seed INTEGER NOT NULL, key TEXT, state TEXT NOT NULL,
    progress REAL NOT NULL, message TEXT NOT NULL, error_code TEXT, error TEXT, created REAL NOT NULL, started REAL,
    finished REAL, attempts INTEGER NOT NULL, owner TEXT NOT NULL, model TEXT NOT NULL,
    digest TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS answers (
    session TEXT NOT NULL REFERENCES sessions(id) ON DELETE CASCADE, key TEXT NOT NULL, request TEXT NOT NULL,
    status INTEGER NOT NULL, location TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (session, key));
CREATE INDEX IF NOT EXISTS images_of_session ON images(session, created);
CREATE INDEX IF NOT EXISTS runs_of_session ON runs(session, created);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs(state, created);
"""
IMAGE_COLUMNS = "id, session, filename, format, width, height, bytes, digest, notes, created"
RUN_COLUMNS = (
    "id, session, visualization, settings, images, seed, key, state, progress, message, error_code, error, created, "
    "started, finished, attempts, owner, model, digest"
)
MANIFEST = "manifest.json"
USED_PRECISION = 60.0  # seconds; a page of pictures is many requests, and each write waits for the disk


@dataclass(frozen=True)
class Answer:
    """An answer to a program: what was asked (a digest), the status, the address of what was made, the body."""

    request: str
    status: int
    location: str
    body: bytes


def new_id() -> str:
    """128 random bits, 32 hexadecimal digits."""
    return secrets.token_hex(16)


class Store:
    """The data folder. Safe to use from several threads: no two use one connection at the same time.

    Connections are kept open between calls: the last one that is closed has sqlite write everything into its main
    file and wait for the disk, which takes longer than most questions.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the folder, or makes it.

        Args:
            folder: `DATA_DIR`. Several servers may share it: each does its own runs only.
        """
        self.folder = folder
        self.owner = new_id()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "sessions").mkdir(exist_ok=True, mode=0o700)  # for nobody else on this machine
        self.database = folder / "picasso.sqlite"
        self.database.touch(mode=0o600)
        (folder / "servers").mkdir(exist_ok=True, mode=0o700)
        self._alive = FileLock(lock_file(folder, self.owner))  # held as long as this process lives
        self._alive.acquire()
        self._idle: list[sqlite3.Connection] = []
        weakref.finalize(self, _close, self._idle)
        with FileLock(folder / "opening.lock"), self._connect() as db:  # servers may start at once
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(SCHEMA)
            _migrate(db)

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        """A transaction on a connection that nobody else uses meanwhile."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._open()
        try:
            with db:
                yield db
        except BaseException:
            db.close()  # a query that was left half-way would go on seeing the database as it was
            raise
        self._idle.append(db)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.database, timeout=15, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # with WAL, a crash of the process loses nothing
        return db

    def close(self) -> None:
        """Says that this server is gone; another may take over its runs."""
        withdraw(self.folder, self.owner)
        _close(self._idle)
        self._alive.release()

    def adopt_runs(self) -> list[Run]:
        """Makes the unfinished runs of servers that are gone this server's own; returns them."""
        adopted: list[Run] = []
        for owner in self._other_owners():
            lock = lock_file(self.folder, owner)
            with suppress(Timeout), FileLock(lock, timeout=0):  # one that lives holds it
                adopted += self._runs("state IN ('queued', 'running') AND owner = ?", (owner,))
                with self._connect() as db:
                    db.execute("UPDATE runs SET owner = ? WHERE owner = ?", (self.owner, owner))
                withdraw(self.folder, owner)
                lock.unlink(missing_ok=True)
        return adopted

    def _other_owners(self) -> set[str]:
        """The servers that have unfinished runs or left their lock here."""
        with self._connect() as db:
            rows = db.execute("SELECT DISTINCT owner FROM runs WHERE state IN ('queued', 'running')")
            owners = {row["owner"] for row in rows}
        return (owners | {path.stem for path in (self.folder / "servers").glob("*.lock")}) - {self.owner}

    # Sessions

    def new_session(self) -> str:
        """Makes a session with its folder; returns its id."""
        session = new_id()
        now = time.time()
        with self._connect() as db:
            db.execute("INSERT INTO sessions VALUES (?, ?, ?)", (session, now, now))
        (self.session_folder(session) / "images").mkdir(parents=True)
        (self.session_folder(session) / "runs").mkdir()
        return session

    def touch_session(self, session: str) -> bool:
        """Notes that a session is in use, to the minute; False when there is none of that id."""
        now = time.time()
        with self._connect() as db:
            row = db.execute("SELECT used FROM sessions WHERE id = ?", (session,)).fetchone()
            if row is not None and abs(now - row["used"]) > USED_PRECISION:
                db.execute("UPDATE sessions SET used = ? WHERE id = ?", (now, session))
        return row is not None

    def session_folder(self, session: str) -> Path:
        """Where a session's files are."""
        return self.folder / "sessions" / session

    def delete_session(self, session: str) -> None:
        """Forgets a session: its rows, then its files."""
        with self._connect() as db:
            db.execute("DELETE FROM sessions WHERE id = ?", (session,))
        shutil.rmtree(self.session_folder(session), ignore_errors=True)

    def expired_sessions(self, before: float) -> list[str]:
        """Sessions last used before that time which have no run queued or running."""
        with self._connect() as db:
            rows = db.execute(
                "SELECT id FROM sessions WHERE used < ? AND id NOT IN"
                " (SELECT session FROM runs WHERE state IN ('queued', 'running'))",
                (before,),
            )
            return [row["id"] for row in rows]

    def orphaned_folders(self) -> list[Path]:
        """Session folders without a row: left by a crash between deleting the row and the files."""
        root = self.folder / "sessions"
        if not root.is_dir():
            return []
        with self._connect() as db:
            known = {row["id"] for row in db.execute("SELECT id FROM sessions")}
        return [path for path in root.iterdir() if path.name not in known]

    def session_bytes(self, session: str) -> int:
        """Bytes of all files of a session."""
        return sum(path.stat().st_size for path in self.session_folder(session).rglob("*") if path.is_file())

    # Images

    def add_image(
        self, session: str, filename: str, png: bytes, size: tuple[int, int], source_format: str, notes: list[str]
    ) -> StoredImage:
        """Keeps a picture under a name made here; its own name is text in its row only."""
        image = StoredImage(
            new_id(), session, filename, source_format, *size, len(png), sha256(png).hexdigest(), notes, time.time()
        )
        try:
            write_whole(self.image_path(image), png)
        except FileNotFoundError as error:
            raise NotFound("This session was deleted meanwhile. Start again from the first page.") from error
        row = (*vars(image).values(),)
        with self._connect() as db:
            db.execute(
                f"INSERT INTO images ({IMAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                tuple(json.dumps(value) if isinstance(value, list) else value for value in row),
            )
        return image

    def image_path(self, image: StoredImage) -> Path:
        """The file of a picture."""
        return self.session_folder(image.session) / "images" / f"{image.id}.png"

    def thumbnail_path(self, image: StoredImage) -> Path:
        """The file of its small version, made when first asked for."""
        return self.image_path(image).with_suffix(".small.webp")

    def images(self, session: str) -> list[StoredImage]:
        """The pictures in a session's tray, oldest first."""
        with self._connect() as db:
            rows = db.execute(
                f"SELECT {IMAGE_COLUMNS} FROM images WHERE session = ? AND in_tray ORDER BY created, rowid",  # noqa: S608
                (session,),
            )
            return [_image(row) for row in rows]

    def image(self, session: str, image: str) -> StoredImage:
        """One picture of a session, in its tray or used by a run.

        Raises:
            NotFound: there is none of that id in that session.
        """
        with self._connect() as db:
            row = db.execute(
                f"SELECT {IMAGE_COLUMNS} FROM images WHERE session = ? AND id = ?",  # noqa: S608
                (session, image),
            ).fetchone()
        if row is None:
            raise NotFound("There is no such image in this session. It may have been deleted, or the session expired.")
        return _image(row)

    def remove_image(self, session: str, image: str) -> None:
        """Takes a picture out of the tray; deletes it unless a run shows it."""
        found = self.image(session, image)
        if any(image in run.images for run in self.runs(session)):
            with self._connect() as db:
                db.execute("UPDATE images SET in_tray = 0 WHERE id = ?", (image,))
            return
        self._delete_image(found)

    def _delete_image(self, found: StoredImage) -> None:
        with self._connect() as db:
            db.execute("DELETE FROM images WHERE id = ?", (found.id,))
        self.image_path(found).unlink(missing_ok=True)
        self.thumbnail_path(found).unlink(missing_ok=True)

    # Runs

    def add_run(
        self,
        session: str,
        visualization: str,
        settings: Mapping[str, Any],
        images: list[str],
        key: str | None,
        seed: int,
        model: str = "",
        digest: str = "",
    ) -> Run:
        """A new run, queued. `model` and `digest` as in `Run`."""
        run_id = new_id()
        with self._connect() as db:
            db.execute(
                "INSERT INTO runs (id, session, visualization, settings, images, seed, key, state, progress, message,"
                " created, attempts, owner, model, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, 0, ?, ?, ?)",
                (
                    run_id, session, visualization, json.dumps(settings), json.dumps(images), seed, key,
                    State.QUEUED, time.time(), self.owner, model, digest,
                ),
            )  # fmt: skip
        return self.run(session, run_id)

    def run(self, session: str, run: str) -> Run:
        """One run of a session.

        Raises:
            NotFound: there is none of that id in that session.
        """
        found = self._runs("session = ? AND id = ?", (session, run))
        if not found:
            raise NotFound("There is no such run in this session. It may have been deleted, or the session expired.")
        return found[0]

    def runs(self, session: str) -> list[Run]:
        """A session's runs, newest first."""
        return self._runs("session = ?", (session,))[::-1]

    def runs_page(self, session: str, limit: int, before: float | None = None) -> list[Run]:
        """A session's newest runs, at most `limit`, of those made before that time."""
        found = [run for run in self.runs(session) if before is None or run.created < before]
        return found[:limit]

    def delete_run(self, run: Run) -> None:
        """Forgets a finished run: its row, its files, and its pictures that are neither in the tray nor in others."""
        with self._connect() as db:
            db.execute("DELETE FROM runs WHERE id = ?", (run.id,))
        shutil.rmtree(self.run_folder(run), ignore_errors=True)
        kept = {image.id for image in self.images(run.session)}
        kept.update(image for other in self.runs(run.session) for image in other.images)
        for image in set(run.images) - kept:
            self._delete_image(self.image(run.session, image))

    def run_of_key(self, session: str, key: str) -> Run | None:
        """A finished or unfinished run of this session that gives the same numbers; the newest."""
        found = self._runs("session = ? AND key = ? AND state IN ('done', 'queued', 'running')", (session, key))
        return found[-1] if found else None

    def unfinished_runs(self) -> list[Run]:
        """This server's runs that are queued or running, of all sessions, oldest first."""
        return self._runs("state IN ('queued', 'running') AND owner = ?", (self.owner,))

    def running_runs(self) -> list[Run]:
        """This server's runs that are running, of all sessions."""
        return self._runs("state = 'running' AND owner = ?", (self.owner,))

    def runs_ahead(self, run: Run) -> int:
        """How many unfinished runs came before this one."""
        with self._connect() as db:
            row = db.execute(
                "SELECT COUNT(*) FROM runs WHERE state IN ('queued', 'running') AND created < ? AND owner = ?",
                (run.created, run.owner),
            ).fetchone()
        return int(row[0])

    def _runs(self, where: str, values: tuple[Any, ...]) -> list[Run]:
        with self._connect() as db:
            rows = db.execute(f"SELECT {RUN_COLUMNS} FROM runs WHERE {where} ORDER BY created, rowid", values)  # noqa: S608
            return [_run(row) for row in rows]

    def change_run(self, run: str, expected: tuple[State, ...], **changes: Any) -> bool:
        """Changes columns of a run if its state is one of `expected`; False when it is not (any more)."""
        names = ", ".join(f"{name} = ?" for name in changes)
        marks = ", ".join("?" for _ in expected)
        with self._connect() as db:
            done = db.execute(
                f"UPDATE runs SET {names} WHERE id = ? AND state IN ({marks})",  # noqa: S608 - names are ours
                (*changes.values(), run, *expected),
            )
            return done.rowcount == 1

    # Answers to programs, given again when they ask again

    def answer(self, session: str, key: str) -> Answer | None:
        """What was answered to the request with that key; None where there was none."""
        with self._connect() as db:
            row = db.execute(
                "SELECT request, status, location, body FROM answers WHERE session = ? AND key = ?", (session, key)
            ).fetchone()
        return None if row is None else Answer(**row)

    def keep_answer(self, session: str, key: str, answer: Answer) -> None:
        """Keeps the first answer to a key, as long as the session is there."""
        with self._connect() as db:
            db.execute(
                "INSERT OR IGNORE INTO answers SELECT id, ?, ?, ?, ?, ? FROM sessions WHERE id = ?",
                (key, answer.request, answer.status, answer.location, answer.body, session),
            )

    # Results

    def run_folder(self, run: Run) -> Path:
        """Where a run's results are, if it has any."""
        return self.session_folder(run.session) / "runs" / run.id

    def write_results(self, run: Run, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
        """Keeps a run's results: all files, then the manifest, which makes them valid.

        Raises:
            NotFound: the session is gone (deleted while the run was under way); nothing is left behind.
        """
        folder = self.run_folder(run)
        if not folder.parent.is_dir():
            raise NotFound("The session of this run was deleted.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, data in files.items():
            write_whole(folder / name, data)
        table = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
        text = json.dumps({**manifest, "files": table}, indent=1, allow_nan=False, ensure_ascii=False)
        write_whole(folder / MANIFEST, text.encode())

    def finish_run(self, run: Run, manifest: Mapping[str, Any]) -> bool:
        """A running run whose results are written is done; where it was ended meanwhile, nothing of it is kept.

        Returns:
            Whether it is done.
        """
        done = self.change_run(
            run.id,
            (State.RUNNING,),
            state=State.DONE,
            progress=1.0,
            message="",
            finished=manifest["written"],
            key=manifest["key"],
            settings=json.dumps(manifest["settings"]),
        )
        if not done:
            self.drop_results(run)
        return done

    def drop_results(self, run: Run) -> None:
        """Deletes what was written of a run's results."""
        shutil.rmtree(self.run_folder(run), ignore_errors=True)

    def manifest(self, run: Run) -> dict[str, Any] | None:
        """A run's manifest; None when it has no result."""
        try:
            return json.loads(read_kept(self.run_folder(run) / MANIFEST))  # type: ignore[no-any-return]
        except FileNotFoundError:
            return None

    def artifact(self, run: Run, name: str) -> bytes:
        """A file of a run's results, by its name in the manifest.

        Raises:
            NotFound: the manifest does not list it, or it is gone.
        """
        manifest = self.manifest(run)
        if manifest is None or name not in manifest["files"]:
            raise NotFound("This run has no such file.")
        try:
            return read_kept(self.run_folder(run) / name)
        except FileNotFoundError as error:
            raise NotFound("This file of the run is gone. Run it again.") from error


def _close(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()


def _migrate(db: sqlite3.Connection) -> None:
    """Brings a database of earlier versions up to date."""
    if "digest" not in {column["name"] for column in db.execute("PRAGMA table_info(runs)")}:
        # There was one model then, and the column had its digest.
        db.execute("BEGIN")  # both or nothing: Python's sqlite3 begins no transaction before ALTER
        db.execute("ALTER TABLE runs ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
        db.execute("UPDATE runs SET digest = model, model = ''")


def read_kept(path: Path) -> bytes:
    """The bytes of a file that was written here; a link to a file elsewhere is none.

    Raises:
        FileNotFoundError: it is gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(f"{path} is a link") from error
        raise
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def write_whole(path: Path, data: bytes) -> None:
    """Writes whole or not at all: to a name beside it, then renamed."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _image(row: sqlite3.Row) -> StoredImage:
    return StoredImage(**{**dict(row), "notes": json.loads(row["notes"])})


def _run(row: sqlite3.Row) -> Run:
    values = dict(row)
    return Run(
        **values
        | {
            "settings": json.loads(values["settings"]),
            "images": json.loads(values["images"]),
            "state": State(values["state"]),
        }
    )
