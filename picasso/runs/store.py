"""Sessions, images and runs on disk: rows in the database, pictures and results in one folder per session.

DATA_DIR/sessions/<session>/images/<image>.png
DATA_DIR/sessions/<session>/runs/<run>/manifest.json     written last: without it there is no result
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from picasso.disk import if_there_is_room, no_space
from picasso.errors import ConfigError, NotFound
from picasso.runs import journal
from picasso.runs.database import Database
from picasso.runs.files import make_folders, read_kept, remove, write_whole
from picasso.runs.run import Run, State, StoredImage
from picasso.runs.servers import lock_file, withdraw

IMAGE_COLUMNS = "id, session, filename, format, width, height, bytes, digest, notes, created"
RUN_COLUMNS = (
    "id, session, visualization, settings, images, seed, key, state, progress, message, error_code, error, created, "
    "started, finished, attempts, owner, model, digest"
)
MANIFEST = "manifest.json"
USED_PRECISION = 60.0  # seconds; a page of pictures is many requests, and each write waits for the disk


@dataclass(frozen=True)
class Totals:
    """What there is of all sessions: runs by state, when the oldest that is queued was asked for, sessions."""

    runs: dict[State, int]
    oldest: float | None
    sessions: int


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
    """The data folder. Safe to use from several threads.

    What is deleted under it (by a system's cleaner of temporary files) is made again, empty.

    Attributes:
        folder: `DATA_DIR`.
        owner: the id of this server, which it does its runs under.
        database: the rows.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the folder, or makes it.

        Args:
            folder: `DATA_DIR`. Several servers may share it: each does its own runs only.
        """
        self.folder = folder
        self.owner = new_id()
        make_folders(folder, "servers")
        make_folders(folder, "sessions")
        self._alive = FileLock(lock_file(folder, self.owner))  # held as long as this process lives
        self._alive.acquire()
        self.database = Database(folder)

    def _forget(self, table: str, where: str, values: tuple[Any, ...], *paths: Path) -> bool:
        """Deletes a row, if it is (still) there, then its files.

        The files go first where the disk is so full that it cannot even be written down that the row is gone.
        """
        statement = f"DELETE FROM {table} WHERE {where}"  # noqa: S608 - constants
        try:
            gone = self.database.execute(statement, values)
        except sqlite3.OperationalError as error:
            if no_space(error) is None:
                raise
            remove(*paths)
            gone = self.database.execute(statement, values)
        if gone:
            remove(*paths)
        return bool(gone)

    def close(self) -> None:
        """Says that this server is gone; another may take over its runs."""
        withdraw(self.folder, self.owner)
        self.database.close()
        self._alive.release()

    def adopt_runs(self) -> list[Run]:
        """Makes the unfinished runs of servers that are gone this server's own; returns them."""
        adopted: list[Run] = []
        for owner in self._other_owners():
            lock = lock_file(self.folder, owner)
            with suppress(Timeout), FileLock(lock, timeout=0):  # one that lives holds it
                adopted += self._runs("state IN ('queued', 'running') AND owner = ?", (owner,))
                with self.database.transaction() as db:
                    db.execute("UPDATE runs SET owner = ? WHERE owner = ?", (self.owner, owner))
                withdraw(self.folder, owner)
                lock.unlink(missing_ok=True)
        return adopted

    def _other_owners(self) -> set[str]:
        """The servers that have unfinished runs or left their lock here."""
        with self.database.transaction() as db:
            rows = db.execute("SELECT DISTINCT owner FROM runs WHERE state IN ('queued', 'running')")
            owners = {row["owner"] for row in rows}
        return (owners | {path.stem for path in (self.folder / "servers").glob(f"{'?' * 32}.lock")}) - {self.owner}

    # Everybody's, for the administrator

    def totals(self) -> Totals:
        """How much there is, of all servers over this folder. Writes nothing, and waits for nobody who writes."""
        with self.database.transaction() as db:
            counted = dict(tuple(row) for row in db.execute("SELECT state, COUNT(*) FROM runs GROUP BY state"))
            oldest = db.execute("SELECT MIN(created) FROM runs WHERE state = 'queued'").fetchone()[0]
            sessions = db.execute("SELECT COUNT(*) FROM sessions").fetchone()[0]
        return Totals({state: counted.get(state, 0) for state in State}, oldest, sessions)

    def runs_in(self, states: tuple[State, ...], limit: int, *, newest: bool) -> list[Run]:
        """Some runs of all sessions that are in one of these states: the newest, newest first, or the oldest."""
        marks = ", ".join("?" for _ in states)
        order = f"rowid {'DESC' if newest else 'ASC'} LIMIT ?"
        return self._runs(f"state IN ({marks})", states, order, (limit,))

    # Sessions

    def new_session(self) -> str:
        """Makes a session with its folder; returns its id."""
        session = new_id()
        now = time.time()
        try:
            self._make_session_folders(session)
            self.database.execute("INSERT INTO sessions VALUES (?, ?, ?)", (session, now, now))
        except BaseException:
            remove(self.session_folder(session))
            raise
        return session

    def _make_session_folders(self, session: str) -> None:
        for name in ("images", "runs"):
            make_folders(self.folder, "sessions", session, name)

    def touch_session(self, session: str) -> bool:
        """Notes that a session is in use, to the minute; False when there is none of that id."""
        now = time.time()
        with self.database.transaction() as db:
            row = db.execute("SELECT used FROM sessions WHERE id = ?", (session,)).fetchone()
        if row is not None and abs(now - row["used"]) > USED_PRECISION:
            with if_there_is_room():  # what is there can be looked at all the same
                self.database.execute("UPDATE sessions SET used = ? WHERE id = ?", (now, session))
        return row is not None

    def shift_clock(self, seconds: float) -> None:
        """After the clock was set: nothing was used longer ago by that, and nothing later than now.

        Several servers over one folder may all say so: it comes to the same.

        Args:
            seconds: by how much it was set forward.
        """
        now = time.time()
        self.database.execute("UPDATE sessions SET used = min(used + ?, ?)", (max(0.0, seconds), now))

    def session_folder(self, session: str) -> Path:
        """Where a session's files are."""
        return self.folder / "sessions" / session

    def delete_session(self, session: str) -> None:
        """Forgets a session: its rows, then its files."""
        self._forget("sessions", "id = ?", (session,), self.session_folder(session))

    def expire_sessions(self, before: float) -> list[str]:
        """Forgets sessions last used before that time which have no run queued or running; which."""
        unused = "used < ? AND id NOT IN (SELECT session FROM runs WHERE state IN ('queued', 'running'))"
        with self.database.transaction() as db:
            rows = db.execute(f"SELECT id FROM sessions WHERE {unused}", (before,))  # noqa: S608 - constants
            found = [row["id"] for row in rows]
        return [  # each is asked about once more, because it may be in use again by now
            one
            for one in found
            if self._forget("sessions", f"id = ? AND {unused}", (one, before), self.session_folder(one))
        ]

    def keep_young(self) -> None:
        """Dates the store's own files to now, so that nobody who deletes old files takes them for such."""
        names = ("secret_key", "admin_token", "sessions")
        own = [self.database.path, *self.database.log_files, *(self.folder / name for name in names)]
        for path in [*own, *(self.folder / "servers").glob(f"{self.owner}.*")]:
            with suppress(OSError):  # not there, or not ours
                os.utime(path)

    def orphaned_folders(self) -> list[Path]:
        """Session folders without a row: left by a crash between deleting the row and the files."""
        root = self.folder / "sessions"
        if not root.is_dir():
            return []
        with self.database.transaction() as db:
            known = {row["id"] for row in db.execute("SELECT id FROM sessions")}
        return [path for path in root.iterdir() if path.name not in known]

    def session_bytes(self, session: str) -> int:
        """Bytes of all files of a session."""
        total = 0
        for folder, _, names in os.walk(self.session_folder(session)):
            for name in names:
                with suppress(FileNotFoundError):  # one that was being written has its own name by now
                    total += Path(folder, name).lstat().st_size
        return total

    # Images

    def add_image(
        self, session: str, filename: str, png: bytes, size: tuple[int, int], source_format: str, notes: list[str]
    ) -> StoredImage:
        """Keeps a picture under a name made here; its own name is text in its row only.

        Raises:
            NotFound: the session was deleted meanwhile; no folder of it is left behind.
        """
        image = StoredImage(
            new_id(), session, filename, source_format, *size, len(png), sha256(png).hexdigest(), notes, time.time()
        )
        row = (*vars(image).values(),)
        try:
            self._make_session_folders(session)
            write_whole(self.image_path(image), png)
            self.database.execute(
                f"INSERT INTO images ({IMAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constants
                tuple(json.dumps(value) if isinstance(value, list) else value for value in row),
            )
        except NotFound:  # it belongs to no session
            remove(self.session_folder(session))
            raise
        except BaseException:
            remove(self.image_path(image))
            raise
        return image

    def image_path(self, image: StoredImage) -> Path:
        """The file of a picture."""
        return self.session_folder(image.session) / "images" / f"{image.id}.png"

    def thumbnail_path(self, image: StoredImage) -> Path:
        """The file of its small version, made when first asked for."""
        return self.image_path(image).with_suffix(".small.webp")

    def images(self, session: str) -> list[StoredImage]:
        """The pictures in a session's tray, oldest first."""
        with self.database.transaction() as db:
            rows = db.execute(
                f"SELECT {IMAGE_COLUMNS} FROM images WHERE session = ? AND in_tray ORDER BY rowid",  # noqa: S608
                (session,),
            )
            return [_image(row) for row in rows]

    def image(self, session: str, image: str) -> StoredImage:
        """One picture of a session, in its tray or used by a run.

        Raises:
            NotFound: there is none of that id in that session.
        """
        with self.database.transaction() as db:
            row = db.execute(
                f"SELECT {IMAGE_COLUMNS} FROM images WHERE session = ? AND id = ?",  # noqa: S608
                (session, image),
            ).fetchone()
        if row is None:
            raise NotFound("There is no such image in this session. It may have been deleted, or the session expired.")
        return _image(row)

    def images_of_run(self, run: Run) -> list[StoredImage]:
        """The pictures of a run that are still there, in its order."""
        with self.database.transaction() as db:
            rows = db.execute(f"SELECT {IMAGE_COLUMNS} FROM images WHERE session = ?", (run.session,))  # noqa: S608
            known = {row["id"]: _image(row) for row in rows}
        return [known[image] for image in run.images if image in known]

    def remove_image(self, session: str, image: str) -> None:
        """Takes a picture out of the tray; deletes it unless a run shows it."""
        found = self.image(session, image)
        if any(image in run.images for run in self.runs(session)):
            self.database.execute("UPDATE images SET in_tray = 0 WHERE id = ?", (image,))
            return
        self._delete_image(found)

    def _delete_image(self, found: StoredImage) -> None:
        self._forget("images", "id = ?", (found.id,), self.image_path(found), self.thumbnail_path(found))

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
        self.database.execute(
            "INSERT INTO runs (id, session, visualization, settings, images, seed, key, state, progress, message,"
            " created, attempts, owner, model, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, '', ?, 0, ?, ?, ?)",
            (
                run_id, session, visualization, json.dumps(settings), json.dumps(images), seed, key,
                State.QUEUED, time.time(), self.owner, model, digest,
            ),
        )  # fmt: skip
        journal.queued(run_id, visualization, len(images))
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
        self._forget("runs", "id = ?", (run.id,), self.run_folder(run) / MANIFEST, self.run_folder(run))
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

    def count_unfinished(self, session: str) -> tuple[int, int]:
        """How many runs are queued or running: of that session, and of all sessions of this server."""
        with self.database.transaction() as db:
            row = db.execute(
                "SELECT COUNT(CASE WHEN session = ? THEN 1 END), COUNT(*) FROM runs"
                " WHERE state IN ('queued', 'running') AND owner = ?",
                (session, self.owner),
            ).fetchone()
        return int(row[0]), int(row[1])

    def runs_ahead(self, run: Run) -> int:
        """How many unfinished runs came before this one."""
        with self.database.transaction() as db:
            row = db.execute(
                "SELECT COUNT(*) FROM runs WHERE state IN ('queued', 'running') AND owner = ?"
                " AND rowid < (SELECT rowid FROM runs WHERE id = ?)",
                (run.owner, run.id),
            ).fetchone()
        return int(row[0])

    def _runs(
        self, where: str, values: tuple[Any, ...], order: str = "rowid", limits: tuple[int, ...] = ()
    ) -> list[Run]:
        # In the order in which they were made, which the clock does not tell: it may have been set since.
        with self.database.transaction() as db:
            rows = db.execute(
                f"SELECT {RUN_COLUMNS} FROM runs WHERE {where} ORDER BY {order}",  # noqa: S608 - constants
                (*values, *limits),
            )
            return [_run(row) for row in rows]

    def change_run(self, run: str, expected: tuple[State, ...], **changes: Any) -> bool:
        """Changes columns of a run if its state is one of `expected`; False when it is not (any more)."""
        names = ", ".join(f"{name} = ?" for name in changes)
        marks = ", ".join("?" for _ in expected)
        statement = f"UPDATE runs SET {names} WHERE id = ? AND state IN ({marks})"  # noqa: S608 - names are ours
        changed = self.database.execute(statement, (*changes.values(), run, *expected)) == 1
        if changed and "state" in changes and State(changes["state"]).finished:
            with self.database.transaction() as db:
                row = db.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
            if row is not None:
                journal.ended(row)
        return changed

    # Answers to programs, given again when they ask again

    def answer(self, session: str, key: str) -> Answer | None:
        """What was answered to the request with that key; None where there was none."""
        with self.database.transaction() as db:
            row = db.execute(
                "SELECT request, status, location, body FROM answers WHERE session = ? AND key = ?", (session, key)
            ).fetchone()
        return None if row is None else Answer(**row)

    def keep_answer(self, session: str, key: str, answer: Answer) -> None:
        """Keeps the first answer to a key, as long as the session is there."""
        self.database.execute(
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
        self.run(run.session, run.id)
        self._make_session_folders(run.session)
        shutil.rmtree(folder, ignore_errors=True)
        table = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
        text = json.dumps({**manifest, "files": table}, indent=1, allow_nan=False, ensure_ascii=False)
        try:
            folder.mkdir()
            for name, data in files.items():
                write_whole(folder / name, data)
            write_whole(folder / MANIFEST, text.encode())
        except BaseException:
            self.drop_results(run)
            raise

    def drop_results(self, run: Run) -> None:
        """Deletes the files of a run that came to nothing, the manifest first: without it they are no result."""
        remove(self.run_folder(run) / MANIFEST, self.run_folder(run))

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


def opened(folder: Path) -> Store:
    """The data folder, to begin with.

    Raises:
        ConfigError: it cannot be made or written to.
        NoSpace: there is no space for it.
    """
    try:
        return Store(folder)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        full = no_space(
            error, f"The data folder {folder} cannot be used", "Make room there, or choose another DATA_DIR."
        )
        raise full or ConfigError(
            f"The data folder {folder} cannot be used: {reason}. Choose another DATA_DIR.", field="DATA_DIR"
        ) from error


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
