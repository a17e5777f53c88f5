"""What a worker makes of a run: results, or an error as a sentence; nothing takes the worker down."""

from __future__ import annotations

import io
import pickle
import sys
import threading
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from picasso.config import Config
from picasso.errors import Cancelled, ConfigError, InvalidSetting, ModelError, NotFound, PluginError
from picasso.images.reading import encode_png
from picasso.runs import worker
from picasso.runs.parcel import Parcel
from picasso.runs.shelf import News
from picasso.runs.worker import Host, Job, Progress
from picasso.visualizations.discovery import discover

HEAD = """\
import numpy as np
from PIL import Image
from picasso.errors import InvalidSetting
from picasso.visualizations.base import BaseVisualization, Field, Settings

class Mine(BaseVisualization):
    class settings(Settings):
        size: int = Field(3, ge=1)
        word: str = "hello"

    @classmethod
    def check_settings(cls, settings, info):
        if settings.size == 13:
            raise InvalidSetting("'size' may not be 13.", field="size")
        if settings.size == 14:
            raise KeyError("check")

    def make_visualization(self, inputs, output_dir, settings):
"""
BODY_LINE = HEAD.count("\n") + 1  # of the body's first line


@pytest.fixture(autouse=True)
def _forget_modules():
    yield
    for name in [name for name in sys.modules if name.startswith("picasso_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def host(tmp_path, tiny_model):
    """A host with the tiny model and one plugin, whose `make_visualization` has the body given."""

    def make(body="return [{} for _ in inputs]"):
        (tmp_path / "mine.py").write_text(HEAD + indent(body, " " * 8) + "\n")
        (tmp_path / "Mine.html").write_text("")
        made = Host(Config(DATA_DIR=tmp_path))
        made.registry = discover([tmp_path])
        made.shelf.put(tiny_model)
        assert made.registry.broken == []
        return made

    return make


def png(level=0, mode="L", size=(16, 12)):
    return encode_png(Image.new(mode, size, level))


def job(settings=None, images=1, visualization="mine", seed=0):
    pictures = tuple((f"picture {index}.png", png(index)) for index in range(images))
    return Job("run-1", visualization, settings or {}, pictures, seed)


def failed(host, kind, **options):
    """The message of a run that ends with an error of that very kind."""
    outcome = host.execute(job(**options))
    assert type(outcome.error) is kind
    assert (outcome.results, outcome.outputs) == ([], {})
    assert pickle.loads(pickle.dumps(outcome)).error.message == outcome.error.message
    return outcome.error.message


# Results
def test_an_outcome(host, tiny_model):
    body = 'x = self.model.preprocess([i["data"] for i in inputs]).x\nself.model.predict(x)\n'
    body += 'return [{"name": i.filename, "pixel": i.data.getpixel((0, 0)), "word": settings.word} for i in inputs]'
    outcome = host(body).execute(job({"size": "7"}, images=2))
    assert outcome.error is None
    assert [packed.content for packed in outcome.results] == [
        {"name": "picture 0.png", "pixel": 0, "word": "hello"},
        {"name": "picture 1.png", "pixel": 1, "word": "hello"},
    ]
    assert outcome.settings == {"size": 7, "word": "hello"}
    assert (outcome.info, outcome.calls) == (tiny_model.info, 2)
    assert outcome.seconds > 0
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_arrays_and_pictures_become_files(host):
    outcome = host('return [{"map": np.ones((2, 3)), "view": i.data} for i in inputs]').execute(job(images=2))
    assert sorted(name for packed in outcome.results for name in packed.files) == [
        "0.map.npy", "0.view.png", "1.map.npy", "1.view.png",
    ]  # fmt: skip


def test_the_seed_decides_chance(host):
    made = host("import random\nreturn [[random.random(), np.random.random()] for _ in inputs]")
    first, second, other = (made.execute(job(seed=seed)).results for seed in (5, 5, 6))
    assert first == second != other


def test_not_a_number_becomes_nothing(host):
    outcome = host('return [{"low": float("nan"), "high": np.float32("inf")}]').execute(job())
    assert outcome.results[0].content == {"low": None, "high": None}


def test_built_in_ones_run_too(host):
    outcome = host().execute(job(visualization="occlusion", images=2))
    assert outcome.error is None
    assert outcome.calls == 2 * (outcome.results[0].content["positions"] + 1)


# Errors
@pytest.mark.parametrize(
    ("body", "line", "what"),
    [
        ("x = 1\nraise ValueError('boom')", 2, "ValueError: boom"),
        ("\n\nreturn [settings.nothing]", 3, "AttributeError"),
        ("import json\njson.loads('')", 2, "JSONDecodeError"),  # fails in a library: the author's line is what helps
        ("self.model.predict(np.zeros((1, 2)))", 1, ""),  # fails in Picasso and TensorFlow
        ("self.model.preprocess(['a'])", 1, "AttributeError"),
        ("import sys\nsys.exit(3)", 2, "SystemExit: 3"),
        ("import picasso_nowhere", 1, "ModuleNotFoundError"),
        ("helper = lambda: 1 / 0\nhelper()", 1, "ZeroDivisionError"),
    ],
)
def test_a_plugin_that_fails_is_named_with_the_authors_line(host, tmp_path, body, line, what):
    made, number = host(body), BODY_LINE + line - 1
    message = failed(made, PluginError)
    assert message.startswith(f"mine failed at mine.py, line {number}: ")  # nothing of the machine
    assert what in message
    made.config = made.config.model_copy(update={"RELOAD_PLUGINS": True})
    longer, _, source = failed(made, PluginError).partition(f"\n  {number - 3} |")
    assert longer == message.replace("mine.py", str(tmp_path / "mine.py"), 1)
    assert f"\n> {number} |         {body.splitlines()[line - 1]}\n" in f"{source}\n"


@pytest.mark.parametrize(
    ("body", "got"),
    [("pass", "None"), ("return []", "0 results"), ("return [1]", "1 results"), ("return [1, 2, 3]", "3 results")],
)
def test_a_wrong_number_of_results(host, body, got):
    assert failed(host(body), PluginError, images=2) == f"Mine must return one result per image: 2, got {got}."


@pytest.mark.parametrize(
    ("result", "what"),
    [("object()", "holds a object"), ("{1, 2}", "holds a set"), ("np.array([None])", "an array of object")],
)
def test_results_that_cannot_be_kept(host, result, what):
    assert what in failed(host(f'return [{{"a": {result}}}]'), PluginError)


def test_errors_of_picasso_stay_what_they_are(host):
    assert "'size' should be greater than or equal to 1, got '0'" in failed(
        host(), InvalidSetting, settings={"size": 0}
    )
    assert failed(host(), InvalidSetting, settings={"size": 13}) == "'size' may not be 13."
    assert "There is no visualization 'yours'" in failed(host(), NotFound, visualization="yours")
    assert "has no logit" not in failed(host("raise InvalidSetting('No.', field='word')"), InvalidSetting)


def test_a_check_that_fails_is_named_with_its_line(host):
    line = HEAD.split('raise KeyError("check")')[0].count("\n") + 1
    assert f"mine.py, line {line}: KeyError: 'check'" in failed(host(), PluginError, settings={"size": 14})


def test_a_worker_stays_well_after_an_error(host, tiny_model):
    made = host("if settings.size == 1: raise ValueError('boom')\nreturn [settings.size]")
    failed(made, PluginError, settings={"size": 1})
    assert made.execute(job()).results[0].content == 3
    assert (made.runs, made.cancelled) == ({}, set())


def test_visualizations_that_travel_are_read_again_and_the_model_is_not(host, tmp_path, tiny_model, monkeypatch):
    """As on a cluster: what changed is unpacked, and the worker is told that it is new."""
    host("return ['one']")
    own = tmp_path / "own"
    own.mkdir()
    code = own / "mine.py"
    code.write_text((tmp_path / "mine.py").read_text())
    (own / "Mine.html").write_text("")
    config = Config(VISUALIZATION_FOLDERS=[own], DATA_DIR=tmp_path)
    made = Host(Parcel.packed(config).unpack(tmp_path / "worker"))
    made.shelf.put(tiny_model)
    made.shelf.news = News("token")
    monkeypatch.setattr(worker, "_host", made)
    first = made.execute(job())
    for count, word in enumerate(["two", "six"], 1):
        code.write_text(code.read_text().replace(first.results[0].content, word))
        worker.setup(Parcel.packed(config, plugins=count).unpack(tmp_path / "worker"), "token", count)
        outcome = made.execute(job())
        assert outcome.results[0].content == word
        assert outcome.source != first.source
        first = outcome
    assert (made.shelf.news.token, made.shelf.news.done) == ("token", True)
    code.write_text("(")
    worker.setup(Parcel.packed(config, plugins=3).unpack(tmp_path / "worker"), "token", 3)
    assert "mine.py, line 1: SyntaxError: '(' was never closed" in failed(made, PluginError)


# Pictures in output_dir
def test_pictures_in_the_output_folder_are_kept_and_encoded_anew(host):
    body = (
        'from PIL import PngImagePlugin\nnotes = PngImagePlugin.PngInfo()\nnotes.add_text("secret", "place")\n'
        'Image.new("RGB", (2, 3), (1, 2, 3)).save(output_dir / "a.png", pnginfo=notes)\n'
        'Image.new("RGBA", (2, 3), (1, 2, 3, 4)).save(output_dir / "b.png")\n'
        'Image.new("L", (2, 3), 200).save(output_dir / "c.jpg")\n'
        "return [None]"
    )
    outputs = host(body).execute(job()).outputs
    assert list(outputs) == ["a.png", "b.png", "c.jpg"]
    pictures = {name: Image.open(io.BytesIO(data), formats=["PNG"]) for name, data in outputs.items()}
    assert {name: picture.mode for name, picture in pictures.items()} == {
        "a.png": "RGB",
        "b.png": "RGBA",
        "c.jpg": "RGB",
    }
    assert pictures["a.png"].getpixel((0, 0)) == (1, 2, 3)
    assert pictures["b.png"].getpixel((0, 0)) == (1, 2, 3, 4)
    assert b"secret" not in outputs["a.png"]


def cut_png():
    return png(mode="RGB", size=(99, 99))[:-40]


def wrong_checksum():
    data = bytearray(png())
    data[data.index(b"IDAT") + 8] ^= 255
    return bytes(data)


def too_many_pixels():
    chunk = PngImagePlugin.putchunk
    file = io.BytesIO()
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(file, b"IHDR", (10**5).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0]))
    chunk(file, b"IDAT", b"")
    chunk(file, b"IEND", b"")
    return file.getvalue()


