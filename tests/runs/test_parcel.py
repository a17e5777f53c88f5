"""What travels to workers elsewhere: no more and no less than they need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from picasso.config import Config, load_config
from picasso.runs.own_code import MAX_CODE_BYTES
from picasso.runs.parcel import MODEL, Parcel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's folder, and a neighbour that is none of the config's business."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "my.project"
    for path, text in {
        "mine.py": "def labels(): return ['a', 'b']",
        "helper.py": "",
        "package/__init__.py": "",
        "package/functions.py": "def decode(scores): return []",
        "package/table.csv": "1,2",
        "package/weights.bin": "x",
        "package/large.json": "1" * (MAX_CODE_BYTES + 1),
        "package/__pycache__/functions.py": "",
        "plugins/one.py": "",
        "plugins/One.html": "",
        "plugins/templates/Two.html": "",
        "labels.txt": "a\nb",
        "model.keras": "the model",
        "private.txt": "",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    (tmp_path / "my" / "secrets").mkdir(parents=True)
    (tmp_path / "my" / "secrets" / "key.txt").write_text("not for workers")
    return folder


def config(project: Path, text: str) -> Config:
    (project / "config.py").write_text(text)
    return load_config(project / "config.py", environ={})


def names(parcel: Parcel) -> set[str]:
    return {name for files in parcel.roots.values() for name in files}


def test_nothing_is_copied_on_this_machine(project: Path, tmp_path: Path) -> None:
    parcel = Parcel.local(config(project, 'MODEL_PATH = "model.keras"\nVISUALIZATION_FOLDERS = ["plugins"]'))
    assert parcel.roots == {}
    assert parcel.unpack(tmp_path) == parcel.config


def test_a_plugin_folder_travels_whole(project: Path) -> None:
    parcel = Parcel.packed(config(project, 'VISUALIZATION_FOLDERS = ["plugins"]'))
    assert names(parcel) == {"one.py", "One.html", "templates/Two.html"}


def test_the_model_travels_and_is_not_written_where_it_is_already(project: Path, tmp_path: Path) -> None:
    parcel = Parcel.packed(config(project, 'MODEL_PATH = "model.keras"'))
    assert parcel.roots == {f"{MODEL}{project / 'model.keras'}": {"model.keras": b"the model"}}
    assert parcel.unpack(tmp_path / "worker").MODEL_PATH == parcel.config.MODEL_PATH
    assert not (tmp_path / "worker").exists()


def test_a_model_that_is_a_folder_travels_whole(project: Path, tmp_path: Path) -> None:
    for name in ("saved_model.pb", "variables/variables.index"):
        (project / "saved" / name).parent.mkdir(parents=True, exist_ok=True)
        (project / "saved" / name).write_text(name)
    parcel = Parcel.packed(config(project, 'MODEL_PATH = "saved"\nMODEL_FRAMEWORK = "tensorflow"'))
    (project / "saved").rename(project / "elsewhere")
    path = parcel.unpack(tmp_path / "worker").MODEL_PATH
    assert path is not None
    assert (path.name, (path / "saved_model.pb").read_text()) == ("saved", "saved_model.pb")
    assert (path / "variables" / "variables.index").read_text() == "variables/variables.index"


@pytest.mark.parametrize("path", ["model.ckpt.meta", "model.ckpt"])
def test_a_checkpoint_travels_with_all_its_files(project: Path, tmp_path: Path, path: str) -> None:
    for ending in ("meta", "index", "data-00000-of-00002", "data-00001-of-00002"):
        (project / f"model.ckpt.{ending}").write_text(ending)
    parcel = Parcel.packed(config(project, f'MODEL_PATH = "{path}"\nMODEL_FRAMEWORK = "tensorflow"'))
    for file in project.glob("model.ckpt.*"):
        file.unlink()
    place = parcel.unpack(tmp_path / "worker").MODEL_PATH
    assert place is not None
    assert place.name == path
    assert len(list(place.parent.glob("model.ckpt.*"))) == 4


def test_of_a_checkpoint_that_is_not_whole_the_rest_travels(project: Path) -> None:
    (project / "model.ckpt.meta").write_text("graph")
    parcel = Parcel.packed(config(project, 'MODEL_PATH = "model.ckpt.meta"\nMODEL_FRAMEWORK = "tensorflow"'))
    assert names(parcel) == {"model.ckpt.meta"}


def test_functions_travel_with_the_modules_beside_them(project: Path) -> None:
    parcel = Parcel.packed(config(project, 'MODEL_LABELS = "mine:labels"'))
    assert names(parcel) == {"mine.py", "helper.py", "config.py"}


def test_a_package_travels_with_its_small_files(project: Path) -> None:
    parcel = Parcel.packed(config(project, 'MODEL_DECODE = "package.functions:decode"'))
    inside = {"package/__init__.py", "package/functions.py", "package/table.csv"}
    assert names(parcel) == {"mine.py", "helper.py", "config.py", *inside}


def test_a_labels_file_travels_alone(project: Path) -> None:
    """Its path has a dot in a folder's name, and there is a folder of that name up to the dot."""
    parcel = Parcel.packed(config(project, 'MODEL_LABELS = "labels.txt"'))
    assert names(parcel) == {"labels.txt"}
    assert parcel.search_path == []


