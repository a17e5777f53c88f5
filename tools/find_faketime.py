"""Finds libfaketime, by which tests set a process' clock: one that is there, else the system's package manager's."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "libfaketimeMT.so.1"  # the one for programs with threads
PLACES = ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/opt/homebrew/lib"]


def find() -> str | None:
    """The path of the library; None where there is none."""
    for place in PLACES:
        for pattern in (f"*/faketime/{NAME}", f"faketime/{NAME}"):
            for path in Path(place).glob(pattern):
                return str(path)
    return None


def install() -> None:
    """Brings it."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if shutil.which("apt-get"):
        way = [*sudo, "sh", "-c", "apt-get update -q && apt-get install -qy --no-install-recommends libfaketime"]
    elif shutil.which("dnf"):
        way = [*sudo, "dnf", "install", "-y", "libfaketime"]
    else:
        return
    print("No libfaketime yet; trying:", " ".join(way), flush=True)
    done = subprocess.run(way, capture_output=True, text=True, check=False)  # noqa: S603 - fixed commands
    if find() is None:
        print((done.stderr or done.stdout).strip().splitlines()[-1:], flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="install it if it is not there")
    if parser.parse_args().install and find() is None:
        install()
    found = find()
    if found is None:
        sys.exit("libfaketime was not found. Install it (Debian: apt-get install libfaketime), then try again.")
    print(found)
