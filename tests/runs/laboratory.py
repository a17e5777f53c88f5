"""Real engines over real worker processes with the MNIST example, and plugins that misbehave."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from waiting import wait_for

from picasso.config import Config
from picasso.runs.engine import DaskEngine
from picasso.runs.roster import Status
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.visualizations.discovery import discover

MNIST = Path(__file__).resolve().parents[2] / "examples" / "mnist-keras"

PLUGIN = """
import os, re, time
from picasso.visualizations.base import BaseVisualization

class {name}(BaseVisualization):
    description = "For tests"
    settings = {{"Value": ["0", "1", "2", "3", "4", "5"]}}

    def make_visualization(self, inputs, output_dir, settings):
{body}
"""
BODIES = {
    "Quick": "return [{'pid': os.getpid()} for _ in inputs]",
    "Slow": """
for step in range(40):
    self.progress(step / 40, f"Step {step}", [{"step": step, "pid": os.getpid()}])
    if self.enough():
        return [{"step": step}]
    time.sleep(0.25)
return [{"pid": os.getpid()} for _ in inputs]""",
    "Raises": "return [1 / 0 for _ in inputs]",
    "Hangs": """
self.progress(0.5, "Hanging")
while True:
    pass""",
    "HoldsTheLock": """
self.progress(0.5, "Hanging")
time.sleep(1)
re.match(r"(a|a)+$", "a" * 60 + "b")  # one call in C that never lets another thread of this process run""",
    "Brief": """
for step in range(12):
    self.progress(step / 12, f"Step {step}")
    time.sleep(0.25)
return [{"pid": os.getpid()} for _ in inputs]""",
    "NotWritable": r"return [{'text': '\udcff'} for _ in inputs]",
    "TooFew": "return []",
    "Unkeepable": "return [{'thing': object()} for _ in inputs]",
}


def write_plugins(folder: Path, *names: str) -> Path:
    """A folder with these visualizations."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or BODIES:
        body = "\n".join(f"        {line}" for line in BODIES[name].strip().splitlines())
        (folder / f"{name.lower()}.py").write_text(PLUGIN.format(name=name, body=body))
        (folder / f"{name}.html").write_text('{% extends "result.html" %}')
    return folder


def descendants() -> set[int]:
    """Processes that this one started, at any depth."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


@dataclass
class Laboratory:
    """An engine and a session with a picture."""

    config: Config
    store: Store = field(init=False)
    engine: DaskEngine = field(init=False)
    session: str = field(init=False)
    image: str = field(init=False)

    def __post_init__(self) -> None:
        self.store = Store(self.config.DATA_DIR)
        self.engine = DaskEngine(self.config, self.store, discover(self.config.VISUALIZATION_FOLDERS, frameworks=False))
        self.session, self.image = self.new_session()

    def new_session(self) -> tuple[str, str]:
        """A session, and a picture in it."""
        session = self.store.new_session()
        png = (MNIST / "samples" / "three.png").read_bytes()
        return session, self.store.add_image(session, "three.png", png, (28, 28), "PNG", []).id

    def ready(self, workers: int = 1) -> Status:
        """Waits until the model is loaded."""

        def status() -> Status | None:
            found = self.engine.status()
            return found if found.state == "failed" or (found.state == "ready" and found.workers >= workers) else None

        found: Status = wait_for(status)
        return found

    def start(self, visualization: str, session: str = "", image: str = "", model: str = "", **settings: Any) -> Run:
        """A new run, as pages make it."""
        digest = self.engine.roster.catalogue.digest(model) or ""
        images = [image or self.image]
        run = self.store.add_run(session or self.session, visualization, settings, images, None, 0, model, digest)
        self.engine.wake()
        return run

    def now(self, run: Run) -> Run:
        """A run as it is now."""
        return self.store.run(run.session, run.id)

    def wait(self, run: Run, *states: State) -> Run:
        """Waits until a run is in one of these states; any finished one unless given."""

        def reached() -> Run | None:
            found = self.now(run)
            return found if (found.state in states if states else found.state.finished) else None

        found: Run = wait_for(reached)
        return found

    def works(self) -> int:
        """Executes a run to its end; the process that did it."""
        run = self.wait(self.start("quick"))
        assert run.state is State.DONE, run.error
        manifest = self.store.manifest(run)
        assert manifest is not None
        pid: int = manifest["results"][0]["pid"]
        return pid


def mnist_config(folder: Path, **settings: Any) -> Config:
    """The MNIST example with all plugins."""
    values: dict[str, Any] = {
        "MODEL_PATH": MNIST / "model.keras",
        "MODEL_PREPROCESS": {"geometry": "resize", "scale": [0, 1]},
        "DATA_DIR": folder / "data",
        "VISUALIZATION_FOLDERS": [write_plugins(folder / "plugins")],
    }
    return Config(**values | settings)


def workers(pids: set[int]) -> set[int]:
    """Those that are Python's helper for shared resources stay until the process ends; all others are workers."""
    found = set()
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(process.cmdline()):
                found.add(pid)
        except psutil.NoSuchProcess:
            pass
    return found