def gif():
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "GIF")
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"<svg onload='x'/>", gif(), cut_png(), wrong_checksum(), too_many_pixels(), None],
    ids=["empty", "svg", "gif", "cut", "wrong checksum", "too many pixels", "folder"],
)
def test_other_files_in_the_output_folder_are_left_out(host, tmp_path, content):
    if content is None:
        write = '(output_dir / "b.png").mkdir()'
    else:
        (tmp_path / "content").write_bytes(content)
        write = f'import shutil\nshutil.copy({str(tmp_path / "content")!r}, output_dir / "b.png")'
    outcome = host(f'i = inputs[0].data\ni.save(output_dir / "a.png")\n{write}\nreturn [None]').execute(job())
    assert outcome.error is None
    assert list(outcome.outputs) == ["a.png"]


def test_the_output_folder_is_empty_at_first_and_goes_away(host):
    made = host("assert list(output_dir.iterdir()) == []\nreturn [str(output_dir)]")
    first, second = (made.execute(job()).results[0].content for _ in range(2))
    assert first != second
    assert not Path(first).exists()


# Progress and cancelling
def test_cancelled_before_it_begins(host):
    made = host("raise AssertionError('it ran')")
    made.cancelled.add("run-1")
    assert failed(made, Cancelled) == "The run was cancelled."
    assert made.cancelled == set()


