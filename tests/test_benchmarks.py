"""The tables of `make bench`, made of few rows. No test asserts a time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
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
    ]
    for row in rows:
        found.add(row)
    return found


def test_occlusion_is_told_in_ratios_beside_its_floor_and_its_bound(results: Results):
    page = report.markdown(results)
    assert "| VGG16 | 4.20 | 4.0 | yes | 5.00 | 84% | 2e-06 | 5.00 |" in page


def test_a_faster_peer_is_named_and_said(results: Results):
    page = report.markdown(results)
    assert "| gradient | **0.90** (tf-explain) | **no** | 75% |" in page


def test_the_first_map_and_the_memory_beyond_the_loaded_network(results: Results):
    page = report.markdown(results)
    assert "| gradient | 10.00 (1.00) | 2.50 (4.00) | xplique (10.00) | yes |" in page
    assert "| gradient | 40 / 110 (xplique) | yes |" in page


def test_answers_are_told_beside_a_forward_pass(results: Results):
    assert "| VGG16 | 30 | 60 | 20 | 1.5 | yes |" in report.markdown(results)


def test_what_a_person_waits_for_in_the_browser(results: Results):
    assert "| VGG16 | 70 | 90 | 100 | 170 | 500 | yes |" in report.markdown(results)


def test_what_does_not_run_is_told_with_its_reason(results: Results):
    assert "- saliency, RISE, VGG16: does not run. ValueError: no" in report.markdown(results)


def test_a_row_that_is_measured_again_takes_the_place_of_the_old_one(results: Results):
    results.add(warm("tf-explain", 0.3))
    again = Results(results.file)
    assert len(again.rows) == len(results.rows) == 14
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
