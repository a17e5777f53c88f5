"""Questions that a person asks a model by hand, answered in a worker beside the run that is under way.

The answer has to come while the hand moves. So a worker keeps the last pictures as the model takes them, with what can
hide their parts: a question then costs one forward pass, and travels as a few bytes. One thread answers, a few
questions may wait for it, and the worker's own event loop is never held up. Of one visitor only the newest question of
a kind waits: the browser that asked an older one has gone on, or asks it again.

A single window is not asked of the incremental occlusion (`Model.occlude`): for one window it takes several times as
long as the whole network (EfficientNet-Lite0: 8 times), and it belongs to the run.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Literal

import numpy as np
from PIL import Image

from picasso.attribution import regions
from picasso.attribution.fills import Fill, make_fill
from picasso.attribution.superpixels import superpixels
from picasso.attribution.targets import FloatArray
from picasso.config import MEBIBYTE
from picasso.errors import Busy, InvalidSetting, PicassoError
from picasso.images.reading import encode_png
from picasso.models.base import Model
from picasso.models.preprocessing import Prepared
from picasso.visualizations.what_if import changes, side_by_side

MOST_WAITING = 4  # questions in a worker, the one that is being answered included
MOST_BYTES = 96 * MEBIBYTE  # of pictures that are kept
PATIENCE = 2.0  # seconds that a question waits for weights that are shuffled
Lend = Callable[[str, Callable[[], None]], AbstractContextManager[Model]]


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        model: its reference.
        picture: the digest of the picture's PNG; `png` is the file itself, where the worker does not have it yet.
        visitor: who asks.
        about: "scores": of the picture with the region hidden, or with `keep` of the region alone; "pictures": as the
            model sees it, and what hides its parts; "pieces": superpixels, about so many.
        region: as in `attribution.regions`.
    """

    model: str
    picture: str
    visitor: str = ""
    about: Literal["scores", "pictures", "pieces"] = "scores"
    region: str = ""
    fill: Fill = "grey"
    keep: bool = False
    pieces: int = 0
    png: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What came of it.

    Attributes:
        value: for "scores" a list as `what_if.changes` makes it, else a PNG of both pictures side by side, or the
            pieces' numbers, uint16 (height, width).
        unknown: the worker does not have the picture: to be asked again with it.
        error: why there is no answer.
    """

    value: Any = None
    unknown: bool = False
    error: PicassoError | None = None


@dataclass
class Kept:
    """A picture as a model takes it, and what was made of it so far."""

    model: weakref.ref[Model]
    prepared: Prepared
    scores: FloatArray
    fills: dict[Fill, FloatArray] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Of its arrays."""
        return int(self.prepared.x.nbytes * (1 + len(self.fills)))


class Waiting:
    """A question whose turn has not come."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    def end(self, answer: Answer) -> None:
        """Gives whoever waits the answer, if somebody still does."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Answers:
    """One per worker process. `lend` is that of its shelf."""

    def __init__(self, lend: Lend) -> None:
        self._lend = lend
        self._kept: OrderedDict[tuple[str, str], Kept] = OrderedDict()  # by model and picture, the last used last
        self._thread = ThreadPoolExecutor(1, "answers")
        self._waiting: dict[tuple[str, str], Waiting] = {}  # by visitor and kind, the oldest first
        self._answering: asyncio.Task[None] | None = None
        self._computed = 0  # 1 while the thread has a question

    async def answer(self, question: Question) -> Answer:
        """Answers in a thread; refuses at once where too many wait. To be called on one event loop only.

        An older question of the same visitor and kind that still waits is dropped.
        """
        kind = (question.visitor, question.about)
        older = self._waiting.pop(kind, None)
        if older is not None:
            older.end(Answer(error=Busy("A newer question took the place of this one.")))
        if len(self._waiting) + self._computed >= MOST_WAITING:
            return Answer(error=Busy("Many are asking this model at once. It is asked again."))
        self._waiting[kind] = waiting = Waiting(question)
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer_all())
        return await waiting.answer

    async def _answer_all(self) -> None:
        """One after the other, until none waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                first = self._waiting.pop(next(iter(self._waiting)))
                if first.answer.done():
                    continue
                self._computed = 1
                first.end(await loop.run_in_executor(self._thread, self.answer_now, first.question))
                self._computed = 0
        finally:
            self._answering, self._computed = None, 0

    def answer_now(self, question: Question) -> Answer:
        """Answers; whatever goes wrong is in the answer."""
        try:
            with self._lend(question.model, _not_open) as model:
                kept = self._find(question, model)
                return Answer(unknown=True) if kept is None else Answer(_value(question, model, kept))
        except PicassoError as error:
            return Answer(error=error)
        except Exception as error:
            sentence = f"The model could not answer: {type(error).__name__}: {error}"
            return Answer(error=PicassoError(sentence))

    def _find(self, question: Question, model: Model) -> Kept | None:
        """What is kept of a picture; made anew where the question brings it; None where it has to."""
        key = (question.model, question.picture)
        kept = self._kept.pop(key, None)
        if kept is None or kept.model() is not model:
            if question.png is None:
                return None
            image = Image.open(BytesIO(question.png), formats=["PNG"])
            prepared = model.preprocess([image])
            kept = Kept(weakref.ref(model), prepared, model.predict_beside(prepared.x, PATIENCE)[0])
        if question.about != "pieces" and question.fill not in kept.fills:
            kept.fills[question.fill] = make_fill(question.fill, kept.prepared.x[0], model.solid)
        self._kept[key] = kept
        while len(self._kept) > 1 and sum(one.bytes for one in self._kept.values()) > MOST_BYTES:
            self._kept.popitem(last=False)
        return kept


def _not_open() -> None:
    raise Busy("The model is loading. It is asked again when it is open.")


def _value(question: Question, model: Model, kept: Kept) -> Any:
    x = kept.prepared.x[0]
    if question.about == "pieces":
        return superpixels(np.asarray(kept.prepared.views[0]), question.pieces)
    if question.about == "pictures":
        return encode_png(side_by_side(model, x, kept.fills[question.fill]))
    try:
        mask = regions.mask_of(question.region, (x.shape[0], x.shape[1]))
    except ValueError as error:
        raise InvalidSetting(str(error), field="region") from error
    changed = regions.covered(x, kept.fills[question.fill], mask, question.keep)
    return changes(model, kept.scores, model.predict_beside(changed[None], PATIENCE)[0])