def test_progress_is_seen_and_a_run_can_be_cancelled_meanwhile(host, tiny_model):
    made = host(
        "import time\n"
        'results = [{"n": 1, "map": np.zeros((2, 2))}]\n'
        "for step in range(10_000):\n"
        '    self.progress(0.25, "Looking closely", results)\n'
        "    time.sleep(0.001)\n"
        "return results"
    )
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(made.execute(job())))
    thread.start()
    while not (runs := made.snapshot({}).runs) or not runs["run-1"][2]:
        thread.join(0.001)
        assert thread.is_alive()
    fraction, message, results = runs["run-1"]
    assert (fraction, message) == (0.25, "Looking closely")
    version, packed = results[0]
    assert (version, packed.content["n"], list(packed.files)) == (1, 1, ["0.map.npy"])
    assert made.snapshot({"run-1": {0: version}}).runs["run-1"][2] == {}  # what the asker has is not sent again
    made.cancelled.add("run-1")
    thread.join(10)
    assert type(outcomes[0].error) is Cancelled
    assert made.snapshot({}).runs == {}
    tiny_model.checkpoint()  # belongs to no run any more


def test_partial_results_are_sent_once_per_version():
    progress = Progress(results=[{"a": 1}, {"b": object()}])
    assert list(progress.changed({})) == [0]  # the second cannot be kept: the run itself will say so
    assert progress.changed({0: 1}) == {}
    progress.results = [{"a": 2}]
    assert progress.changed({0: 1})[0][0] == 2


