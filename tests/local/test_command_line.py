"""`picasso explain` and `picasso visualizations`, as somebody types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import skimage
from click.testing import CliRunner
from gallery import blocks

from picasso.cli import main
from picasso.errors import Cancelled, Conflict, ImageDamaged, InvalidSetting, NotFound
from picasso.local.folder import RESULT, UNFINISHED

ROOT = Path(__file__).resolve().parents[2]
MNIST = ROOT / "examples" / "mnist-keras"
IMAGES = 2000
MEBIBYTE = 2**20


@pytest.fixture(scope="session")
def tiny_file(tiny_model, tmp_path_factory):
    """The tiny model's file."""
    path = tmp_path_factory.mktemp("files") / "tiny.keras"
    tiny_model.network.save(path)
    return path


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Types a command in an empty folder; it must end with that exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*words, exit_code=0):
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == exit_code, done.output
        return done

    return run


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PICASSO_", "TF_"))}
    return kept | {"PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_explaining_a_folder(typed, photos, tiny_file):
    command = (
        "explain",
        photos,
        "-v",
        "occlusion",
        "--model",
        tiny_file,
        "--set",
        "stride=3",
        "--out",
        "out",
        "--json",
    )
    first = typed(*command, exit_code=ImageDamaged.exit_code)
    lines = [json.loads(line, parse_constant=pytest.fail) for line in first.stdout.splitlines()]
    assert sorted(line["name"] for line in lines) == ["a.png", "b.jpg", "broken.png", "c.png", "deep/er/a.png"]
    (broken,) = [line for line in lines if "error" in line]
    assert broken["error"]["code"] == "damaged_image"
    assert "1 image was not explained:" in first.stderr
    assert f'{photos / "broken.png"}: "broken.png" is damaged' in first.stderr
    written = {path: path.stat().st_mtime_ns for path in Path("out").rglob(RESULT)}
    assert len(written) == 4
    blocks(7).save(photos / "d.png")
    blocks(8).save(photos / "b.jpg")  # is another image now
    (photos / "broken.png").unlink()
    shutil.rmtree("out/c.png")
    again = typed(*command, exit_code=Conflict.exit_code)
    assert "b.jpg has changed since its result was written. Delete out/b.jpg" in again.stderr
    assert "2 of these were there already." in again.stderr
    after = {path: path.stat().st_mtime_ns for path in Path("out").rglob(RESULT)}
    assert {path for path in after if after[path] != written.get(path)} == {
        Path("out/d.png", RESULT),
        Path("out/c.png", RESULT),
    }
    other = typed(*command, "--set", "window=3", exit_code=Conflict.exit_code)
    assert other.stderr == (
        "picasso: out has results of another run: window is 2 there and 3 here. Choose another folder, or delete that "
        "one.\n"
    )


@pytest.mark.parametrize(
    ("words", "exit_code", "sentence"),
    [
        (["explain"], 2, "Name at least one image"),
        (["explain", "a.png"], 2, "Say which way to look: --visualization occlusion"),
        (["explain", "--again", "m.json", "--set", "a=1"], 2, "The manifest says how"),
        (["explain", "--again", "m.json"], NotFound.exit_code, "There is no manifest m.json."),
        (["explain", "*.png", "-v", "occlusion"], NotFound.exit_code, "There are no image files in *.png."),
        (["explain", "a.png", "-v", "occlusion", "--set", "w"], InvalidSetting.exit_code, "--set takes KEY=VALUE"),
        (
            ["explain", "a.png", "-v", "occlusion", "--set", "a=1", "--set", "a=2"],
            InvalidSetting.exit_code,
            "set twice",
        ),
        (["explain", "a.png", "-v", "occlusion", "--model", "gone.keras"], 3, "gone.keras does not exist"),
        (["visualizations", "--model", "gone.keras"], 3, "gone.keras does not exist"),
    ],
)
def test_what_is_typed_wrongly(typed, words, exit_code, sentence):
    done = typed(*words, exit_code=exit_code)
    assert sentence in done.stderr
    assert done.stdout == ""


def test_visualizations_are_listed_with_their_settings(typed, tmp_path):
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "config.py").write_text('VISUALIZATION_FOLDERS = ["."]')
    text = typed("visualizations").stdout
    assert "window=32" in text
    assert "ZeroDivisionError" in text
    found = json.loads(typed("visualizations", "--json").stdout)
    occlusion = next(one for one in found["visualizations"] if one["name"] == "occlusion")
    assert (occlusion["available"], occlusion["settings"]["properties"]["window"]["default"]) == (None, 32)
    assert len(found["broken"]) == 1


