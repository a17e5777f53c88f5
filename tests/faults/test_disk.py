"""Disks without space: of the data folder, of temporary files; full of bytes, full of files, read-only."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from disks import Disk, disk
from long_forms import everything
from serving import Server, serving, tiny_project
from visitors import Answer, Visitor, picture

LARGE = (420, 500)  # pixels; as a PNG of noise 630 kB, which waitress keeps in a temporary file
PLUGIN = """
import time
from pathlib import Path
import numpy as np
from picasso.visualizations.base import BaseVisualization

class Waits(BaseVisualization):
    description = "Gives 300 kB once it is told to"
    settings = {"Round": list("0123456789"), "Writes": ["nothing", "a picture"]}

    def make_visualization(self, inputs, output_dir, settings):
        while not Path(__file__).with_name("go").exists():
            self.progress(0.5, "Waiting")
            time.sleep(0.05)
        if settings["Writes"] == "a picture":
            for item in inputs:
                item.data.resize((400, 400)).save(output_dir / "large.bmp", "BMP")
        noise = np.random.default_rng(0).integers(0, 256, (300, 1000)).astype(np.uint8)
        return [{"values": noise} for _ in inputs]
"""


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    """A folder with the visualization above. A file "go" in it tells that to end."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "waits.py").write_text(PLUGIN)
    (folder / "Waits.html").write_text('{% extends "result.html" %}')
    return folder


def serving_with(small: Disk, folder: Path, **environ: str) -> AbstractContextManager[Server]:
    """A server that sees the disk."""
    config = tiny_project(folder / "project")
    return serving(folder, "--config", str(config), prefix=small.prefix, **environ)


def says_no_space(answer: Answer) -> None:
    """It is 507, with a sentence that says why and what to do."""
    assert answer.status == 507, (answer.status, answer.text[:300])
    said = answer.json["error"]["message"] if "json" in answer.headers["Content-Type"] else answer.text
    assert "no space" in said
    assert "make room" in said
    if "json" in answer.headers["Content-Type"]:
        assert answer.json["error"]["code"] == "no_space"