def test_weights_and_builders_travel(project: Path, tmp_path: Path) -> None:
    text = 'MODEL_BUILD = "mine:labels"\nMODEL_WEIGHTS = "private.txt"\nMODEL_CUSTOM_OBJECTS = {"A": "helper:A"}'
    parcel = Parcel.packed(config(project, text))
    assert names(parcel) == {"mine.py", "helper.py", "config.py", "private.txt"}
    weights = parcel.unpack(tmp_path / "worker").MODEL_WEIGHTS
    assert weights is not None
    assert weights.is_relative_to(tmp_path / "worker")


def test_functions_of_installed_packages_stay(project: Path) -> None:
    parcel = Parcel.packed(config(project, 'MODEL_PREPROCESS = "numpy:asarray"'))
    assert parcel.roots == {}
    assert parcel.search_path == []


def test_every_model_travels(project: Path, tmp_path: Path) -> None:
    (project / "tuned.keras").write_text("tuned")
    (project / "tuned.txt").write_text("c")
    text = """
MODEL_LABELS = "labels.txt"
MODELS = {
    "one": {"MODEL_PATH": "model.keras", "MODEL_DECODE": "mine:labels"},
    "two": {"MODEL_PATH": "tuned.keras", "MODEL_LABELS": "tuned.txt"},
}
"""
    parcel = Parcel.packed(config(project, text))
    project.rename(tmp_path / "moved")
    one, two = parcel.unpack(tmp_path / "worker").models().values()
    for model, content, labels in [(one, "the model", "a\nb"), (two, "tuned", "c")]:
        assert model.MODEL_PATH is not None
        assert (model.MODEL_PATH.read_text(), Path(str(model.MODEL_LABELS)).read_text()) == (content, labels)
    assert "mine.py" in names(parcel)


def test_unpacked_again_only_what_changed_is_written(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = 'MODEL_PATH = "model.keras"\nMODEL_DECODE = "mine:labels"\nMODEL_LABELS = "labels.txt"'
    first = Parcel.packed(config(project, text))
    (project / "labels.txt").write_text("c\nd")
    (project / "helper.py").unlink()
    second = Parcel.packed(config(project, text))
    project.rename(tmp_path / "moved")
    base = tmp_path / "worker"
    before = first.unpack(base)
    assert before.MODEL_PATH is not None
    date, path = before.MODEL_PATH.stat().st_mtime_ns, list(sys.path)
    after = second.unpack(base)
    assert (after, sys.path) == (before, path)
    assert before.MODEL_PATH.stat().st_mtime_ns == date
    assert Path(str(after.MODEL_LABELS)).read_text() == "c\nd"
    assert [file.name for file in base.rglob("*.py")].count("helper.py") == 0


UNPACK = """
import pickle, sys
from pathlib import Path
from picasso.config import import_function
config = pickle.load(sys.stdin.buffer).unpack(Path("worker"))
print(import_function(config.MODEL_DECODE, "MODEL_DECODE")([]), import_function(config.MODEL_PREPARE, "x")())
print(config.MODEL_PATH.read_text(), open(config.MODEL_LABELS).read().split())
print(sorted(path.name for path in config.VISUALIZATION_FOLDERS[0].iterdir()))
"""


def test_unpacked_where_the_files_are_not(project: Path, tmp_path: Path) -> None:
    import pickle

    text = """
MODEL_PATH = "model.keras"
MODEL_LABELS = "labels.txt"
MODEL_DECODE = "package.functions:decode"
MODEL_PREPARE = "mine:labels"
VISUALIZATION_FOLDERS = ["plugins"]
"""
    data = pickle.dumps(Parcel.packed(config(project, text)))
    project.rename(tmp_path / "moved")
    done = subprocess.run([sys.executable, "-P", "-c", UNPACK], input=data, capture_output=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == [
        "[] ['a', 'b']",
        "the model ['a', 'b']",
        "['One.html', 'one.py', 'templates']",
    ]
