"""docs/your-own-visualization.md, followed word for word in a fresh folder, with a real server; and what it says of
visualizations that change, fail, come and go while that server runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
import requests
from serving import ROOT, environment
from waiting import wait_for

pytestmark = pytest.mark.slow

GUIDE = (ROOT / "docs" / "your-own-visualization.md").read_text(encoding="utf-8")
LESSON = GUIDE[GUIDE.index("## From nothing to a page") : GUIDE.index("## While you write it")]
STEP = re.compile(r"(?P<before>.*?)^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


def block(language: str, word: str) -> str:
    """The guide's block in that language with a word in it."""
    found = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.M | re.S)
    return next(text for text in found if word in text)


@dataclass
class Author:
    """Somebody who follows the guide: in which folder, at which server, with which browser."""

    folder: Path
    environment: dict[str, str]
    url: str = ""
    process: subprocess.Popen[str] | None = None
    browser: requests.Session = field(default_factory=requests.Session)

    @property
    def plugins(self) -> Path:
        """The folder of visualizations."""
        return self.folder / "my_digits" / "my_visualizations"

    def do(self, step: re.Match[str]) -> str:
        """Follows one step: writes the file that the sentence before it names, or types the commands."""
        if step["language"] != "sh":
            name = re.findall(r"`([\w/]+/[\w/]+\.\w+)`", step["before"])[0]
            (self.folder / name).write_text(step["text"], encoding="utf-8")
            return name
        if " serve " in step["text"]:
            self.serve(step["text"])
            return self.url
        done = subprocess.run(
            ["bash", "-ec", step["text"]], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def serve(self, command: str) -> None:
        """Starts the server and opens its page."""
        with (self.folder / "stderr").open("w") as log:
            self.process = subprocess.Popen(
                command.split(), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "Picasso is at" in line, (self.folder / "stderr").read_text()
        self.url = line.split()[3]
        self.browser.post(f"{self.url}images/samples", data={"sample": 0}).raise_for_status()
        wait_for(lambda: "is loading" not in self.page("status"))

    def page(self, path: str, status: int = 200) -> str:
        """The text of a page."""
        answer = self.browser.get(urljoin(self.url, path))
        assert answer.status_code == status, answer.text
        return unescape(answer.text)

    def write(self, name: str, text: str) -> Path:
        """Writes a file into the folder of visualizations."""
        path = self.plugins / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, visualization: str, **settings: str) -> tuple[str, str]:
        """Runs one on the sample to its end: the address of its page, and the page."""
        (image,) = re.findall(r'name="image" value="(\w+)"', self.page(f"visualizations/{visualization}/pictures"))
        asked = {"visualization": visualization, "image": image, **settings}
        address = self.browser.post(f"{self.url}runs", data=asked).url
        assert "/runs/" in address
        wait_for(lambda: 'id="live"' not in self.page(address))
        return address, self.page(address)

    def shown(self, address: str, page: str) -> None:
        """Every picture of a page is there."""
        for link in re.findall(r'<img[^>]* src="([^"]+)"', page):
            answer = self.browser.get(urljoin(address, link))
            assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png"), link


def install_package(folder: Path) -> Path:
    """Installs the package of the guide, with a visualization of another name in it, into a folder of its own."""
    source = folder / "package"
    (source / "my_package").mkdir(parents=True)
    files = {
        "pyproject.toml": block("toml", "entry-points"),
        "my_package/__init__.py": "",
        "my_package/brightness.py": block("python", "class Brightness"),
        "my_package/Dimming.html": block("html", "result.steps"),
    }
    for name, text in files.items():
        (source / name).write_text(text.replace("Brightness", "Dimming"), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", folder / "site", source], check=True)
    return folder / "site"


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Author]:
    """Somebody in a folder that looks like Picasso's after `make serve`."""
    folder = tmp_path_factory.mktemp("picasso")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "examples").symlink_to(ROOT / "examples")
    paths = [str(ROOT), str(install_package(tmp_path_factory.mktemp("package")))]
    made = Author(folder, environment(folder, PYTHONPATH=os.pathsep.join(paths)))
    yield made
    if made.process is not None:
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(40) == 0
        assert made.process.stdout is not None
        made.process.stdout.close()