def look_at_all(visitor: Visitor, run: str, url: str) -> list[bytes]:
    """What was kept: the run, its page, a file of its result, the archive."""
    found = [visitor.get(f"/api/v1/runs/{run}"), visitor.get(url), visitor.get(f"/api/v1/runs/{run}/bundle.zip")]
    assert [one.status for one in found] == [200, 200, 200]
    assert found[0].json["state"] == "done"
    return [one.body for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("without", ["bytes", "files", "writing"] if everything() else ["bytes"])
def test_a_data_folder_without_space(tmp_path: Path, plugins: Path, without: str) -> None:
    with disk(tmp_path / "disk", inodes=60 if without == "files" else 0) as small:
        fault = {"bytes": small.fill, "files": small.fill_inodes, "writing": small.read_only}[without]
        options = {"PICASSO_DATA_DIR": str(small.path), "PICASSO_VISUALIZATION_FOLDERS": f'["{plugins}"]'}
        with serving_with(small, tmp_path, **options) as server:
            visitor, browser = server.ready(), Visitor(server)
            image = visitor.upload().json["images"][0]["id"]
            assert browser.form("/images", file=(picture(1), "b.png")).status == 200
            run = visitor.wait(visitor.start("occlusion", image, window=4, stride=4).json["id"])
            artifact = run["results"][0]["artifacts"][0]["url"]
            kept, before = look_at_all(visitor, run["id"], artifact), small.files()

            waiting = visitor.start("waits", image).json["id"]
            visitor.wait(waiting, "running")
            fault()
            (plugins / "go").touch()
            lost = visitor.wait(waiting)  # while its result is written
            assert (lost["state"], lost["error"]["code"]) == ("failed", "no_space")
            assert "no space" in lost["error"]["message"]
            says_no_space(visitor.upload("c.png", 2, (200, 200)))
            says_no_space(browser.form("/images", file=(picture(3, (200, 200)), "d.png")))
            says_no_space(Visitor(server).upload("e.png", 4, (200, 200)))  # who has no session yet
            assert look_at_all(visitor, run["id"], artifact) == kept
            for page in ("/", "/runs", "/visualizations/occlusion"):
                assert browser.get(page).status == 200
            if without != "writing":  # a row or two may still fit in
                for number in range(30):
                    asked = visitor.start("class-probabilities", image, classes=1 + number % 4)
                    if asked.status != 202:
                        says_no_space(asked)
                    else:
                        ended = visitor.wait(asked.json["id"])
                        assert ended["state"] == "done" or ended["error"]["code"] == "no_space"
            leftovers = {name for name in small.files() - before if name.split("/")[3:4] != [run["id"]]}
            assert not [name for name in leftovers if "/." in name or "/images/" in name], leftovers

            restore(small, without)
            assert visitor.upload("c.png", 2).status == 201
            again = visitor.wait(visitor.start("waits", image).json["id"])
            assert again["state"] == "done"
            assert look_at_all(visitor, run["id"], artifact) == kept
            states = {one["state"] for one in visitor.runs()}
            assert states <= {"done", "failed"}
            assert server.process.poll() is None
    assert "Traceback" not in server.log()


def restore(small: Disk, without: str) -> None:
    """Ends the fault."""
    if without == "writing":
        small.writable()
    else:
        small.make_room()


@pytest.mark.slow
def test_a_full_disk_can_be_emptied_by_who_filled_it(tmp_path: Path) -> None:
    data = tmp_path / "disk"
    with disk(data) as small, serving_with(small, tmp_path, PICASSO_DATA_DIR=str(data)) as server:
        visitor, browser = server.ready(), Visitor(server)
        assert browser.form("/images", file=(picture(1), "b.png")).status == 200
        images = []
        for number in range(100):
            answer = visitor.upload(f"{number}.png", number, (120, 120))
            if answer.status != 201:
                break
            images.append(answer.json["images"][0]["id"])
        says_no_space(answer)
        small.fill()
        assert visitor.ask("DELETE", f"/api/v1/images/{images[0]}").status == 204
        assert visitor.upload("again.png", 1, (100, 100)).status == 201
        small.fill()
        assert browser.form("/start-over", now="1").status == 200
        assert "b.png" not in browser.get("/").text


@pytest.mark.slow
@pytest.mark.parametrize("without", ["bytes", "files"] if everything() else ["files"])
def test_temporary_folders_without_space(tmp_path: Path, plugins: Path, without: str) -> None:
    """Those of the server, of its worker, and of Dask."""
    (plugins / "go").touch()
    with disk(tmp_path / "disk", size="2m", inodes=300) as small:
        options = {
            "TMPDIR": str(small.path),
            "DASK_TEMPORARY_DIRECTORY": str(small.path),
            "PICASSO_VISUALIZATION_FOLDERS": f'["{plugins}"]',
        }
        fault = small.fill if without == "bytes" else small.fill_inodes
        with serving_with(small, tmp_path, **options) as server:
            visitor, browser = server.ready(), Visitor(server)
            image = visitor.upload().json["images"][0]["id"]
            fault()
            says_no_space(visitor.upload("large.png", 1, LARGE))
            says_no_space(browser.form("/images", file=(picture(1, LARGE), "large.png")))
            failed = visitor.wait(visitor.start("waits", image, Writes="a picture").json["id"])
            assert (failed["state"], failed["error"]["code"]) == ("failed", "no_space")
            small.make_room()
            assert visitor.upload("large.png", 1, LARGE).status == 201
            again = visitor.wait(visitor.start("waits", image, Round="1", Writes="a picture").json["id"])
            assert again["state"] == "done"
        if not everything():
            return
        fault()
        with serving_with(small, tmp_path, **options) as server:
            small.make_room()
            server.ready()
