"""Whole processes: what is imported where, and how `picasso serve` starts and ends."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from pathlib import Path

import psutil
import pytest
from serving import ROOT, run, serving, tiny_project
from visitors import Gone, Visitor
from waiting import wait_for

MNIST = ROOT / "examples" / "mnist-keras" / "config.py"
FRAMEWORKS = ("tensorflow", "keras", "torch", "jax")

# What is imported

NO_FRAMEWORK = f"""
import sys
found = [name for name in {FRAMEWORKS!r} if name in sys.modules]
print("found", found)
sys.exit(bool(found))
"""
IMPORT_ALL = """
import importlib, pkgutil, sys
import picasso
picasso.open_model, picasso.explain, picasso.Explanation
for module in pkgutil.walk_packages(picasso.__path__, "picasso."):
    adapters = (".keras", ".tensorflow", ".graph", ".incremental")
    adapters = (*(f".models{name}" for name in adapters), ".__main__")
    if module.name == "picasso.models.graph_files" or not any(part in module.name for part in adapters):
        importlib.import_module(module.name)
"""
HELP = """
from click.testing import CliRunner
from picasso.cli import main
for command in ([], ["--help"], ["serve", "--help"], ["explain", "--help"], ["--version"], ["visualizations"]):
    result = CliRunner().invoke(main, command)
    assert any(word in result.output for word in ("Usage", "version", "occlusion")), result.output
"""
PAGES = """
import sys, time
from picasso.app import create_app
from picasso.config import load_config

def main():
    app = create_app(load_config(sys.argv[1]))
    client, engine = app.test_client(), app.extensions["picasso"].engine
    paths = ["/", "/runs", "/status", "/samples/0.webp"]
    paths += ["/visualizations/occlusion", "/visualizations/saliency/pictures", "/model"]
    try:
        for path in paths:  # while the model loads
            assert client.get(path).status_code == 200, path
        assert client.post("/images/samples", data={"sample": "1"}).status_code == 303
        deadline = time.monotonic() + 100
        while engine.status().state == "loading" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert engine.status().state == "ready", engine.status()
        (image,) = app.extensions["picasso"].store.images(client_session(client))
        answer = client.post("/runs", data={"visualization": "occlusion", "image": image.id})
        while b"hx-get=\\"/runs" in (page := client.get(answer.location)).data and time.monotonic() < deadline:
            time.sleep(0.1)
        assert b"How to read it" in page.data, page.data
        for path in paths:
            assert client.get(path).status_code == 200, path
    finally:
        engine.close()

def client_session(client):
    with client.session_transaction() as cookie:
        return cookie["id"]

if __name__ == "__main__":  # the worker process imports this file again
    main()
"""


@pytest.mark.parametrize(
    "script", [IMPORT_ALL, pytest.param(HELP, marks=pytest.mark.slow)], ids=["all modules", "help"]
)
def test_no_framework_is_imported(tmp_path: Path, script: str) -> None:
    done = run(tmp_path, "-c", script + NO_FRAMEWORK)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["found []"]), done.stdout + done.stderr


@pytest.mark.slow
def test_no_framework_is_imported_by_the_process_that_serves(tmp_path: Path) -> None:
    (tmp_path / "serving.py").write_text(PAGES + f"    {NO_FRAMEWORK.strip()}".replace("\n", "\n    "))
    done = run(tmp_path, "serving.py", str(MNIST))
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["found []"]), done.stdout + done.stderr


def test_help_is_quick_and_complete(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "picasso", "--help")
    assert done.returncode == 0
    assert "serve" in done.stdout
    assert done.stderr == ""


# picasso serve


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["at once", "when ready"])
def test_a_signal_ends_the_server_and_its_workers(tmp_path: Path, number: signal.Signals, when: str) -> None:
    with serving(tmp_path, "--config", str(MNIST)) as server:
        assert server.address.startswith("http://127.0.0.1:")
        visitor = Visitor(server)
        assert "What does your model look at?" in visitor.page("/")
        if when == "when ready":
            server.ready()
        children = psutil.Process(server.process.pid).children(recursive=True)
        assert children or when == "at once"
        server.tell(number)
        assert server.process.wait(40) == 0
        _, alive = psutil.wait_procs(children, 20)
        assert alive == []
        with pytest.raises(Gone):
            visitor.get("/")
    assert "Traceback" not in server.log()


@pytest.mark.slow
def test_a_model_without_a_config_of_its_own(tmp_path: Path) -> None:
    """The config.py that lies there is another model's."""
    shutil.copyfile(MNIST.with_name("model.keras"), tmp_path / "digits.keras")
    (tmp_path / "config.py").write_text('MODEL_PATH = "other.keras"\nMODEL_LABELS = ["one name"]\n')
    with serving(tmp_path, "--model", "digits.keras") as server:
        visitor = server.ready()
        assert "digits" in visitor.page("/status")
        assert "notice error" not in visitor.page("/")


