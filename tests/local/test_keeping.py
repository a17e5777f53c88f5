"""Explaining files into a folder: nothing twice, nothing lost, whatever happened before."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import pytest
from gallery import blocks

from picasso.commands.reporting import Report, printable
from picasso.errors import Cancelled, Conflict, PicassoError
from picasso.local.explaining import Explainer
from picasso.local.files import image_files
from picasso.local.folder import MANIFEST, UNFINISHED, ResultsFolder
from picasso.local.keeping import Kept, explain_files


@pytest.fixture
def explain(opened, photos, tmp_path):
    """Explains the photos into a folder: the names that are new, that were there, and that failed with their error."""

    def run(*named, seed=0, stop=lambda: False):
        explainer = Explainer(opened, "class-probabilities", {"classes": 2}, seed=seed, stop=stop)
        out = tmp_path / "out"
        with ResultsFolder(out).of(explainer.run) as results:
            found = list(explain_files(explainer, image_files(map(str, named or [photos]), out), results))
        kept = [one for one in found if isinstance(one, Kept)]
        failed = {one.name: one.error for one in found if not isinstance(one, Kept)}
        return (
            {one.record["name"] for one in kept if one.new},
            {one.record["name"] for one in kept if not one.new},
            failed,
        )

    return run


def states(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_nothing_is_computed_twice(explain, photos, tmp_path):
    new, old, failed = explain()
    assert (new, old, list(failed)) == ({"a.png", "b.jpg", "c.png", "deep/er/a.png"}, set(), ["broken.png"])
    before = states(tmp_path / "out")
    assert explain()[:2] == (set(), new)
    assert states(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "out" / "c.png")
    blocks(9).save(photos / "new.png")
    assert explain()[:2] == ({"c.png", "new.png"}, new - {"c.png"})
    assert not (tmp_path / "out" / UNFINISHED).exists()


def test_what_a_killed_process_left_is_no_result(explain, tmp_path):
    explain()
    out = tmp_path / "out"
    (out / UNFINISHED / "1234").mkdir(parents=True)
    (out / "c.png").rename(out / UNFINISHED / "1234" / "c.png")
    assert explain()[0] == {"c.png"}
    assert not (out / UNFINISHED).exists()


def test_an_image_that_has_changed_is_said(explain, photos):
    explain()
    (photos / "a.png").touch()  # another date, the same image
    blocks(9).save(photos / "c.png")
    _, old, failed = explain()
    assert old == {"a.png", "b.jpg", "deep/er/a.png"}
    assert isinstance(failed["c.png"], Conflict)
    assert "c.png has changed since its result was written. Delete " in failed["c.png"].message


def test_images_of_one_name_have_results_of_their_own(explain, photos):
    new, _, _ = explain(photos / "a.png", photos / "deep" / "er" / "a.png")
    assert new == {"a.png", "a.png~2"}
    assert explain(photos / "deep" / "er" / "a.png", photos / "a.png")[1] == new


def test_results_are_not_taken_for_images(explain, photos, tmp_path):
    explain(photos / "a.png")
    (tmp_path / "out").rename(photos / "out")
    assert not any("view" in name for name, _ in image_files([str(photos)], photos / "out"))
    found = [name for name, _ in image_files([str(photos / "*.png"), str(photos / "b.jpg"), "gone.png", "none*.png"])]
    assert found == ["a.png", "broken.png", "c.png", "b.jpg", "gone.png"]


def test_names_need_not_be_text(explain, photos, tmp_path):
    name = os.fsdecode(b"\xff\x1b[31m.png")
    (photos / "a.png").rename(photos / name)
    assert name in explain()[0]
    assert explain()[1] >= {name}
    assert printable(f"{name}\n") == "\ufffd\ufffd[31m.png "


def test_another_run_is_refused(explain, photos, tmp_path):
    explain()
    with pytest.raises(Conflict, match="has results of another run: the seed is 0 there and 1 here"):
        explain(seed=1)
    (tmp_path / "out" / MANIFEST).write_text('{"name": "a web page"}')
    with pytest.raises(Conflict, match="is not that of a folder of results"):
        explain()
    (tmp_path / "out" / MANIFEST).unlink()
    with pytest.raises(Conflict, match="has other files in it"):
        explain()


def test_two_at_once_are_refused(explain, opened, tmp_path):
    run = Explainer(opened, "class-probabilities", {"classes": 2}).run
    with ResultsFolder(tmp_path / "out").of(run), pytest.raises(Conflict, match="Another process is writing to"):
        explain()
    assert explain()[0]


def test_ending_early_keeps_what_is_there(explain, opened, tmp_path):
    with pytest.raises(Cancelled):
        explain(stop=lambda: True)
    assert list(ResultsFolder(tmp_path / "out").names()) == []
    assert len(explain()[0]) == 4


def test_a_folder_that_cannot_be_made_is_said(opened, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PicassoError, match="cannot be written"), ResultsFolder(tmp_path / "file").of({}):
        pass
    assert Path(tmp_path / "file").read_text() == ""


@pytest.mark.parametrize(
    ("visualization", "classes", "more"),
    [("class-probabilities", True, False), ("what-if", True, True), ("feature-maps", False, True)],
)
def test_a_table_says_where_there_is_more_than_classes(opened, photos, capsys, visualization, classes, more):
    explainer = Explainer(opened, visualization, {})
    table = io.StringIO()
    report = Report(table, None, json=False)
    for found in explain_files(explainer, [("a.png", photos / "a.png")]):
        report.take(found)
    report.finish(explainer.run)
    assert ("lists no classes" in table.getvalue()) is not classes
    assert ("--out DIR keeps maps, pictures and arrays" in capsys.readouterr().err) is more


def test_a_folder_of_another_class_names_the_class_alone(opened, photos, tmp_path):
    with ResultsFolder(tmp_path / "out").of(Explainer(opened, "saliency", {}, classes=["bee"]).run):
        pass
    with (
        pytest.raises(Conflict, match=r"another run: the chosen class is 1 there and none here\. Choose"),
        ResultsFolder(tmp_path / "out").of(Explainer(opened, "saliency", {}).run),
    ):
        pass
