"""Reading what strangers send, in processes of its own: an image that crashes, hangs or swells costs itself only."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import picasso
from picasso.errors import Busy, ImageDamaged, TooLarge, kind_of
from picasso.images.decoder_process import Decoded, receive, send
from picasso.images.reading import Limits

log = logging.getLogger(__name__)

PROCESSES = 2
START_SECONDS = 60.0  # a third of a second where nothing else goes on
# The package comes from where this process has it; all else from where Python looks by itself, and not from the working
# directory or the config's folder, where a file may be called like a module of Python.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); import picasso; del sys.path[0]; "
    "from picasso.images.decoder_process import main; main()"
)
COMMAND = (sys.executable, "-P", "-c", PROGRAM, str(Path(picasso.__file__).parents[1]))
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # each further thread takes address space
    "MALLOC_MMAP_THRESHOLD_": str(2**20),  # what an image took goes back to the system after it
}


class Decoder:
    """Some processes that read images, each started when it is first needed. Used from any thread."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self._places: queue.LifoQueue[_Process | None] = queue.LifoQueue()  # the last used is the warmest
        for _ in range(processes):
            self._places.put(None)
        atexit.register(self.close)

    def decode(self, data: bytes, name: str, limits: Limits) -> Decoded:
        """Reads a file; `name` is used in messages only. Waits for a free process.

        Raises:
            ImageRefused: as `read_image`; or it took too much time or memory, or the process ended over it.
            Busy: no process became free in the time that an image may take, or none can be started.
        """
        try:
            process = self._places.get(timeout=limits.max_seconds)
        except queue.Empty:
            raise Busy(f'"{name}" was not read: too many others are just now. Try again in a moment.') from None
        try:
            if process is not None and process.ended:  # somebody ended it while it had nothing to do
                process.close()
                process = None
            process = process or _Process()
            return process.decode(data, name, limits)
        finally:
            self._places.put(process)

    def close(self) -> None:
        """Ends the processes that have nothing to do; the others end with this one. It may be used again."""
        idle = []
        with suppress(queue.Empty):
            while True:
                idle.append(self._places.get_nowait())
        for process in idle:
            if process is not None:
                process.close()
            self._places.put(None)


@cache
def shared() -> Decoder:
    """The one of this process."""
    return Decoder()


class _Process:
    """One process that reads images. Used by one thread at a time."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PICASSO_")}  # secrets
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment | ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for this process, whose end is the end of that one
            )
            self._exchange(None, START_SECONDS)
        except OSError as error:
            log.exception("No process for reading pictures could be started")
            raise Busy("Pictures cannot be read now: no process can be started for it. Try again later.") from error

    @property
    def ended(self) -> bool:
        """Whether it is of no more use."""
        return self._process.poll() is not None

    def decode(self, data: bytes, name: str, limits: Limits) -> Decoded:
        """Raises as `Decoder.decode`."""
        began = time.monotonic()
        try:
            answer, png = self._exchange(({"name": name, "limits": asdict(limits)}, data), limits.max_seconds)
        except OSError as error:
            if time.monotonic() - began >= limits.max_seconds:
                raise TooLarge(
                    f'"{name}" could not be read within {limits.max_seconds:g} seconds. Make it smaller, or save it as '
                    "PNG or JPEG, and try again."
                ) from error
            raise ImageDamaged(
                f'"{name}" cannot be read: it made the process that read it end ({error}). Open it in an image editor, '
                "save it as PNG or JPEG and try again."
            ) from error
        if answer["last"] or time.monotonic() - began >= limits.max_seconds:  # it may be just being killed
            self.close()
        if "code" in answer:
            raise kind_of(answer["code"])(answer["message"])
        width, height = answer["size"]
        return Decoded(png, (width, height), answer["format"], tuple(answer["notes"]))

    def _exchange(self, message: tuple[dict[str, Any], bytes] | None, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Sends a message, if there is one, and waits for the answer.

        Raises OSError where there is none in time, and says how the process ended: it has, then.
        """
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        timer = threading.Timer(seconds, self._process.kill)  # reading and writing have no time limit of their own
        timer.start()
        try:
            if message is not None:
                send(requests, *message)
            return receive(answers)
        except (OSError, EOFError, ValueError) as error:
            how = self.close()
            log.warning("A process for reading pictures was lost: %s", how)
            raise ConnectionError(how) from error
        finally:
            timer.cancel()

    def close(self) -> str:
        """Ends it, unless it has ended by itself; returns how it ended."""
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what could not be written any more
                if stream is not None:
                    stream.close()
        self._process.kill()
        code = self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"code {code}"
