"""What Picasso writes down while it runs, to stderr: a line of text for people, or a JSON object for programs.

Every module logs through `logging`, with what a line is about as `extra={"run": run.id}`. The id of the request and of
the run that are under way are added to every line that is written meanwhile, in the web process and in workers.

No line has the content of pictures, the names of uploaded files, tokens, cookies, or the address that was asked for
with what stands in it: routes are named as they are declared. Ids of runs are written; they lead nowhere without the
cookie or token of their session.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from picasso.config import Config

HIDDEN = "…"
about = structlog.contextvars.bound_contextvars  # `with about(run=...)`: all lines that are written meanwhile have it
_names: ContextVar[tuple[str, ...]] = ContextVar("names that no line has", default=())


def set_up(config: Config) -> None:
    """Has this process write its lines; whoever has set up `logging` before is left alone, as by `basicConfig`.

    LOG_LEVEL is that of Picasso. Libraries warn only: Pillow, for one, would write what is in a picture's EXIF.
    """
    if logging.getLogger().handlers:
        return
    terminal = sys.stderr.isatty()
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(config.LOG_FORMAT or ("text" if terminal else "json"), colours=terminal))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    level = config.LOG_LEVEL or ("warning" if terminal else "info")
    logging.getLogger("picasso").setLevel(level.upper())


def formatter(kind: Literal["text", "json"], *, colours: bool = False) -> logging.Formatter:
    """What makes a line of a record; JSON has one of its own for each, also where the text has several."""
    ours: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_process,
        structlog.processors.format_exc_info,  # as Python writes it: others would add the values of variables
        _hide_names,
    ]
    last: list[Processor] = [structlog.processors.JSONRenderer()]
    if kind == "text":
        last = [
            _on_one_line,
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
        ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=ours, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


@contextmanager
def hiding(names: Iterable[str]) -> Iterator[None]:
    """No line that is written meanwhile, and no traceback in it, has any of these names of files."""
    token = _names.set(tuple(names))
    try:
        yield
    finally:
        _names.reset(token)


def without(text: str, names: Iterable[str]) -> str:
    """A text with … for each of these names, where they stand as words of their own."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True) if name)
    return re.sub(rf"(?<!\w)(?:{words})(?!\w)", HIDDEN, text) if words else text


def _add_process(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    line["pid"] = os.getpid()
    return line


def _hide_names(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    if names := _names.get():
        line.update({key: without(value, names) for key, value in line.items() if isinstance(value, str)})
    return line


def _on_one_line(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Nothing that somebody sent can pass for another line, or command the terminal."""
    text = str(line["event"])
    line["event"] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return line
