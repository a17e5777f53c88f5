"""The sessions of docs/rest.md, word for word, with a server as `picasso serve` starts it."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from browsing import MNIST
from flask import Flask
from PIL import Image
from serving import ROOT, Server, serving
from visitors import Visitor
from waiting import wait_for

PAGE = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
DRAINING = 3  # seconds
SHOWN = "http://127.0.0.1:8000"


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S))


def ends(server: Server, visitor: Visitor) -> None:
    """Tells a server to end; it says that it will before it does."""
    server.tell(signal.SIGTERM)
    answer = wait_for(lambda: found if (found := visitor.get("/health/ready")).status != 200 else None, DRAINING)
    assert answer.json["error"]["code"] == "busy"
    assert visitor.get("/health/live").status == 200
    assert server.ended() == 0


@pytest.mark.slow
def test_the_sessions_of_the_docs_and_the_end_of_the_server(tmp_path: Path) -> None:
    for name in ("seven", "three"):
        shutil.copy(MNIST / "samples" / f"{name}.png", tmp_path)
    config = str(MNIST / "config.py")
    with serving(tmp_path, "--config", config, PICASSO_DRAIN_SECONDS=str(DRAINING)) as server:
        visitor = server.ready()
        script = "set -e -o pipefail\n" + blocks("bash").replace(SHOWN, server.address)
        done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        program = tmp_path / "program.py"
        program.write_text(blocks("python").replace(SHOWN, server.address), encoding="utf-8")
        command = [sys.executable, str(program)]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert found.returncode == 0, found.stderr
        ends(server, visitor)
    assert found.stdout.startswith("seven.png 7 ")
    values = np.load(tmp_path / "map.npy")
    assert (values.shape, values.dtype) == ((28, 28), np.float32)
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (28, 28)
    assert '"label":"7"' in (tmp_path / "explanation.json").read_text()
    for name in ("bundle.zip", "explanation.zip"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            assert "manifest.json" in archive.namelist()


def test_every_route_is_in_the_docs(shared_app: Flask) -> None:
    """Those of programs in docs/rest.md, those of pages in docs/addresses.md."""
    addresses = (ROOT / "docs" / "addresses.md").read_text(encoding="utf-8")
    missing = [
        f"{method} {rule.rule}"
        for rule in shared_app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if f"`{method} {rule.rule}`" not in PAGE
        and f"| {method} | `{rule.rule}` |" not in addresses
        and rule.endpoint != "static"
    ]
    assert missing == []


def test_every_code_that_a_program_may_meet_is_in_the_docs() -> None:
    from picasso import errors
    from picasso.web.errors import CODES

    kinds = {kind.code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "code")}
    missing = {code for code in (kinds | set(CODES.values())) if f"`{code}`" not in PAGE}
    assert missing == {"config", "differs"}  # told at start; an exit code of `picasso explain --again`