QUICK_AND_DYING = """
import logging, os
from picasso.visualizations.base import BaseVisualization

class Quick(BaseVisualization):
    description = "Says a word"

    def make_visualization(self, inputs, output_dir, settings):
        logging.getLogger("mine").warning("Saw %s", inputs[0].filename)
        return [{} for _ in inputs]

class Dying(BaseVisualization):
    description = "Ends its process"

    def make_visualization(self, inputs, output_dir, settings):
        os._exit(3)
"""
ENDED = ["done", "failed"]  # the newest first


@pytest.mark.slow
def test_lines_of_web_process_and_workers_belong_together(tmp_path: Path) -> None:
    """What a server on its own writes: JSON, the same ids from all processes, no names of files; and what it counts."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text(QUICK_AND_DYING)
    for name in ("Quick", "Dying"):
        (folder / f"{name}.html").write_text('{% extends "result.html" %}')
    tiny_project(tmp_path, 'VISUALIZATION_FOLDERS = ["plugins"]\n')
    with serving(tmp_path, "--config", "config.py") as server:
        visitor, process = Visitor(server), server.process
        assert visitor.upload("canary.png").status == 201
        asked = {}
        for name in ("dying", "quick"):
            answer = visitor.start(name)
            asked[name] = answer.json["id"], answer.headers["X-Request-ID"]
        wait_for(lambda: [one["state"] for one in visitor.runs()] == ENDED)
        metrics = visitor.page("/metrics")
        assert "picasso_workers_lost_total 2.0" in metrics
        assert 'picasso_runs_ended_total{outcome="failed",visualization="dying"} 1.0' in metrics
        server.tell(signal.SIGTERM)
        assert process.wait(40) == 0
    written = server.log()
    assert "canary" not in written
    lines = [json.loads(line) for line in written.splitlines() if "resource_tracker" not in line]  # Python's own
    for name, (run_id, request) in asked.items():
        mine = [line for line in lines if line.get("run") == run_id]
        assert (mine[0]["event"], mine[0]["request"], mine[0]["pid"]) == ("Run queued", request, process.pid)
        workers = [line for line in mine if line["pid"] != process.pid]
        assert {line["pid"] for line in workers} == {line["pid"] for line in mine} - {process.pid} != set()
        assert mine[-1]["event"] == "Run ended"
        ends = {"dying": ["Run begins"] * 2, "quick": ["Run begins", "Saw …"]}
        assert [line["event"] for line in workers] == ends[name]
    lost = [line for line in lines if line["event"].startswith("Run lost its worker")]
    assert [line["run"] for line in lost] == [asked["dying"][0]] * 2


def test_a_model_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "picasso", "serve", "--model", "typo.keras")
    assert done.returncode == 3
    assert (
        done.stderr == f"picasso: The model file {tmp_path}/typo.keras does not exist. Check MODEL_PATH or --model.\n"
    )


@pytest.mark.slow
def test_another_port_when_it_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        tiny_project(tmp_path)
        with serving(tmp_path, "--config", "config.py", port=port) as server:
            assert server.port != port
            assert "What does your model look at?" in Visitor(server).page("/")


@pytest.mark.slow
def test_more_bytes_than_allowed_get_the_page_that_says_so(tmp_path: Path) -> None:
    """Through the real server, which has a limit of its own."""
    tiny_project(tmp_path)
    with serving(tmp_path, "--config", "config.py", PICASSO_MAX_UPLOAD_BYTES=str(2**20)) as server:
        answer = Visitor(server).ask("POST", "/images", bytes(2**20 + 1), "multipart/form-data; boundary=x")
        assert answer.status == 413
        assert "One upload may have 1 MiB" in answer.text


# picasso reload

CONFIG = """
from settings_beside import name
MODELS = {name: {"MODEL_PATH": "model.keras", "MODEL_LABELS": "labels_beside:labels"}}
"""


@pytest.mark.slow
def test_reload_reads_config_functions_and_models_again(tmp_path: Path) -> None:
    config = tmp_path / "config.py"
    config.write_text(CONFIG)
    (tmp_path / "settings_beside.py").write_text("name = 'first'")
    (tmp_path / "labels_beside.py").write_text("def labels():\n    return list('0123456789')")
    shutil.copy(MNIST.parent / "model.keras", tmp_path)

    def reload(*options: str) -> tuple[int, str, str]:
        done = run(tmp_path, "-m", "picasso", "reload", *options)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr

    with serving(tmp_path, "--config", str(config)) as server:
        visitor, address = server.ready(), f"{server.address}/"
        assert "first" in visitor.page("/model")
        assert reload() == (0, "first is unchanged.\n", "")
        assert reload("--url", address) == (0, "first is unchanged.\n", "")

        (tmp_path / "settings_beside.py").write_text("name = 'second'")
        (tmp_path / "labels_beside.py").write_text("def labels():\n    return ['zero', *'123456789']")
        code, said, _ = reload()
        assert code == 0
        assert "first is not in the config any more." in said
        assert "second was opened anew: model.keras of " in said
        assert "zero, 1, 2" in visitor.page("/model")

        (tmp_path / "model.keras").write_bytes(b"damaged")
        code, said, why = reload()
        assert (code, said) == (3, "")
        assert why.startswith("picasso: The new model.keras could not be opened: ")
        assert why.endswith(" stays in use.\n")
        assert "stays in use." in visitor.page("/")

        config.write_text("MODEL_PAHT = 1")
        code, _, why = reload("--url", address)
        assert (code, why) == (2, "picasso: MODEL_PAHT is not a setting of Picasso. Did you mean MODEL_PATH?\n")
        assert "stays in use." in visitor.page("/")
    config.unlink()
    code, _, why = reload()
    assert code == 8
    assert "No server runs over the data folder" in why


@pytest.mark.slow
def test_reload_of_what_is_no_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    for url, code, sentence in [
        (address, 8, f"The server at {address}/model/reload cannot be reached"),
        ("file:///etc", 2, "--url must be an address such as http://127.0.0.1:8000"),
    ]:
        done = run(tmp_path, "-m", "picasso", "reload", "--url", url)
        assert (done.returncode, done.stdout) == (code, "")
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "config.py does not exist. Check --config"),
        ("1 / 0", "config.py, line 1: ZeroDivisionError"),
        ("MODEL_PAHT = 'x'", "Did you mean MODEL_PATH?"),
        ("PORT = 'many'", "PORT"),
        ("import sys\nsys.exit(0)", "config.py, line 2: SystemExit"),
    ],
)
def test_a_wrong_config_is_said_in_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    if text is not None:
        (tmp_path / "config.py").write_text(text)
    done = run(tmp_path, "-m", "picasso", "serve", "--config", "config.py")
    assert done.returncode == 2
    assert done.stderr.startswith("picasso: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_function_that_is_not_there_is_said_before_tensorflow_is_imported(tmp_path: Path) -> None:
    model = MNIST.parent / "model.keras"
    (tmp_path / "config.py").write_text(f"MODEL_PATH = {str(model)!r}\nMODEL_PREPROCESS = 'no_such_module:prepare'")
    done = run(tmp_path, "-m", "picasso", "inspect")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "picasso: MODEL_PREPROCESS = 'no_such_module:prepare': the module no_such_module cannot"
    )
    assert len(done.stderr.splitlines()) == 1  # and no line of TensorFlow's log


def test_a_wrong_address_is_said_before_anything_starts(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "picasso", "serve", "--host", "no.such.host.invalid", "--config", str(MNIST))
    assert done.returncode == 2
    assert "no.such.host.invalid" in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_wrong_option(tmp_path: Path) -> None:
    done = run(tmp_path, "-m", "picasso", "serve", "--port", "many")
    assert done.returncode == 2
    assert "'many' is not a valid integer" in done.stderr
