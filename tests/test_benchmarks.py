"""The tables of `make bench` and `make load`, made of few rows. No test asserts a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import load_report, report  # noqa: E402
from benchmarks.load_ledger import Accepted, Ledger  # noqa: E402
from benchmarks.results import Results  # noqa: E402


def warm(library: str, seconds: float, method: str = "gradient", window: int = 0) -> dict[str, object]:
    row = {"question": "warm", "network": "VGG16", "method": method, "window": window, "library": library}
    return row | {"seconds": seconds, "load": 0.5}


def cold(library: str, peak: float, warm_up: bool = True, method: str = "gradient") -> dict[str, object]:
    row = {"question": "cold", "network": "VGG16", "method": method, "window": 0, "library": library, "load": 0.5}
    row |= {"warm_up": warm_up, "open_seconds": 2.0, "warm_up_seconds": 3.0, "seconds": 1.0}
    return row | {"imported_mb": 100.0, "loaded_mb": 150.0, "peak_mb": peak}


@pytest.fixture
def results(tmp_path: Path) -> Results:
    found = Results(tmp_path / "results.json")
    found.conditions = {"date": "2026-01-01", "processor": "P", "cores": 2, "system": "S", "versions": {"keras": "3"}}
    rows = [
        warm("Picasso", 0.1, "occlusion", 32),
        warm("Picasso", 0.1, "occlusion", 32) | {"question": "exactness", "share": 0.2, "deviation": 2e-6},
        warm("Picasso", 0.05, "occlusion", 32) | {"question": "preview", "dense": 0.4, "correlation": 0.98},
        warm("TensorFlow", 0.42, "occlusion", 32),
        warm("xplique", 0.5, "occlusion", 32),
        warm("Picasso", 0.2),
        warm("TensorFlow", 0.15),
        warm("xplique", 0.5),
        warm("tf-explain", 0.18),
        warm("saliency", 0.0, method="RISE") | {"problem": "ValueError: no"},
        warm("Picasso", 0.03, "by hand", 48) | {"question": "asking", "late": 0.06, "forward": 0.02},
        warm("Picasso", 0.07, "by hand", 0)
        | {"question": "browsing", "late": 0.09, "beside": 0.1, "late_beside": 0.17, "paint": 0.5},
        cold("TensorFlow", 0, method="loading"),
        cold("Picasso", 190.0),
        cold("Picasso", 170.0, warm_up=False) | {"seconds": 4.0},
        cold("xplique", 260.0) | {"seconds": 10.0},
        cold("saliency", 220.0) | {"seconds": 20.0},
        {"question": "recovery", "network": "VGG16", "method": "a worker killed", "window": 0, "library": "Picasso"}
        | {"seconds": 8.04, "late": 15.2, "rounds": 3, "load": 0.5},
    ]
    for row in rows:
        found.add(row)
    return found


def test_occlusion_is_told_in_ratios_beside_its_floor_and_its_bound(results: Results):
    page = report.markdown(results)
    assert "| VGG16 | 4.20 | 4.0 | yes | 5.00 | 84% | 2e-06 | 5.00 |" in page


def test_a_preview_is_told_with_how_alike_its_map_is(results: Results):
    assert "| network | window 32 |\n| --- | --- |\n| VGG16 | 8.00 (0.980) |" in report.markdown(results)


def test_a_faster_peer_is_named_and_said(results: Results):
    page = report.markdown(results)
    assert "| gradient | **0.90** (tf-explain) | **no** | 75% |" in page


def test_the_first_map_and_the_memory_beyond_the_loaded_network(results: Results):
    page = report.markdown(results)
    assert "| gradient | 10.00 (1.00) | 2.50 (4.00) | xplique (10.00) | yes |" in page
    assert "| network | method | warmed up | just opened | peer with least | fastest peer | below all |" in page
    assert "| VGG16 | gradient | 40 | 20 | 70 (saliency) | 110 (xplique) | yes | yes |" in page
    assert "loaded the network: 150 MB with VGG16." in page


def test_answers_are_told_beside_a_forward_pass(results: Results):
    assert "| VGG16 | 30 | 60 | 20 | 1.5 | yes |" in report.markdown(results)


def test_how_long_a_killed_worker_is_missed(results: Results):
    assert "| VGG16 | 8.0 | 15.2 | 3 | **no** |" in report.markdown(results)


def test_what_a_person_waits_for_in_the_browser(results: Results):
    assert "| VGG16 | 70 | 90 | 100 | 170 | 500 | yes |" in report.markdown(results)


def test_what_was_measured_on_another_machine_is_said(results: Results):
    assert "another machine" not in report.markdown(results)
    results.conditions["processor"] = "Q"
    results.add(warm("Picasso", 0.1, "occlusion", 32))
    page = report.markdown(results)
    assert page.count("Measured earlier, on another machine: VGG16 on P.") == 7


def test_what_does_not_run_is_told_with_its_reason(results: Results):
    assert "- saliency, RISE, VGG16: does not run. ValueError: no" in report.markdown(results)


def test_a_row_that_is_measured_again_takes_the_place_of_the_old_one(results: Results):
    results.add(warm("tf-explain", 0.3))
    again = Results(results.file)
    assert len(again.rows) == len(results.rows) == 18
    assert "1.50 (tf-explain)" in report.markdown(again)
    assert json.loads(results.file.read_text())["conditions"]["processor"] == "P"


def test_the_readme_gets_its_table_between_the_markers(results: Results, tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write(results, tmp_path / "results.md", readme)
    text = readme.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "| Occlusion, VGG16 | 4.20 | 5.00 (xplique) |" in text


def test_the_readme_has_the_markers():
    assert f"{report.BEGIN}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert report.END in (ROOT / "README.md").read_text(encoding="utf-8")


# make load


@pytest.fixture
def ledger() -> Ledger:
    found = Ledger()
    for milliseconds in (10, 20, 30):
        found.answered("GET /", 200, milliseconds)
    found.answered("POST /images", 503, 5)
    for run in ("one", "two", "three"):
        found.accept(Accepted(run, "occlusion", ()))
    found.accept(Accepted("one", "occlusion", ()))
    gone = found.forget("one", "two")
    found.remember(gone[:1])
    found.ends["done"] += 2
    return found


def health(ms: float = 5, status: int = 200, minute: int = 0, worker: float = 900) -> dict[str, object]:
    return {"time": 60.0 * minute, "ms": ms, "status": status, "memory": {"web": 100, "worker": worker, "others": 50}}


def figures(ledger: Ledger, *rows: dict[str, object], lost: tuple[str, ...] = (), log: str = "") -> dict[str, object]:
    return load_report.figures(ledger, rows, lost, (0, 3600), 100, log)


def test_a_load_that_breaks_nothing(ledger: Ledger, tmp_path: Path):
    found = figures(ledger, *(health(minute=minute) for minute in range(30)))
    assert load_report.broken(found) == []
    page = tmp_path / "reliability.md"
    page.write_text(f"# Here\n{load_report.BEGIN}\nold\n{load_report.END}\n# There\n")
    load_report.write(found, page)
    text = page.read_text()
    assert text.startswith(f"# Here\n{load_report.BEGIN}\n")
    assert text.endswith(f"{load_report.END}\n# There\n")
    assert "old" not in text
    assert "Runs accepted: 3; deleted by their visitors: 1; at the end 2 done; lost: 0." in text
    assert "Refused for now (429, 503 with Retry-After): 1." in text
    assert "| GET / | 3 | 200: 3 | 20 |" in text
    assert "| 30 | 100 | 900 | 50 |" in text


@pytest.mark.parametrize(
    ("rows", "more", "sentence"),
    [
        ([health(), health(250)], {}, "Health took longer than 200 ms 1 times, 250 ms at worst, the first"),
        ([health(status=503)], {}, "1 of 1 questions for health were not answered with 200."),
        ([], {}, "0 of 0 questions for health"),
        ([health()], {"lost": ("Run one (occlusion) has not ended.",)}, "1 accepted runs are lost. Run one"),
        ([health()], {"log": "Traceback (most recent call last)"}, "has 1 tracebacks"),
        (
            [health(minute=one, worker=900 + 20 * one) for one in range(30)],
            {},
            "Memory (worker) has no plateau: 1190 MB",
        ),
    ],
)
def test_a_broken_promise_of_a_load_is_named(ledger: Ledger, rows: list, more: dict, sentence: str):
    (told,) = load_report.broken(figures(ledger, *rows, **more))
    assert sentence in told


def test_answers_that_should_not_be_are_told(ledger: Ledger):
    ledger.fault("GET /: 500 Something went wrong")
    (told,) = load_report.broken(figures(ledger, health()))
    assert told == "1 answers were none that is expected. GET /: 500 Something went wrong"


def test_the_page_has_the_markers_of_the_load():
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    assert page.index(load_report.BEGIN) < page.index(load_report.END)
