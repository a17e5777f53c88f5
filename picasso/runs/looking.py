"""One visualization of some images with an open model: from pictures to packed results.

Worker processes do this for runs, and the command line and Python for themselves.
"""

from __future__ import annotations

import logging
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from picasso.disk import TEMPORARY, no_space
from picasso.errors import NotFinite, PicassoError, PluginError, origin, place_in
from picasso.images.reading import encode_png
from picasso.models.info import ModelInfo
from picasso.runs.artifacts import Packed, pack
from picasso.visualizations import base
from picasso.visualizations.base import BaseVisualization, Input, Settings

log = logging.getLogger(__name__)
OUTPUT_FORMATS = ["PNG", "JPEG"]
NOTHING = Packed(None)
_ALONE = threading.RLock()  # chance, and a model whose weights may be shuffled, belong to one thread at a time


@dataclass(frozen=True)
class Outcome:
    """What came of a run: its packed results and the model that gave them, or the error.

    `stopped` says how far it was, 0..1, when the person had enough; None where it ran to its end. `failed` says, by the
    numbers of the images, for which there is no result (but `NOTHING`) and why."""

    results: list[Packed] = field(default_factory=list)
    outputs: dict[str, bytes] = field(default_factory=dict)  # pictures that the visualization wrote itself
    info: ModelInfo | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # with every default filled in
    seconds: float = 0.0
    calls: int = 0
    stopped: float | None = None
    failed: dict[int, str] = field(default_factory=dict)
    source: str = ""  # the digest of the visualization's source
    error: PicassoError | None = None


def look(
    visualization: BaseVisualization,
    settings: Settings,
    inputs: Sequence[Input],
    seed: int,
    checkpoint: Callable[[], None],
    first: int = 0,
) -> Outcome:
    """Has a visualization look at some images. A second thread that calls this waits until the first one is done.

    Args:
        visualization: made for the open model.
        settings: checked.
        inputs: the images.
        seed: what chance begins with.
        checkpoint: called before every batch; it may raise to end all of it.
        first: the number of the first image, by which files are named.

    Raises:
        NotFinite: the model gave no numbers for one of the images, which is named where it is the only one.
        PluginError: the results are not such as a visualization gives.
        Exception: whatever the visualization raises; `failure` makes a sentence of it.
    """
    model = visualization.model
    with _ALONE, _seeded(seed), model.watched(checkpoint), tempfile.TemporaryDirectory(prefix="picasso-run-") as folder:
        start, calls = time.perf_counter(), model.calls
        try:
            results = visualization.make_visualization(
                inputs, Path(folder), None if visualization.settings is None else settings
            )
        except NotFinite as error:
            if len(inputs) > 1:
                raise
            raise NotFinite(f"\u201c{inputs[0].filename}\u201d cannot be explained: {error.message}") from error
        seconds, calls = time.perf_counter() - start, model.calls - calls
        outputs = _pictures(Path(folder))
    fewest = 1 if visualization.stopped else len(inputs)
    if results is None or not fewest <= len(results) <= len(inputs):
        got = "None" if results is None else f"{len(results)} results"
        raise PluginError(f"{visualization.title} must return one result per image: {len(inputs)}, got {got}.")
    packed = [pack(result, str(first + index)) for index, result in enumerate(results)]
    content = settings.model_dump(mode="json")
    return Outcome(packed, outputs, model.info, content, seconds, calls, source=visualization.digest)


def look_at_each(
    visualization: BaseVisualization,
    settings: Settings,
    inputs: Sequence[Input],
    seed: int,
    checkpoint: Callable[[], None],
) -> Outcome:
    """As `look`, but one image after the other, so that one without numbers costs the others nothing.

    Raises:
        NotFinite: there are none for any image; the first is named.
    """
    whole = Outcome()
    for index, item in enumerate(inputs):
        visualization.is_at(index, len(inputs))
        try:
            one = look(visualization, settings, [item], seed, checkpoint, index)
        except NotFinite as error:
            whole = replace(whole, results=[*whole.results, NOTHING], failed={**whole.failed, index: error.message})
            if len(whole.failed) == len(inputs):
                raise NotFinite(whole.failed[0]) from error
            continue
        if whole.outputs.keys() & one.outputs.keys():
            raise PluginError(
                f"{visualization.title} gave pictures of several images the same name. Name them after their images."
            )
        whole = replace(
            one,
            results=[*whole.results, *one.results],
            outputs=whole.outputs | one.outputs,
            seconds=whole.seconds + one.seconds,
            calls=whole.calls + one.calls,
            failed=whole.failed,
        )
        if visualization.stopped:
            break
    return whole


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Chance begins with a seed; afterwards it goes on as if nothing had been, in whoever's program this is."""
    before, numpys = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(numpys)


def failure(
    visualization: str, file: Path | None, error: BaseException, *callers: str, source: bool = False
) -> PicassoError:
    """What to say of an exception in a visualization's own code: its author's file and line, unless the disk is full.

    Args:
        file: the visualization's own, where it is known.
        callers: our files that called it, beside those of this package.
        source: whether whoever reads it may see the file's path and source text.
    """
    full = no_space(error, f"{visualization} could not write what it computed", TEMPORARY)
    if full is not None:
        return full
    place = place_in(error, {str(file)} if file else ()) or origin(error, __file__, base.__file__, *callers)
    return PluginError.of(visualization, error, place, source=source)


def _pictures(folder: Path) -> dict[str, bytes]:
    """PNG and JPEG files in a folder, encoded anew as PNG; others are left out, and links to files elsewhere."""
    found = {}
    for path in sorted(path for path in folder.iterdir() if not path.is_symlink()):
        try:
            with Image.open(path, formats=OUTPUT_FORMATS) as image:
                found[path.name] = encode_png(image.convert("RGBA" if "A" in image.getbands() else "RGB"))
        except Exception:  # Pillow raises whatever its parsers meet
            log.warning("%s is no PNG or JPEG picture: not kept", path.name)
    return found
