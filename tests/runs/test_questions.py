"""Questions that are answered beside a run: with the right numbers, never of shuffled weights, and never in its way."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from picasso.attribution.fills import make_fill
from picasso.config import Config
from picasso.errors import Busy, Cancelled, InvalidSetting, PicassoError
from picasso.images.reading import encode_png
from picasso.runs import questions
from picasso.runs.questions import Answers, Question
from picasso.runs.shelf import Shelf

PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8))
ASKED = Question("", "ab" * 32, region="3,2,6,5", png=encode_png(PICTURE))


@pytest.fixture
def answers(tiny_model):
    @contextmanager
    def lend(reference, checkpoint):
        yield tiny_model

    return Answers(lend)


def test_the_answer_is_that_of_the_picture_covered_by_hand(answers, tiny_model):
    x = tiny_model.preprocess([PICTURE]).x
    for fill, keep in [("grey", False), ("blur", True)]:
        cover = make_fill(fill, x[0], tiny_model.solid)
        by_hand = (cover if keep else x[0]).copy()
        by_hand[2:7, 3:9] = (x[0] if keep else cover)[2:7, 3:9]
        before, after = tiny_model.predict(x)[0], tiny_model.predict(by_hand[None])[0]
        rows = answers.answer_now(replace(ASKED, fill=fill, keep=keep)).value
        assert [(row["before"], row["after"]) for row in rows] == [
            (pytest.approx(before[row["index"]], abs=1e-6), pytest.approx(after[row["index"]], abs=1e-6))
            for row in rows
        ]
    unchanged = answers.answer_now(replace(ASKED, region="")).value
    assert all(row["before"] == row["after"] for row in unchanged)


def test_a_picture_is_sent_once(answers, tiny_model):
    asked = replace(ASKED, png=None)
    assert answers.answer_now(asked).unknown
    assert answers.answer_now(ASKED).value
    assert answers.answer_now(asked).value
    assert answers.answer_now(replace(asked, picture="cd" * 32)).unknown


def test_few_pictures_are_kept(answers, tiny_model, monkeypatch):
    one = 12 * 16 * 3 * 4 * 2  # of the picture and one fill
    monkeypatch.setattr(questions, "MOST_BYTES", 2 * one)
    names = [f"{number:064x}" for number in range(3)]
    for name in names:
        assert answers.answer_now(replace(ASKED, picture=name)).value
    assert [answers.answer_now(replace(ASKED, picture=name, png=None)).unknown for name in names] == [
        True,
        False,
        False,
    ]


def test_another_model_in_the_same_place_makes_its_own(tiny_model, tiny_grey_model):
    models = [tiny_model]

    @contextmanager
    def lend(reference, checkpoint):
        yield models[-1]

    answers = Answers(lend)
    first = answers.answer_now(ASKED).value
    models.append(tiny_grey_model)
    assert answers.answer_now(replace(ASKED, png=None)).unknown
    assert answers.answer_now(ASKED).value != first


def test_pictures_and_pieces(answers, tiny_model):
    answer = answers.answer_now(replace(ASKED, about="pictures", fill="white"))
    both = np.asarray(Image.open(io.BytesIO(answer.value)))
    assert both.shape == (12, 32, 3)
    np.testing.assert_array_equal(both[:, :16], np.asarray(tiny_model.preprocess([PICTURE]).views[0]))
    assert (both[:, 16:] == 255).all()
    pieces = answers.answer_now(replace(ASKED, about="pieces", pieces=6)).value
    assert pieces.shape == (12, 16)


def test_a_run_notices_nothing(answers, tiny_model):
    def refuse():
        raise Cancelled("The run was cancelled.")

    calls = tiny_model.calls
    with tiny_model.watched(refuse):
        assert answers.answer_now(ASKED).value
    assert tiny_model.calls == calls


def test_shuffled_weights_answer_nobody_else(answers, tiny_model, monkeypatch):
    monkeypatch.setattr(questions, "PATIENCE", 0.05)
    expected = answers.answer_now(ASKED).value
    asked = []
    with tiny_model.shuffled(1, 0):
        thread = threading.Thread(target=lambda: asked.append(answers.answer_now(ASKED)))
        thread.start()
        thread.join()
    assert isinstance(asked[0].error, Busy)
    assert "shuffled weights" in asked[0].error.message
    assert answers.answer_now(ASKED).value == expected


def test_a_shuffle_waits_for_the_answer_that_is_being_computed(answers, tiny_model, monkeypatch):
    computing, go_on, seen = threading.Event(), threading.Event(), []
    scores = tiny_model._scores

    def slow(x, logits):
        computing.set()
        assert go_on.wait(10)
        seen.append(scores(x, logits))
        return seen[-1]

    x = tiny_model.preprocess([PICTURE]).x
    expected = tiny_model.predict(x)
    monkeypatch.setattr(tiny_model, "_scores", slow)
    asking = threading.Thread(target=lambda: tiny_model.predict_beside(x, 1))
    asking.start()
    assert computing.wait(10)

    def shuffle():
        with tiny_model.shuffled(1, 0):
            seen.append("shuffled")

    shuffling = threading.Thread(target=shuffle)
    shuffling.start()
    shuffling.join(0.05)
    assert seen == []
    go_on.set()
    shuffling.join(10)
    asking.join(10)
    np.testing.assert_array_equal(seen[0], expected)
    assert seen[1] == "shuffled"


def test_a_flood_is_refused_and_does_not_hold_up_the_loop(answers, monkeypatch):
    go_on = threading.Event()
    value = answers.answer_now

    def slow(question):
        assert go_on.wait(10)
        return value(question)

    monkeypatch.setattr(answers, "answer_now", slow)

    async def flood():
        visitors = [replace(ASKED, visitor=str(number)) for number in range(questions.MOST_WAITING + 20)]
        asked = [asyncio.ensure_future(answers.answer(question)) for question in visitors]
        await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        go_on.set()
        return [answer.error for answer in await asyncio.gather(*asked)]

    errors = asyncio.run(flood())
    assert [type(error) for error in errors] == [type(None)] * questions.MOST_WAITING + [Busy] * 20

    async def again():
        return await answers.answer(ASKED)

    assert asyncio.run(again()).error is None


def test_of_one_visitor_the_newest_question_of_a_kind_is_answered(answers, monkeypatch):
    """Those before it were given up by the browser: they cost nothing, and take nobody's place."""
    begun, go_on, seen = threading.Event(), threading.Event(), []

    def slow(question):
        seen.append((question.visitor, question.about, question.pieces))
        begun.set()
        assert go_on.wait(10)
        return questions.Answer(question.pieces)

    monkeypatch.setattr(answers, "answer_now", slow)

    async def drag():
        asked = [asyncio.create_task(answers.answer(replace(ASKED, visitor="a", pieces=-1)))]
        await asyncio.to_thread(begun.wait, 10)
        moves = [replace(ASKED, visitor="a", pieces=move) for move in range(20)]
        others = [replace(ASKED, visitor="a", about="pictures"), replace(ASKED, visitor="b", pieces=5)]
        asked += [asyncio.create_task(answers.answer(question)) for question in moves + others]
        await asyncio.sleep(0)
        asked[21].cancel()  # its connection is gone
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(drag())
    assert seen == [("a", "scores", -1), ("a", "scores", 19), ("b", "scores", 5)]
    assert [type(answer.error) for answer in found[1:20]] == [Busy] * 19
    assert (found[0].value, found[20].value, found[22].value) == (-1, 19, 5)


@pytest.mark.parametrize("region", ["99,99,2,2", "0.zzzz", "NaN"])
def test_a_wrong_region_is_said(answers, region):
    assert isinstance(answers.answer_now(replace(ASKED, region=region)).error, InvalidSetting)


def test_whatever_a_model_raises_is_an_answer(answers, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model, "_scores", lambda *_: 1 / 0)
    error = answers.answer_now(ASKED).error
    assert type(error) is PicassoError
    assert "ZeroDivisionError" in error.message


def test_a_model_that_is_not_open_is_opened_and_asked_later(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(tiny_model, "warm_up", lambda: None)
    shelf = Shelf(Config(MODEL_PATH=tmp_path / "tiny.keras", DATA_DIR=tmp_path), lambda *_: tiny_model)
    answers = Answers(shelf.lend)
    error = answers.answer_now(ASKED).error
    assert isinstance(error, Busy)
    assert "loading" in error.message
    with shelf.lend("", lambda: None):
        assert answers.answer_now(ASKED).value
