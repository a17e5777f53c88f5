"""Every error that Picasso shows to a person.

One tree: each class carries a `code` for programs, an HTTP `status`, a process `exit_code` and a `title`.
The message is a sentence that names the thing, the rule, the value and the remedy.
"""

from __future__ import annotations

import linecache
import os
import traceback
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path


class PicassoError(Exception):
    """Whatever has no kind of its own; all others are kinds of it.

    `field` names the setting or form field that caused the error, if one did.
    """

    code = "error"
    status = 500
    exit_code = 1
    title = "Something went wrong"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from the worker process to the web process; the default reduction loses keyword arguments.
        return (_rebuild, (type(self), self.message, self.field))


def _rebuild(kind: type[PicassoError], message: str, field: str | None) -> PicassoError:
    return kind(message, field=field)


def kind_of(code: str) -> type[PicassoError]:
    """The class of errors with that code; `PicassoError` where there is none."""
    kinds = [PicassoError]
    for kind in kinds:  # grows while it is walked: the whole tree
        if kind.code == code:
            return kind
        kinds += kind.__subclasses__()
    return PicassoError


@dataclass(frozen=True)
class Place:
    """A line of code that is not ours: the file's absolute path, and the line's number."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"

    @property
    def short(self) -> str:
        """Without the folders, which say much of a machine."""
        return f"{Path(self.file).name}, line {self.line}"

    def source(self, before: int = 3, after: int = 2) -> str:
        """The line as it is in the file now, marked, among those around it; "" where the file cannot be read."""
        linecache.checkcache(self.file)
        lines = linecache.getlines(self.file)
        first, last = max(1, self.line - before), min(len(lines), self.line + after)
        return "\n".join(
            f"{'>' if number == self.line else ' '} {number:>{len(str(last))}} | {lines[number - 1].rstrip()}".rstrip()
            for number in range(first, last + 1)
        )


def origin(error: BaseException, *callers: str) -> Place | None:
    """Where code that is not ours failed; None when it was not entered.

    Args:
        error: what it raised.
        callers: our files that called it. The first other file is the author's: its last line is named, not the
            line of a library that it called.
    """
    if (place := _syntax(error)) is not None:
        return place
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    theirs = [frame for frame in frames if frame.filename not in callers]
    return place_in(error, {theirs[0].filename}) if theirs else None


def place_in(error: BaseException, files: Container[str]) -> Place | None:
    """The last line of these files that an error passed; None where it passed none."""
    if (place := _syntax(error)) is not None:
        return place
    frames = traceback.extract_tb(error.__traceback__)
    own = (Place(one.filename, one.lineno or 0) for one in reversed(frames) if one.filename in files)
    return next(own, None)


def _syntax(error: BaseException) -> Place | None:
    """Where a file cannot be parsed, one of Python's or a template."""
    file, line = getattr(error, "filename", None), getattr(error, "lineno", None)
    if isinstance(file, str) and isinstance(line, int) and Path(file).is_absolute():
        return Place(file, line)
    return None


def blame(error: BaseException, *callers: str) -> str:
    """What follows "... failed" in a sentence: the author's line (see `origin`), the kind of error, its message."""
    where = origin(error, *callers)
    return f"{f' at {where}' if where else ''}: {type(error).__name__}: {error}"


def _is_machinery(filename: str) -> bool:
    """Whether a file belongs to Python's import system."""
    return filename.startswith("<frozen ") or f"{os.sep}importlib{os.sep}" in filename


class ConfigError(PicassoError):
    """A configuration key is unknown, has a wrong value, or names something that cannot be found."""

    code = "config"
    exit_code = 2
    title = "The configuration is not right"


class ModelError(PicassoError):
    """The model cannot be opened, or its functions do not fit it."""

    code = "model"
    status = 503
    exit_code = 3
    title = "The model cannot be used"


class NotSupported(ModelError):
    """The model cannot do what the visualization needs."""

    code = "not_supported"
    status = 422
    title = "This model cannot do that"


