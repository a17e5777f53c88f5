"""File systems of a given size, in a namespace of their own: as root or, where that is allowed, as anybody."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

BALLAST = "ballast"
WAYS = [(["-m"], []), (["-Urm"], ["-U", "--preserve-credentials"])]  # as root, as anybody: of unshare, of nsenter


@dataclass
class Disk:
    """A tmpfs.

    Attributes:
        path: where it is for processes that are started with `prefix`.
        here: where it is for the tests.
        prefix: what their command line begins with.
    """

    path: Path
    here: Path
    prefix: list[str]

    def fill(self) -> None:
        """Leaves no space for a byte."""
        with (self.here / BALLAST).open("wb", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def fill_inodes(self) -> None:
        """Leaves no space for a file, however small."""
        folder = self.here / "files"
        folder.mkdir()
        try:
            for number in range(1_000_000):
                (folder / str(number)).touch()
        except OSError:
            return

    def make_room(self) -> None:
        """Takes back what filled it."""
        (self.here / BALLAST).unlink(missing_ok=True)
        for path in (self.here / "files").glob("*"):
            path.unlink()
        if (self.here / "files").is_dir():
            (self.here / "files").rmdir()

    def read_only(self) -> None:
        """Nothing can be opened for writing any more."""
        self._run(f"mount --bind {self.path} {self.path} && mount -o remount,bind,ro {self.path}")

    def writable(self) -> None:
        """As before."""
        self._run(f"umount {self.path}")

    def files(self) -> set[str]:
        """What lies on it, but for sqlite's files and for what can be made again."""
        found = (path for path in self.here.rglob("*") if path.is_file() and path.name != BALLAST)
        return {str(path.relative_to(self.here)) for path in found if not path.match("*.sqlite*")}

    def _run(self, command: str) -> None:
        subprocess.run([*self.prefix, "sh", "-c", command], check=True, timeout=30)


@contextmanager
def disk(path: Path, *, size: str = "1m", inodes: int = 0) -> Iterator[Disk]:
    """A tmpfs at `path`, which is gone afterwards."""
    path.mkdir(parents=True)
    options = f"size={size},mode=700" + (f",nr_inodes={inodes}" if inodes else "")
    command = f"mount -t tmpfs -o {options} tmpfs {path} && echo there && exec sleep infinity"
    refused, enter = "", list[str]()
    for unshare, enter in WAYS:  # noqa: B007 - used after it
        process = subprocess.Popen(
            ["unshare", *unshare, "sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        if process.stdout.readline().strip() == "there":
            break
        refused += process.communicate()[1]
    else:
        raise AssertionError(
            "These tests need a small file system: run them as root, or where `unshare -Urm` is allowed "
            f"(kernel.unprivileged_userns_clone). It was refused: {refused}"
        )
    try:
        prefix = ["nsenter", "-t", str(process.pid), "-m", *enter, f"--wd={os.sep}"]
        yield Disk(path, Path(f"/proc/{process.pid}/root{path}"), prefix)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
