"""The scores of a few classes over the checkpoints of a training, as lines of a small picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from picasso.checkpoints import training_and_step
from picasso.web.cells import Cell, answer_of
from picasso.web.classes import Class, ranked
from picasso.web.comparison import Comparison, Row

LINES = 3
TICKS = 4  # steps written below the curves, less one
WIDTH, HEIGHT = 320.0, 150.0  # of the plot, in units of the drawing


@dataclass(frozen=True)
class Line:
    """One class: its score at each step, None where there is none yet; `paths` are its unbroken parts."""

    label: str
    scores: tuple[float | None, ...]
    paths: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Curve:
    """The lines of one picture.

    Attributes:
        name: of its element in the page; `stamp` changes when it does.
        places: where each step lies, from left to right; `ticks` are those that are written, (place, step).
        low, high: the scores at the bottom and the top.
    """

    name: str
    stamp: str
    filename: str
    kind: str
    steps: tuple[int, ...]
    places: tuple[float, ...]
    ticks: tuple[tuple[float, int], ...]
    lines: tuple[Line, ...]
    low: float
    high: float


def curves(comparison: Comparison) -> list[Curve]:
    """One for each picture, of the best classes of the newest answer and of the class that is shown."""
    found = [training_and_step(beside.run.model) for beside in comparison.besides]
    steps = tuple(one[1] if one else place for place, one in enumerate(found))
    columns = [at for at, one in enumerate(comparison.columns) if one.pick == comparison.columns[0].pick]
    return [_curve(f"curve-{row.number}", row, columns, steps) for row in comparison.rows]


def _curve(name: str, row: Row, columns: Sequence[int], steps: tuple[int, ...]) -> Curve:
    cells = [row.cells[column] for column in columns]
    scores = {cls: tuple(_score(cell, cls) for cell in cells) for cls in _classes(cells)}
    kind = next((cell.result["score_kind"] for cell in cells if cell.result and "score_kind" in cell.result), "score")
    known = [score for line in scores.values() for score in line if score is not None]
    low, high = (0.0, 1.0) if kind == "probability" else (min(known, default=0.0), max(known, default=1.0))
    places = _places(len(steps))
    lines = []
    for cls, line in scores.items():
        dots = [None if one is None else (x, _height(one, low, high)) for x, one in zip(places, line, strict=True)]
        lines.append(Line(cls.label, line, tuple(_paths(dots)), tuple(dot for dot in dots if dot is not None)))
    stamp = f"{sum(cell.result is not None for cell in cells)}.{'-'.join(cls.label for cls in scores)}"
    written = sorted({round(at * (len(steps) - 1) / TICKS) for at in range(TICKS + 1)})
    ticks = tuple((places[at], steps[at]) for at in written)
    return Curve(name, stamp, row.input.filename, kind, steps, places, ticks, tuple(lines), low, high)


def _classes(cells: Sequence[Cell]) -> list[Class]:
    """The best of the newest answer, and the one whose map is shown; a few."""
    newest = next((cell for cell in reversed(cells) if cell.result is not None), None)
    if newest is None:
        return []
    shown = [cell.wanted for cell in cells if cell.wanted is not None][-1:]
    return list(dict.fromkeys([*ranked(newest.result)[:LINES], *shown]))[: LINES + 1]


def _score(cell: Cell, cls: Class) -> float | None:
    """A class's score in one checkpoint: they all have the same classes at the same places."""
    if cell.result is None:
        return None
    answer = answer_of(cell.result)
    if answer is not None and cls.index < len(answer):
        return float(answer[cls.index])
    listed = cell.result.get("predictions") or cell.result.get("maps") or []
    return next((float(one["score"]) for one in listed if one["label"] == cls.label), None)


def _places(count: int) -> tuple[float, ...]:
    """Equally far apart, as the checkpoints are on the slider: many trainings keep more of them early on."""
    return tuple(round(WIDTH * at / (count - 1), 1) for at in range(count)) if count > 1 else (WIDTH / 2,)


def _height(score: float, low: float, high: float) -> float:
    return round(HEIGHT * (1 - (score - low) / (high - low)), 1) if high > low else HEIGHT / 2


def _paths(dots: Sequence[tuple[float, float] | None]) -> list[str]:
    """The points of each part without a gap, as SVG writes them."""
    parts: list[list[str]] = [[]]
    for dot in dots:
        if dot is None:
            parts.append([])
        else:
            parts[-1].append(f"{dot[0]:g},{dot[1]:g}")
    return [" ".join(part) for part in parts if len(part) > 1]
