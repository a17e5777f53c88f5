"""The database of a data folder: its tables, connections to it, and what is done where the disk is full.

DATA_DIR/picasso.sqlite
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from picasso.disk import if_there_is_room, no_space
from picasso.errors import Busy, NotFound
from picasso.runs.files import make_folders

log = logging.getLogger(__name__)

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
CREATE TABLE IF NOT EXISTS reserve (space BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS images_of_session ON images(session, created);
CREATE INDEX IF NOT EXISTS runs_of_session ON runs(session, created);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs(state, created);
"""
RESERVE = 2**16  # bytes that sqlite has in its files to itself; a change of a row takes some 10,000


class Connection(sqlite3.Connection):
    """One to the database; `files` says which files that was made of."""

    files: tuple[int | None, ...] = ()


class Database:
    """Safe to use from several threads: no two use one connection at the same time.

    Connections are kept open between calls: the last one that is closed has sqlite write everything into its main
    file and wait for the disk, which takes longer than most questions. One is always open: it keeps sqlite's log in
    being, which a full disk has no room to make again, so that what was kept can still be read.

    What is deleted under it (by a system's cleaner of temporary files) is made again, empty.

    Attributes:
        path: its main file; sqlite has two more beside it (`log_files`).
    """

    def __init__(self, folder: Path) -> None:
        """Opens the database in a data folder, or makes it."""
        self.path = folder / "picasso.sqlite"
        self._folder = folder
        self._opening = threading.Lock()
        self._idle: list[Connection] = []
        self._held = [self._open()]
        with if_there_is_room():
            _reserve(self._held[0])
        weakref.finalize(self, _close, self._idle)
        weakref.finalize(self, _close, self._held)

    @property
    def log_files(self) -> tuple[Path, Path]:
        """Sqlite's write-ahead log, and the index of that."""
        return Path(f"{self.path}-wal"), Path(f"{self.path}-shm")

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction on a connection that nobody else uses meanwhile.

        Raises:
            Busy: another process writes for too long.
            NotFound: a row was to be of a session that is gone.
        """
        db = self._borrow()
        try:
            with db:
                yield db
        except BaseException as error:
            db.close()  # a query that was left half-way would go on seeing the database as it was
            code = getattr(error, "sqlite_errorcode", None)
            if code == sqlite3.SQLITE_BUSY:
                raise Busy("The database of this server is busy. Try again in a few seconds.") from error
            if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
                raise NotFound("This session was deleted meanwhile. Start again from the first page.") from error
            raise
        self._idle.append(db)

    def execute(self, statement: str, values: tuple[Any, ...]) -> int:
        """A change in one transaction; how many rows it changed. On a full disk the reserve is used for it."""
        try:
            with self.transaction() as db:
                return db.execute(statement, values).rowcount
        except sqlite3.OperationalError as error:
            if no_space(error) is None:
                raise
        with self.transaction() as db:
            db.execute("PRAGMA wal_checkpoint(RESTART)")  # sqlite's log begins anew, in the space that it has
        with self.transaction() as db:
            return db.execute(statement, values).rowcount

    def close(self) -> None:
        """Closes all connections; whoever is late is answered still."""
        _close(self._idle)
        _close(self._held)

    def _borrow(self) -> Connection:
        """A connection to the database that is in the folder now."""
        with self._opening:
            files = self._files()
            if not self._held or self._held[0].files != files:
                files = self._begin_anew()
        while self._idle:
            with suppress(IndexError):  # another thread was quicker
                db = self._idle.pop()
                if db.files == files:
                    return db
                db.close()
        return self._open()

    def _begin_anew(self) -> tuple[int | None, ...]:
        """After the database was deleted by somebody else: opens it, or an empty one; gives its files."""
        if self._held:
            log.warning("%s was deleted by somebody else. What is left of it is opened", self.path)
        self.close()
        make_folders(self._folder, "servers")
        with FileLock(self._folder / "servers" / "opening.lock"):  # one server at a time
            if not self.path.exists():
                for log_file in self.log_files:  # those of the one that is gone, which sqlite would take for its own
                    log_file.unlink(missing_ok=True)
            self._held.append(self._open())
        with if_there_is_room():
            _reserve(self._held[0])
        return self._held[0].files

    def _files(self) -> tuple[int | None, ...]:
        """Which files the database is made of now: they have other numbers when they were deleted and made again."""
        found: list[int | None] = []
        for path in (self.path, self.log_files[0]):
            try:
                found.append(path.stat().st_ino)
            except FileNotFoundError:
                found.append(None)
        return tuple(found)

    def _open(self) -> Connection:
        make_folders(self._folder)
        if not self.path.exists():
            self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=15, check_same_thread=False, factory=Connection)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # with WAL, a crash of the process loses nothing
        db.execute("PRAGMA wal_autocheckpoint = 100")  # pages of its log, not 1000: the disk may be small
        db.execute("PRAGMA temp_store = MEMORY")  # the folder for temporary files may be full
        db.executescript(SCHEMA)
        with db:
            _migrate(db)
        db.files = self._files()
        return db


def _close(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _reserve(db: Connection) -> None:
    """Has sqlite's files be larger than need be: on a full disk, what happens to runs can still be written down."""
    if db.execute("PRAGMA freelist_count").fetchone()[0] * db.execute("PRAGMA page_size").fetchone()[0] < RESERVE:
        with db:
            db.execute("INSERT INTO reserve VALUES (zeroblob(?))", (RESERVE,))
        with db:
            db.execute("DELETE FROM reserve")
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _migrate(db: sqlite3.Connection) -> None:
    """Brings a database of earlier versions up to date."""
    if "digest" not in {column["name"] for column in db.execute("PRAGMA table_info(runs)")}:
        # There was one model then, and the column had its digest.
        with db:
            db.execute("BEGIN")  # both or nothing: Python's sqlite3 begins no transaction before ALTER
            db.execute("ALTER TABLE runs ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
            db.execute("UPDATE runs SET digest = model, model = ''")
