"""How much quicker occlusion is on the layer graph than running the network once per window.

    python benchmarks/occlusion.py [--models ResNet50 VGG16] [--windows 32] [--rounds 3] [--output results.json]

One process, both ways in turn, medians. Dense is what `Model.occlude` does for a model without a layer graph: a
compiled function and balanced batches of at most 32. Its time for one window does not depend on where the window is: it
is taken from some of them. Networks have random weights, which times do not depend on. The time of the processor (all
cores) stands beside that of the clock: other programs disturb it less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from picasso.attribution.occlusion import corners as all_corners
from picasso.models.base import MAX_BATCH, hide
from picasso.models.incremental.folding import fold
from picasso.models.incremental.occluder import Occluder
from picasso.models.incremental.reading import read
from picasso.models.keras_flat import flatten

MODELS = ("MobileNetV2", "ResNet50", "VGG16", "DenseNet121", "EfficientNetB0")
FLOORS = {"MobileNetV2": 4.0, "ResNet50": 2.0, "VGG16": 4.0, "DenseNet121": 1.7, "EfficientNetB0": 1.2}  # window 32
SHAPE = (224, 224, 3)
STRIDE = 16
DENSE_WINDOWS = 32  # that the dense way is timed with


def main() -> None:
    """Measures, prints a table, writes a JSON file."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", nargs="+", default=MODELS)
    arguments.add_argument("--windows", nargs="+", type=int, default=[16, 32, 64])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--output", type=Path, default=Path("benchmarks/occlusion.json"))
    given = arguments.parse_args()
    rows = []
    for name in given.models:
        for row in measure(name, given.windows, given.rounds):
            rows.append(row)
            print(as_line(row), flush=True)
    conditions = {
        "processor": platform.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    given.output.write_text(json.dumps({"conditions": conditions, "rows": rows}, indent=1) + "\n")


def measure(name: str, windows: list[int], rounds: int) -> list[dict[str, Any]]:
    """One row for each window of one network."""
    keras.utils.set_random_seed(0)
    network = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    x = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    settle(network)
    function = tf.function(
        lambda images: network(images, training=False), [tf.TensorSpec((None, *SHAPE))], autograph=False
    )
    flat = flatten(network)
    start = time.perf_counter()
    graph = read(flat, flat.model.inputs[0], flat.model.outputs, SHAPE, lambda images: [images])
    occluder = Occluder(fold(graph))
    reading = time.perf_counter() - start
    return [{"model": name, "reading": reading} | compare(occluder, function, x, window, rounds) for window in windows]


def settle(network: Any) -> None:
    """Batch normalizations that fit some noise, so that scores differ between windows."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(np.random.default_rng(1).normal(size=(4, *SHAPE)).astype(np.float32), training=True)


def compare(
    occluder: Occluder, function: Callable[[Any], Any], x: np.ndarray[Any, Any], side: int, rounds: int
) -> dict[str, Any]:
    """Both ways for one window size, in turn."""
    window, fill = (side, side), np.zeros(SHAPE, np.float32)
    positions = all_corners(SHAPE[:2], window, STRIDE)
    some = np.linspace(0, len(positions) - 1, DENSE_WINDOWS).astype(int)

    def dense() -> Any:
        return function(tf.constant(hide(x, positions[some], window, fill))).numpy()

    def incremental() -> Any:
        occluder._digest = b""  # the un-occluded image belongs to every map
        return occluder.occlude(x, positions, window, fill)

    first = timed(incremental)
    expected = dense()
    ways = {"dense": (dense, len(some)), "incremental": (incremental, len(positions))}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (run, count) in ways.items():
            wall, processor = timed(run)
            times[way].append((wall / count, processor / count))
    milliseconds = {
        f"{way}_{clock}_ms": 1000 * statistics.median(pair[n] for pair in pairs)
        for way, pairs in times.items()
        for n, clock in enumerate(("wall", "processor"))
    }
    plan = occluder.plan(positions, window)
    deviation = np.abs(incremental()[some] - expected).max() / np.abs(expected).max()
    return {
        "window": side,
        "positions": len(positions),
        "share": plan.share,
        "whole_from": plan.whole_from,
        "first_s": first[0],
        **milliseconds,
        "ratio": milliseconds["dense_wall_ms"] / milliseconds["incremental_wall_ms"],
        "processor_ratio": milliseconds["dense_processor_ms"] / milliseconds["incremental_processor_ms"],
        "deviation": float(deviation),
        "batch": MAX_BATCH,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "load": os.getloadavg()[0],
    }


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def as_line(row: dict[str, Any]) -> str:
    """One line of the table."""
    floor = f"floor {FLOORS[row['model']]}" if row["window"] == 32 and row["model"] in FLOORS else ""
    return (
        f"{row['model']:15} window {row['window']:3} x {row['positions']:3}: {row['ratio']:5.2f} times quicker "
        f"(processor time {row['processor_ratio']:5.2f}), bound {1 / row['share']:5.2f}, dense "
        f"{row['dense_wall_ms']:6.1f} ms, incremental {row['incremental_wall_ms']:6.1f} ms, "
        f"first {row['first_s']:4.1f} s, deviation {row['deviation']:.0e} {floor}"
    )


if __name__ == "__main__":
    main()