def test_the_lesson_word_for_word(author: Author) -> None:
    steps = list(STEP.finditer(LESSON))
    assert [step["language"] for step in steps] == ["sh", "python", "sh", "sh", "python", "html", "python", "sh"]
    for step in steps[:4]:
        said = author.do(step)
    assert "Brightness" in author.page("/")
    address, page = author.run("brightness", fill="black")
    assert "<picasso-map" in page
    assert "seven.png: 7" in page
    author.shown(address, page)

    assert author.process is not None
    before = {one.pid for one in psutil.Process(author.process.pid).children(recursive=True)}
    for step in steps[4:6]:
        author.do(step)
    assert 'name="steps"' in author.page("visualizations/brightness")
    address, page = author.run("brightness", steps="5")
    assert "seven.png: 7" in page
    assert page.count('<li class="panel padded"><img') == 5
    author.shown(address, page)
    assert {one.pid for one in psutil.Process(author.process.pid).children(recursive=True)} == before
    assert "Read again" not in author.page("model")  # the model

    author.do(steps[6])
    said = author.do(steps[7])
    assert " passed" in said

    wrong, right = re.search(r"Write `(.*?)` for\s`(.*?)`", LESSON).groups()  # type: ignore[union-attr]
    code = author.plugins / "brightness" / "brightness.py"
    text = code.read_text()
    code.write_text(text.replace(right, wrong))
    number = 1 + text[: text.index(right)].count("\n")
    _, page = author.run("brightness", steps="5")
    assert f"brightness failed at {code}, line {number}: NameError: name 'lvel' is not defined" in page
    assert f"> {number} |             pictures = [image.data" in page
    code.write_text(text)
    assert "seven.png: 7" in author.run("brightness", steps="5")[1]


def test_the_plain_form(author: Author) -> None:
    author.write("halves.py", block("python", "class Halves"))
    knows = "<b>{{ app_state.model }}|{{ current_vis.title }}|{{ reference_link }}|{{ duration|seconds }}</b>"
    author.write("Halves.html", block("html", "outputs/").replace("{% endfor %}", f"{{% endfor %}}{knows}"))
    page = author.page("visualizations/halves")
    assert re.findall(r"<option[^>]*>([^<]+)</option>", page)[-4:] == ["upper", "lower", "0.50", "0.25"]
    assert "selected>upper" in page
    assert "'Size' should be '0.50' or '0.25'" in author.page("visualizations/halves?Size=1", 422)
    for half in ("upper", "lower"):
        address, page = author.run("halves", Half=half)
        assert f"seven.png: {half}" in page
        assert 'src="inputs/seven.png"' in page
        assert re.search(r"<b>model\|Halves\|\|[\d.]+ s</b>", page)
        author.shown(address, page)


def test_a_class_and_a_template_that_are_broken_half_way(author: Author) -> None:
    code = author.write("third.py", block("python", "class Halves").replace("Halves", "Third"))
    assert "write Third.html beside the class" in author.page("/")
    template = author.write("Third.html", block("html", "outputs/"))
    assert "Broken visualization" not in author.page("/")
    address, page = author.run("third")
    assert "seven.png: upper" in page

    text = code.read_text()
    code.write_text(text.replace("results = []", "results = ["))
    page = author.page("/")
    assert "third.py, line 11: SyntaxError: '[' was never closed" in page
    assert "> 11 |         results = [" in page
    assert author.page(address, 500).count("SyntaxError") == 1  # not that there is no such visualization
    assert "seven.png" in author.run("halves")[1]  # the others work
    code.write_text(text)
    assert "seven.png: upper" in author.page(address)

    template.write_text('{% extends "result.html" %}\n{% block vis %}\n{{ results[0].nothing }}\n{% endblock %}')
    page = author.page(address, 500)
    assert f"The template failed at {template}, line 3: UndefinedError: 'dict object' has no" in page
    assert "> 3 | {{ results[0].nothing }}" in page
    template.write_text("{% block vis %}{{ 1 + }}{% endblock %}")
    assert "Third.html, line 1: TemplateSyntaxError" in author.page("/")

    code.unlink()
    template.unlink()
    assert "Third" not in author.page("/")
    assert "There is no visualization 'third'" in author.page(address, 404)


def test_a_package(author: Author) -> None:
    address, page = author.run("dimming", steps="2")
    assert "seven.png: 7" in page
    author.shown(address, page)
