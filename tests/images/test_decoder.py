"""The processes that read uploads: the same answers as without them, and what an image can do to them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator

import psutil
import pytest
from PIL import Image
from test_reading import GOOD, grey16, photo, png, saved, tiff

from picasso.errors import Busy, ImageDamaged, ImageRefused, TooLarge
from picasso.images import decoder as decoders
from picasso.images.decoder import Decoder
from picasso.images.decoder_process import FORGONE, IMAGES_EACH, Decoded, decode
from picasso.images.reading import Limits

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these limits")
SMALL = saved(photo())
USUAL = Limits()
BAD = [b"", b"hello", SMALL[:60], b"%PDF-1.7", b"\0" * 128 + b"DICM" + bytes(9), png(20_000, 20_000, 8, 2, b"\0")]
RARE = [
    saved(Image.new("LAB", (3, 2), (255, 128, 128)), "TIFF"),
    saved(grey16([0.5, float("nan")], "float32"), "TIFF"),
    saved(Image.new("RGBA", (3, 2), (1, 2, 3, 4)), "WEBP"),
    saved(photo(), "PNG", icc_profile=b"no profile"),
    png(2, 1, 16, 2, b"\0\1\0\2\0\3\0\4\0\5\0\6\0", tRNS=b"\1\0\2\0\3\0", zTXt=b"k\0\0" + zlib.compress(b"text")),
]


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    """One process, of the test's own."""
    found = Decoder(1)
    yield found
    found.close()


def outcome(read: object, data: bytes, limits: Limits = USUAL) -> Decoded | tuple[type, str]:
    """What becomes of an image."""
    try:
        return read(data, "a.dat", limits)  # type: ignore[operator,no-any-return]
    except ImageRefused as error:
        return type(error), error.message


def process_of(decoder: Decoder) -> psutil.Process:
    """Its only process, which has nothing to do."""
    found = decoder._places.queue[0]
    assert found is not None
    return psutil.Process(found._process.pid)


def test_the_processes_read_as_this_one_does() -> None:
    """Also what Pillow imports a module for: they can open no file."""
    for data in [*GOOD, *RARE, *BAD]:
        assert outcome(decoders.shared().decode, data) == outcome(decode, data)
    few = Limits(max_pixels=390)
    assert outcome(decoders.shared().decode, SMALL, few) == outcome(decode, SMALL, few)


def bomb(side: int) -> bytes:
    """A TIFF of one pixel, in a tile of so many pixels a side."""
    packed = zlib.compress(bytes(side), 9)
    entries = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    entries += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 0), (325, 4, 1, len(packed))]
    entries[8] = (324, 4, 1, len(tiff(entries)))
    return tiff(entries, packed)


@LINUX
def test_what_a_process_may_do(decoder: Decoder) -> None:
    """No files, no processes, no core dump; so much memory. What needs more is refused, and costs nothing else."""
    limits = Limits(max_bytes=10_000, max_pixels=1000)
    first = decoder.decode(SMALL, "a.png", limits)
    process = process_of(decoder)
    for name in FORGONE:
        assert process.rlimit(getattr(resource, name)) == (0, 0)
    allowed, _ = process.rlimit(resource.RLIMIT_AS)
    assert limits.max_memory < allowed < limits.max_memory + 2**30
    assert not [name for name in process.environ() if name.startswith("PICASSO_")]
    with pytest.raises(TooLarge, match=r'^"tile\.tif" needs more than 64 MiB of memory to be read\. Make it smaller'):
        decoder.decode(bomb(2**14), "tile.tif", limits)
    assert decoder.decode(SMALL, "a.png", limits) == first
    assert process_of(decoder).pid != process.pid


@pytest.mark.slow
def test_an_image_that_takes_too_long(decoder: Decoder) -> None:
    decoder.decode(SMALL, "a.png", Limits())
    with pytest.raises(TooLarge, match=r'^"slow\.png" could not be read within 0\.001 seconds\. Make it smaller'):
        decoder.decode(saved(Image.effect_noise((2000, 1000), 90)), "slow.png", Limits(max_seconds=0.001))
    assert decoder.decode(SMALL, "a.png", Limits()).size == (23, 17)


@pytest.mark.slow
def test_a_process_that_is_killed(decoder: Decoder) -> None:
    """While it reads, that costs the image; while it waits, nothing."""
    decoder.decode(SMALL, "a.png", Limits())
    process = process_of(decoder)
    process.suspend()  # it has read nothing yet when it is killed
    threading.Timer(0.1, process.kill).start()
    with pytest.raises(ImageDamaged, match=r'^"b\.png" cannot be read: it made the process that read it end \(SIGKILL'):
        decoder.decode(SMALL, "b.png", Limits())
    decoder.decode(SMALL, "a.png", Limits())
    process = process_of(decoder)
    process.kill()
    psutil.wait_procs([process], 10)
    assert decoder.decode(SMALL, "a.png", Limits()).size == (23, 17)


@pytest.mark.slow
def test_a_process_is_replaced_after_some_images(decoder: Decoder) -> None:
    pids = set()
    for _ in range(IMAGES_EACH - 1):
        decoder.decode(SMALL, "a.png", Limits())
        pids.add(process_of(decoder).pid)
    for _ in range(2):  # its last, and the first of the next one
        decoder.decode(SMALL, "a.png", Limits())
    assert len(pids) == 1
    assert process_of(decoder).pid not in pids


@pytest.mark.slow
def test_who_waits_too_long_is_told(decoder: Decoder) -> None:
    place = decoder._places.get()
    with pytest.raises(Busy, match=r'^"a\.png" was not read: too many others'):
        decoder.decode(SMALL, "a.png", Limits(max_seconds=0.01))
    decoder._places.put(place)
    assert decoder.decode(SMALL, "a.png", Limits()).size == (23, 17)


def test_a_process_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in ([sys.executable, "-c", ""], ["/no/such/program"]):
        monkeypatch.setattr(decoders, "COMMAND", command)
        with pytest.raises(Busy, match="no process can be started"):
            Decoder(1).decode(SMALL, "a.png", Limits())


SERVER = """
import signal, sys, time
from picasso.images.decoder import shared
from picasso.images.reading import Limits
signal.signal(signal.SIGINT, signal.default_int_handler)  # which tests in the background ignore
shared().decode(bytes.fromhex(sys.argv[1]), "a.png", Limits())
assert not {"flask", "tensorflow", "keras"} & sys.modules.keys()
print("ready", flush=True)
time.sleep(100)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_its_server(number: int, tmp_path) -> None:
    """Also where the working directory has modules that are called like Python's."""
    for name in ("json", "struct", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('not this one')")
    program = ["-P", "-c", SERVER, saved(Image.new("L", (1, 1))).hex()]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *program], cwd=tmp_path, **pipes) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == b"ready\n"
        children = psutil.Process(it.pid).children()
        assert len(children) == 1
        os.kill(it.pid, number)
        it.wait(20)
        assert psutil.wait_procs(children, 20)[1] == []
