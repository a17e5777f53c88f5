"""Repeating a run: what is the same, what differs and by how much, and images that have moved."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery import blocks

from picasso.commands.reporting import report_repetition
from picasso.config import Config
from picasso.errors import Differs, InvalidRequest, NotFound
from picasso.images.reading import encode_png
from picasso.local.again import distance, explainer_of, repeat
from picasso.local.explaining import Explainer
from picasso.local.files import image_files
from picasso.local.folder import ResultsFolder
from picasso.local.keeping import explain_files
from picasso.local.past import read_past
from picasso.runs.run import StoredImage
from picasso.runs.worker import Host, Job


@pytest.fixture
def out(opened, photos, tmp_path):
    """A folder of results of four images."""
    explainer = Explainer(opened, "saliency", {"method": "SmoothGrad", "samples": 3}, classes=["cat"], seed=9)
    (photos / "broken.png").unlink()
    with ResultsFolder(tmp_path / "out").of(explainer.run) as results:
        list(explain_files(explainer, image_files([str(photos)]), results))
    return tmp_path / "out"


def again(path, opened, *given):
    past = read_past(path)
    return repeat(past, explainer_of(past, opened), image_files(map(str, given)))


def test_the_same_again(out, opened):
    for path in (out / "manifest.json", out):
        found = again(path, opened)
        assert (found.images, found.same, found.differences, found.failures, found.lost) == (4, True, [], [], [])
        assert found.arrays == 4 * 2  # the map and the scores of all classes
        json.dumps(found.as_dict(), allow_nan=False)


def test_what_differs_is_said(out, opened):
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["machine"], manifest["model"]["fingerprint"] = "arm64", "0"
    manifest["model"]["versions"]["keras"] = "3.0"
    (out / "manifest.json").write_text(json.dumps(manifest))
    changed = np.load(out / "a.png" / "maps.0.map.npy")
    changed.flat[changed.argmax()] *= 1.5
    np.save(out / "a.png" / "maps.0.map.npy", changed)
    (out / "c.png" / "answer.npy").unlink()
    np.save(out / "b.jpg" / "answer.npy", np.zeros(3, np.float32))
    found = again(out, opened)
    assert "the processor is arm64 there and x86_64 here" in found.differences
    assert f"the content of {opened.info.file} is another" in found.differences
    assert any(one.startswith("keras is 3.0 there and ") for one in found.differences)
    assert not found.same
    assert found.lost == ["c.png/answer"]
    assert (found.largest.result, found.largest.array, found.largest.share) == ("b.jpg", "answer", np.inf)
    assert found.as_dict()["largest"]["share"] is None
    said = io.StringIO()
    with pytest.raises(Differs):
        report_repetition(found, read_past(out).run, said, json=False)
    assert "the shape of b.jpg/answer is 3 there and 4 here" in " ".join(said.getvalue().split())
    said = io.StringIO()
    with pytest.raises(Differs):
        report_repetition(found, read_past(out).run, said, json=True)
    (line,) = said.getvalue().splitlines()
    assert json.loads(line)["largest"]["shapes"] == [[3], [4]]
    shutil.rmtree(out / "b.jpg")
    found = again(out, opened)
    assert (found.largest.result, found.largest.array) == ("a.png", "maps.0.map")
    assert found.largest.share == pytest.approx(1 / 3, rel=1e-3)


def test_images_are_known_by_their_content(out, opened, photos, tmp_path):
    (photos / "a.png").rename(tmp_path / "moved.png")
    shutil.copy(photos / "c.png", photos / "b.jpg")  # another image in its place
    found = again(out, opened, tmp_path / "moved.png")
    assert found.images == 3
    assert [one.name for one in found.failures] == ["b.jpg"]
    assert isinstance(found.failures[0].error, NotFound)
    assert "is known by its content" in found.failures[0].error.message


def test_a_bundle_of_a_server(opened, tmp_path):
    """As the store writes it and REST packs it; the run was computed by a worker."""
    from picasso.runs.manifest import make_manifest
    from picasso.runs.run import Run, State

    host = Host(Config(DATA_DIR=tmp_path))
    host.shelf.put(opened.model)
    pngs = [encode_png(blocks(seed)) for seed in (1, 2)]
    settings = {"window": 6, "stride": 3}
    outcome = host.execute(Job("run", "occlusion", settings, tuple(("../same.png", png) for png in pngs), 4))
    assert outcome.error is None
    from hashlib import sha256

    images = [
        StoredImage("1", "s", "../same.png", "PNG", 30, 20, len(png), sha256(png).hexdigest(), [], 0.0) for png in pngs
    ]
    run = Run(
        "r", "s", "occlusion", settings, ["1", "1"], 4, None, State.DONE, 1.0, "", None, None, 0, 0, 0, 1, "", "", ""
    )
    manifest = make_manifest(run, None, host.visualizations().get("occlusion"), images, outcome)
    bundle = tmp_path / "bundle"
    (bundle / "inputs").mkdir(parents=True)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    for number, (png, packed) in enumerate(zip(pngs, outcome.results, strict=True)):
        (bundle / "inputs" / f"{number}.png").write_bytes(png)
        for name, data in packed.files.items():
            (bundle / name).write_bytes(data)
    packed = shutil.make_archive(str(tmp_path / "bundle"), "zip", bundle)
    for path in (bundle / "manifest.json", tmp_path / packed):
        found = again(path, opened)
        assert (found.images, found.same, found.lost, found.failures) == (2, True, [], [])
        assert found.arrays == 2 * 8
    shutil.rmtree(bundle / "inputs")
    blocks(1).save(tmp_path / "elsewhere.png")
    found = again(bundle / "manifest.json", opened, tmp_path / "elsewhere.png")
    assert (found.images, len(found.failures)) == (1, 1)
    (tmp_path / "elsewhere.png").unlink()
    found = again(bundle / "manifest.json", opened)
    assert (found.images, len(found.failures)) == (0, 2)
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"stopped": 0.5}))
    with pytest.raises(InvalidRequest, match="was ended early"):
        read_past(bundle)


def test_what_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(InvalidRequest, match=r"is not the manifest of a run: it has no 'visualization'\. Name"):
        read_past(tmp_path)
    blocks(1).save(tmp_path / "a.png")
    with pytest.raises(InvalidRequest, match="it is no JSON"):
        read_past(tmp_path / "a.png")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(InvalidRequest, match="it is built otherwise"):
        read_past(tmp_path / "list.json")
    packed = shutil.make_archive(str(tmp_path / "other"), "zip", tmp_path, "list.json")
    with pytest.raises(InvalidRequest, match=r"there is no manifest\.json in it"):
        read_past(Path(packed))
    with pytest.raises(NotFound, match="There is no manifest"):
        read_past(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ([1.0, -4.0], [1.0, -3.0], (1, 0.25)),
        ([1.0, np.nan], [1.0, np.nan], (0, 0)),
        ([1.0, np.nan], [1.0, 2.0], (np.inf, np.inf)),
        ([0.0, 0.0], [0.0, 1.0], (1, np.inf)),
        ([], [], (0, 0)),
        ([1.0], [1.0, 1.0], (np.inf, np.inf)),
    ],
)
def test_distance(then, now, expected):
    assert distance(np.array(then), np.array(now)) == expected
    assert distance(np.array([True]), np.array([False])) == (1, 1)


def test_another_seed_is_another_run(out, opened):
    past = read_past(out)
    settings = {**past.run["settings"], "seed": 10}
    other = explainer_of(replace(past, run={**past.run, "settings": settings, "seed": 10}), opened)
    assert repeat(past, other).differences == ["seed is 9 there and 10 here"]