@pytest.mark.slow
def test_the_default_model_in_a_process_of_its_own(tmp_path):
    """Nothing but JSON on stdout, nothing of TensorFlow's on stderr, classes by name."""
    for name in ("coffee.png", "chelsea.png"):
        shutil.copy(Path(skimage.__file__).parent / "data" / name, tmp_path)
    command = [sys.executable, "-m", "picasso", "explain", "coffee.png", "chelsea.png", "--json", "-v", "occlusion"]
    command += ["--set", "window=64", "--set", "stride=64", "--class", "espresso", "--out", "out"]
    command += ["--config", str(ROOT / "config.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (0, "The results are in out.\n")
    coffee, cat = (json.loads(line) for line in done.stdout.splitlines())
    assert cat["predictions"][0]["label"] == "espresso"
    assert coffee["predictions"][0]["score"] > 0.8 > 0.1 > cat["predictions"][0]["score"]
    map_ = np.load(tmp_path / "out" / "coffee.png" / "maps.0.map.npy")
    assert (map_.shape, map_.max() > 0.1) == ((224, 224), True)


class Watched:
    """A process that explains a folder of images, and its peak memory as its results grow."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        words = ["explain", "images", "-v", "saliency", "--set", "classes=1", "--model", "tiny.keras", "--out", "out"]
        self.stdout = folder / "lines.jsonl"
        with self.stdout.open("w") as stdout:
            command = [sys.executable, "-m", "picasso", *words, "--json"]
            self.process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=stdout)

    def results(self) -> int:
        return sum(one.is_dir() and one.name != UNFINISHED for one in self.out.iterdir()) if self.out.is_dir() else 0

    def peak_at(self, results: int) -> int:
        """Bytes of memory at most, until there are so many results."""
        deadline = time.monotonic() + 200
        while self.results() < results:
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return peak(self.process.pid)


def peak(process: int) -> int:
    """The most memory that a process had so far, in bytes (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not psutil.LINUX, reason="The peak of a process' memory is read from /proc.")
def test_thousands_of_images_killed_half_way_and_resumed(tmp_path, tiny_file):
    (tmp_path / "images").mkdir()
    for number in range(IMAGES):
        blocks(number, (24, 18)).save(tmp_path / "images" / f"{number:04}.png")
    shutil.copy(tiny_file, tmp_path)
    first = Watched(tmp_path)
    early, half = first.peak_at(IMAGES // 10), first.peak_at(IMAGES // 2)
    first.process.kill()
    assert first.process.wait() == -signal.SIGKILL
    written = {path: path.stat().st_mtime_ns for path in first.out.glob(f"*/{RESULT}")}
    assert IMAGES // 2 <= len(written) < IMAGES
    assert len(written) == first.results()  # all of them are whole
    second = Watched(tmp_path)
    late = second.peak_at(IMAGES - 100)
    assert second.process.wait(timeout=200) == 0
    after = {path: path.stat().st_mtime_ns for path in first.out.glob(f"*/{RESULT}")}
    assert written.items() <= after.items()  # nothing was computed twice
    lines = [json.loads(line) for line in second.stdout.read_text().splitlines()]
    assert sorted(line["name"] for line in lines) == [f"{number:04}.png" for number in range(IMAGES)]
    for line in lines:
        there = {path.name for path in (first.out / line["name"]).iterdir()}
        assert {one["name"] for one in line["artifacts"]} | {"maps.0.map.png", RESULT} == there
    assert not (first.out / UNFINISHED).exists()
    assert half - early < 32 * MEBIBYTE  # 800 images more; what is read and drawn of them is 4 MiB
    assert late - early < 48 * MEBIBYTE


@pytest.mark.slow
def test_ctrl_c_ends_with_what_is_done(tmp_path, tiny_file):
    (tmp_path / "images").mkdir()
    for number in range(400):
        blocks(number).save(tmp_path / "images" / f"{number}.png")
    command = [sys.executable, "-m", "picasso", "explain", "images", "-v", "random-masks", "--set", "tolerance=0"]
    command += ["--model", str(tiny_file), "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while not list((tmp_path / "out").glob(f"*/{RESULT}")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == Cancelled.exit_code
    count = len(list((tmp_path / "out").glob(f"*/{RESULT}")))
    assert said.endswith(f"Ended. {count} images were explained. The same command goes on.\n") or count == 1
    assert "Traceback" not in said
