"""Sessions: one visitor's images and runs in one temporary folder, gone when unused for long.

The visitor's browser holds the session's id in a signed cookie; nothing else leads to a session.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from io import SEEK_END, BytesIO
from pathlib import Path

from PIL import Image
from werkzeug.datastructures import FileStorage

from picasso.config import TOKEN, Config
from picasso.disk import if_there_is_room, no_space
from picasso.errors import Busy, ConfigError, ImageRefused, NotFound, PicassoError, TooLarge
from picasso.images.decoder import shared
from picasso.images.decoder_process import Decoded, decode
from picasso.images.reading import FORMATS, Limits, check_bytes, shown_name
from picasso.metrics import UPLOADS
from picasso.runs.files import read_kept, write_whole
from picasso.runs.interface import Engine
from picasso.runs.run import StoredImage
from picasso.runs.store import Store

log = logging.getLogger(__name__)

THUMBNAIL = 320  # pixels, longer side
THUMBNAIL_QUALITY = 80  # of 100; a photograph then takes 5 to 20 kB
SWEEP_SECONDS = 60.0
FIRST_SWEEP_SECONDS = 600.0
CLOCK_PRECISION = 60.0  # seconds that a clock may be set by without anybody taking notice
FRESH_FOLDER_SECONDS = 600.0  # a folder without a row may be one that is just being made


@dataclass(frozen=True)
class Refusal:
    """An uploaded file that was not taken, and why."""

    filename: str
    error: PicassoError


class Sessions:
    """Uploads, quotas and expiry, over the store."""

    def __init__(self, config: Config, store: Store, engine: Engine) -> None:
        self.config = config
        self.store = store
        self.engine = engine
        self.limits = Limits(config.MAX_IMAGE_BYTES, config.MAX_IMAGE_PIXELS, config.MAX_IMAGE_SECONDS)

    def add_files(self, session: str, files: Iterable[FileStorage]) -> tuple[list[StoredImage], list[Refusal]]:
        """Takes uploaded files into a session; those that are refused do not hold up the others."""
        accepted, refused = [], []
        for file in files:
            name, size = shown_name(file.filename), file.stream.seek(0, SEEK_END)
            file.stream.seek(0)
            try:
                check_bytes(size, file.filename or "", self.limits)  # before it is in memory
                accepted.append(self.add_image(session, file.stream.read(), file.filename))
                UPLOADS.labels("accepted").inc()
            except (ImageRefused, Busy) as error:
                UPLOADS.labels(error.code).inc()
                refused.append(Refusal(name, error))
            except (OSError, sqlite3.Error) as error:
                full = no_space(error, f"\u201c{name}\u201d was not added")
                if full is None:
                    raise
                UPLOADS.labels(full.code).inc()
                refused.append(Refusal(name, full))
        return accepted, refused

    def add_image(self, session: str, data: bytes, filename: str | None) -> StoredImage:
        """Reads an uploaded file, in another process, and keeps it as PNG.

        Raises:
            ImageRefused: it is no image that Picasso reads, is damaged, or is too large; the sentence names the file.
            Busy: too many others are being read.
        """
        name = shown_name(filename)
        self._check_number(session, name)
        return self._keep(session, name, shared().decode(data, name, self.limits))

    def _check_number(self, session: str, name: str) -> None:
        if len(self.store.images(session)) >= self.config.MAX_IMAGES:
            raise TooLarge(
                f"\u201c{name}\u201d was not added: a session holds {self.config.MAX_IMAGES} pictures. "
                "Remove some, or start over."
            )

    def _keep(self, session: str, name: str, read: Decoded) -> StoredImage:
        used = self.store.session_bytes(session)
        if used + len(read.png) > self.config.SESSION_MAX_BYTES:
            raise TooLarge(
                f"\u201c{name}\u201d was not added: this session's {self.config.SESSION_MAX_BYTES // 2**20} MiB are "
                "used up. Remove pictures, or start over."
            )
        return self.store.add_image(session, name, read.png, read.size, read.format, list(read.notes))

    def add_sample(self, session: str, index: int) -> StoredImage:
        """Puts one of the configured sample pictures into a session; once only.

        Raises:
            NotFound: there is no sample of that number.
        """
        path = self.sample(index)
        name = shown_name(path.name)
        read = decode(path.read_bytes(), name, self.limits)
        known = (name, sha256(read.png).hexdigest())  # a picture of one's own may have the same name
        for image in self.store.images(session):
            if (image.filename, image.digest) == known:
                return image
        self._check_number(session, name)
        return self._keep(session, name, read)

    def sample(self, index: int) -> Path:
        """The file of a sample picture.

        Raises:
            NotFound: there is none of that number, or its file is missing.
        """
        paths = self.config.SAMPLE_IMAGES
        if not 0 <= index < len(paths) or not Path(paths[index]).is_file():
            raise NotFound("There is no such sample picture. Check SAMPLE_IMAGES in the config.")
        return Path(paths[index])

    def delete(self, session: str) -> None:
        """Cancels a session's runs and deletes everything of it."""
        for run in self.store.runs(session):
            if not run.state.finished:
                self.engine.cancel(run)
        self.store.delete_session(session)

    def sweep(self, now: float | None = None) -> int:
        """Deletes sessions that nobody used for `SESSION_HOURS`, never one with a run under way; how many."""
        now = time.time() if now is None else now
        self.store.keep_young()
        expired = self.store.expire_sessions(now - self.config.SESSION_HOURS * 3600)
        for folder in self.store.orphaned_folders():
            with suppress(FileNotFoundError):  # somebody else was quicker
                if now - folder.stat().st_mtime > FRESH_FOLDER_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
        return len(expired)

    def start_sweeping(self) -> None:
        """Sweeps now and then, in the background, for as long as the process lives.

        Not at once: where the server was started with a clock that is ahead, whoever is there has come back by then.
        """

        def loop() -> None:
            clock = Clock()
            while True:
                time.sleep(SWEEP_SECONDS)
                try:
                    now = time.time()  # looked at once: it may be set between two looks
                    if jump := clock.jump(now):
                        log.warning("The clock was set by %+.0f seconds. Sessions stay as old as they were", jump)
                        self.store.shift_clock(jump)
                    if clock.age > FIRST_SWEEP_SECONDS:
                        self.sweep(now)
                except Exception as error:
                    log.warning("The sweeper stumbled: %s", error, exc_info=no_space(error) is None)

        threading.Thread(target=loop, name="sweeper", daemon=True).start()


