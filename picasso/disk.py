"""What is said where the disk has no room, or cannot be written to any more."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from picasso.errors import NoSpace

FULL = (errno.ENOSPC, errno.EDQUOT)  # of blocks, or of files
CLOSED = (errno.EROFS,)
SQLITE_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
SQLITE_CLOSED = (  # "cannot open": a log cannot be made
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMOPEN,
)  # fmt: skip
PRIMARY = 0xFF  # the part of sqlite's numbers that says the kind; what is above it says more
NOT_KEPT = "This was not kept"
ASK = (
    "What was kept before is still there. Delete pictures and runs that are not needed any more, or ask whoever runs "
    "this server to make room; then try again."
)
TEMPORARY = "Make room in its folder for temporary files (TMPDIR); then try again."


def no_space(error: BaseException, what: str = NOT_KEPT, remedy: str = ASK) -> NoSpace | None:
    """What is said of an error, or of one that it came from, where that was a disk without room; None of any other.

    Args:
        what: could not be done, as the beginning of a sentence.
        remedy: what to do, as sentences.
    """
    one: BaseException | None = error
    while one is not None:
        if _is(one, FULL, SQLITE_FULL):
            return NoSpace(f"{what}: there is no space left on the disk. {remedy}")
        if _is(one, CLOSED, SQLITE_CLOSED):
            return NoSpace(f"{what}: there is no space to write to, the disk is read-only or broken. {remedy}")
        one = one.__cause__ or one.__context__
    return None


@contextmanager
def if_there_is_room() -> Iterator[None]:
    """What is done within is left out where the disk has no room for it."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        if no_space(error) is None:
            raise


def _is(error: BaseException, numbers: Collection[int], sqlites: Collection[int]) -> bool:
    if isinstance(error, OSError):
        return error.errno in numbers
    number = getattr(error, "sqlite_errorcode", 0)
    return number in sqlites or number & PRIMARY in sqlites