class NotFinite(ModelError):
    """What the model gave for an image has numbers that are NaN or infinite."""

    code = "not_finite"
    status = 422
    title = "The model gave no number"


class InvalidRequest(PicassoError):
    """A field, parameter or header of a program's request is not what it should be."""

    code = "invalid_request"
    status = 422
    exit_code = 4
    title = "The request is not right"


class InvalidSetting(PicassoError):
    """A visualization's setting is outside what is allowed."""

    code = "invalid_setting"
    status = 422
    exit_code = 4
    title = "A setting is not right"


class OverBudget(InvalidSetting):
    """A run would take more model calls, or longer, than the config allows."""

    code = "over_budget"
    title = "That is too much work"


class NotFound(PicassoError):
    """The thing that was asked for does not exist, or belongs to somebody else."""

    code = "not_found"
    status = 404
    exit_code = 5
    title = "Not found"


class ImageRefused(PicassoError):
    """An uploaded file is not an image that Picasso reads."""

    code = "unsupported_image"
    status = 415
    exit_code = 6
    title = "That file is not an image Picasso reads"


class ImageDamaged(ImageRefused):
    """The file has the right format, but its content cannot be decoded."""

    code = "damaged_image"
    status = 422
    title = "That image is damaged"


class TooLarge(ImageRefused):
    """More bytes, pixels or images than allowed."""

    code = "too_large"
    status = 413
    title = "That is too large"


class NotLetIn(PicassoError):
    """The server is not open to that visitor, or not by the name that they use for it."""

    code = "not_let_in"
    status = 403
    title = "This Picasso is not open to you"


class TokenNeeded(NotLetIn):
    """The visitor did not name the server's token, or named a wrong one."""

    code = "token_needed"
    status = 401
    title = "This Picasso needs a token"


class AdministratorOnly(PicassoError):
    """Only the administrator may do or see that."""

    code = "administrator_only"
    status = 403
    title = "That is for the administrator"


class NoSession(PicassoError):
    """A program asked for what belongs to a session, and named none."""

    code = "no_session"
    status = 401
    title = "No session"


class Conflict(PicassoError):
    """What was asked for does not go with how things are at the moment."""

    code = "conflict"
    status = 409
    exit_code = 10
    title = "Not now"


class Differs(Conflict):
    """What was computed again is not what it was."""

    code = "differs"
    exit_code = 11
    title = "It is not the same"


class TookTooLong(PicassoError):
    """An answer was not there within the time that a request may take."""

    code = "took_too_long"
    status = 504
    title = "That took too long"


class PluginError(PicassoError):
    """A visualization's own code or template failed. While it is written, the source follows on lines of its own."""

    code = "plugin"
    exit_code = 7
    title = "The visualization failed"

    @classmethod
    def of(cls, what: str, error: BaseException, place: Place | None, *, source: bool) -> PluginError:
        """`what` failed with an error there.

        Args:
            source: whether whoever reads it may see the file's path and source text.
        """
        where = "" if place is None else f" at {place if source else place.short}"
        sentence = f"{what} failed{where}: {type(error).__name__}: {error}"
        return cls(f"{sentence}\n{place.source()}" if source and place else sentence)


class WorkerLost(PicassoError):
    """The worker process died or did not answer."""

    code = "worker_lost"
    exit_code = 8
    title = "The worker process was lost"


class Cancelled(PicassoError):
    """The run was cancelled by the person who started it."""

    code = "cancelled"
    status = 409
    exit_code = 130
    title = "Cancelled"


class TooMany(PicassoError):
    """The visitor has as much under way as one visitor may."""

    code = "too_many"
    status = 429
    exit_code = 12
    title = "That is too many at once"


class Busy(PicassoError):
    """Nobody can answer just now; whoever asks again later gets an answer."""

    code = "busy"
    status = 503
    exit_code = 9
    title = "Not just now"


class NoSpace(PicassoError):
    """The disk is full, or cannot be written to any more."""

    code = "no_space"
    status = 507
    exit_code = 12
    title = "There is no space left"
