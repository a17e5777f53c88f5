"""The checks of maps: each gives numbers and a verdict, JSON-able. The page makes sentences of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from picasso.attribution.agreement import agreement, overlap, spearman
from picasso.attribution.hiding_curves import FloatCurves, area, hiding_curves, moved, strongest_first
from picasso.attribution.targets import FloatArray, Model

STRONGEST = 0.1  # the share of the pixels that sentences speak of
SAME, PARTLY = 0.7, 0.5  # from these similarities on, a map has hardly, or only partly, changed with the weights
NOISE = 1e-6  # differences of areas up to here are rounding
STABLE = 0.8  # from this similarity on, a map is the same with another seed


def check_hiding(
    model: Model,
    x: FloatArray,
    cls: int,
    fill: FloatArray,
    values: FloatArray,
    *,
    steps: int,
    maps: int,
    seed: int,
    step: Callable[[float], None],
) -> dict[str, Any]:
    """Deletion and insertion in the order of a map (height, width), against the map moved to `maps` random places."""
    rng = np.random.default_rng(seed)
    others = [moved(values, rng) for _ in range(maps)]
    orders = np.stack([strongest_first(one, rng) for one in (values, *others)])
    curves = hiding_curves(model, x, cls, fill, orders, steps, step)
    return {
        "shares": np.linspace(0, 1, steps + 1).tolist(),
        "at": round(steps * STRONGEST),  # the step at which the strongest are hidden
        "deletion": _against_chance(curves.deletion, -1),
        "insertion": _against_chance(curves.insertion, 1),
    }


def _against_chance(curves: FloatCurves, good: int) -> dict[str, Any]:
    """The first curve of (K, steps + 1) against the others. `good`: 1 where a large area is good, -1 where a small."""
    areas, random = area(curves), curves[1:]
    ahead = good * (areas[0] - areas[1:])
    return {
        "curve": curves[0].tolist(),
        "area": float(areas[0]),
        "random": {
            "areas": areas[1:].tolist(),
            "area": float(areas[1:].mean()),
            "mean": random.mean(axis=0).tolist(),
            "low": random.min(axis=0).tolist(),
            "high": random.max(axis=0).tolist(),
        },
        "verdict": "better" if (ahead > NOISE).all() else "worse" if (ahead < -NOISE).all() else "chance",
    }


def shared(a: FloatArray, b: FloatArray, seed: int) -> float:
    """How much of two maps' strongest pixels is the same."""
    rng = np.random.default_rng(seed)
    return overlap(strongest_first(a, rng), strongest_first(b, rng), STRONGEST)


def check_seed(values: FloatArray, again: FloatArray, seed: int) -> dict[str, Any]:
    """A map against the one of another seed."""
    similarity = spearman(values, again)
    verdict = "stable" if similarity >= STABLE else "unstable"
    return {"similarity": similarity, "overlap": shared(values, again, seed), "verdict": verdict}


def check_shuffling(stages: Sequence[tuple[int, float | None]], layers: int) -> dict[str, Any]:
    """How alike a map stays after more and more of the model's layers were shuffled.

    Args:
        stages: (layers, similarity) of each; None where the shuffled model gave no map, or one without any difference.
        layers: how many there are to shuffle.

    Returns:
        With "unmoved", the most layers after which it had hardly changed, 0 for none. The verdict is "same" where that
        is so after the last stage there is, "partly" where it was so before or the last is still alike, and
        "unfinished" as long as not all layers were shuffled.
    """
    known = [(count, similarity) for count, similarity in stages if similarity is not None]
    last = known[-1][1] if known else None
    unmoved = max((count for count, similarity in known if similarity >= SAME), default=0)
    if stages[-1][0] < layers:
        verdict = "unfinished"
    elif last is None:
        verdict = "unknown"
    elif last >= SAME:
        verdict = "same"
    else:
        verdict = "partly" if last >= PARTLY or unmoved else "changes"
    return {
        "stages": [{"layers": count, "similarity": similarity} for count, similarity in stages],
        "similarity": last,
        "unmoved": unmoved,
        "verdict": verdict,
    }


def check_agreement(maps: Mapping[str, FloatArray], name: str, *, moves: int, seed: int) -> list[dict[str, Any]]:
    """One method's map against each of the others.

    The verdict, "more" or "chance", is by the overlap of the strongest pixels, which people look at; the number
    "chance" is the most that the map overlaps with the other when it lies in one of `moves` random places. The
    similarity is None where none can be said; it is of absolute values unless both maps have negative ones.
    """
    rng = np.random.default_rng(seed)
    places = [strongest_first(moved(maps[name], rng), rng) for _ in range(moves)]
    found = []
    for other, values in maps.items():
        if other == name:
            continue
        signed = bool(maps[name].min() < 0 and values.min() < 0)
        similarity, same = agreement(maps[name], values, signed), shared(maps[name], values, seed)
        order = strongest_first(values, rng)
        chance = max(overlap(place, order, STRONGEST) for place in places)
        verdict = "more" if same > chance else "chance"
        found.append({"name": other, "similarity": similarity, "overlap": same, "chance": chance, "verdict": verdict})
    return found