# Loading
def test_a_model_that_cannot_be_opened_is_an_error_of_every_run(tmp_path):
    made = Host(Config(MODEL_PATH=tmp_path / "none.keras", DATA_DIR=tmp_path))
    made.load()
    message = failed(made, ModelError)
    assert "none.keras does not exist" in message
    assert made.snapshot({}).models["model"].error.message == message


def test_no_model_is_configured(tmp_path):
    made = Host(Config(DATA_DIR=tmp_path))
    made.load()
    assert "No model is configured" in failed(made, ConfigError)


def test_functions_that_fail_while_the_model_is_opened(tmp_path, monkeypatch):
    (tmp_path / "picasso_test_prepare.py").write_text("def prepare(path):\n    raise RuntimeError('no network')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = Config(MODEL_PATH=tmp_path / "a.keras", MODEL_PREPARE="picasso_test_prepare:prepare", DATA_DIR=tmp_path)
    made = Host(config)
    made.load()
    assert failed(made, ModelError) == "The model could not be opened: RuntimeError: no network"


def test_loading_finds_visualizations_and_the_model(tmp_path, host, tiny_model):
    host()  # writes the plugin
    path = tmp_path / "tiny.keras"
    tiny_model.network.save(path)
    made = Host(Config(MODEL_PATH=path, VISUALIZATION_FOLDERS=[tmp_path], DATA_DIR=tmp_path))
    made.load()
    assert "mine" in made.registry.visualizations
    assert made.snapshot({}).models["model"].info.input_shape == tiny_model.info.input_shape
    x = np.zeros((1, *tiny_model.info.input_shape), np.float32)
    with made.shelf.lend("", lambda: None) as model:
        np.testing.assert_allclose(model.predict(x), tiny_model.predict(x), atol=1e-6)


# Stopping


STEPS = """
results = []
for index, image in enumerate(inputs):
    results.append({"name": image.filename})
    self.progress((index + 1) / len(inputs), "", results)
    if index + 1 < len(inputs) and self.enough():
        break
return results"""


def test_a_run_that_is_stopped_returns_what_it_has(host):
    made = host(STEPS)
    assert made.execute(job(images=4)).stopped is None
    made.enough.add("run-1")
    outcome = made.execute(job(images=4))
    assert outcome.error is None
    assert [packed.content["name"] for packed in outcome.results] == ["picture 0.png"]
    assert outcome.stopped == 0.25
    assert made.enough == set()


def test_a_run_that_ends_before_it_is_asked_was_not_stopped(host):
    made = host(STEPS)
    made.enough.add("run-1")
    assert made.execute(job(images=1)).stopped is None


def test_a_stopped_run_returns_something(host):
    made = host("self.enough()\nreturn []")
    made.enough.add("run-1")
    assert "must return one result per image: 2, got 0 results" in made.execute(job(images=2)).error.message