class Clock:
    """Notices when the clock is set, by one that nobody sets."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ahead = time.time() - self._began

    @property
    def age(self) -> float:
        """Seconds since it was made."""
        return time.monotonic() - self._began

    def jump(self, now: float) -> float:
        """By how many seconds the clock, which says `now`, was set forward since this was asked; 0 where it was not."""
        ahead = now - time.monotonic()
        jump = ahead - self._ahead
        if abs(jump) < CLOCK_PRECISION:
            return 0.0
        self._ahead = ahead
        return jump


def secret_key(folder: Path) -> bytes:
    """The key that signs cookies."""
    return _kept_secret(folder / "secret_key", secrets.token_bytes(32))


def admin_token(folder: Path) -> str:
    """What the administrator has to know, where the config does not say it.

    Raises:
        ConfigError: somebody has written something else into its file.
    """
    path = folder / "admin_token"
    token = _kept_secret(path, secrets.token_urlsafe(16).encode()).decode("ascii", "replace").strip()
    if not TOKEN.fullmatch(token):
        raise ConfigError(f"The file {path} has no token for the administrator: delete it, and another one is made.")
    return token


def _kept_secret(path: Path, new: bytes) -> bytes:
    """Made at first start, readable by its owner only, kept across restarts."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(new)
        os.link(temporary, path)  # fails if another process was first: then theirs is taken
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_bytes()


def thumbnail_bytes(store: Store, image: StoredImage) -> bytes:
    """A small WebP of a stored picture; kept, because decoding a large one takes a second.

    Raises:
        NotFound: its file is gone.
    """
    path = store.thumbnail_path(image)
    if path.is_symlink() or not path.is_file():
        data = small(image_bytes(store, image))
        with if_there_is_room():
            write_whole(path, data)
        return data
    return read_kept(path)


def small(data: bytes) -> bytes:
    """A picture of any format that Picasso reads, as a WebP with losses of at most `THUMBNAIL` pixels a side."""
    picture: Image.Image = Image.open(BytesIO(data), formats=list(FORMATS))
    picture.draft(None, (THUMBNAIL, THUMBNAIL))
    picture.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = BytesIO()
    picture.convert("RGB").save(stream, "WEBP", quality=THUMBNAIL_QUALITY)
    return stream.getvalue()


def image_bytes(store: Store, image: StoredImage) -> bytes:
    """The PNG of a stored picture.

    Raises:
        NotFound: its file is gone.
    """
    try:
        return read_kept(store.image_path(image))
    except FileNotFoundError as error:
        raise NotFound(f"The file of \u201c{image.filename}\u201d is gone. Upload it again.") from error
