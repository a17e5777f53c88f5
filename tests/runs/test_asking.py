"""Which worker is asked, and how many questions at once; and real workers that answer beside their runs."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from laboratory import MNIST, wait_for

from picasso.errors import Busy, InvalidSetting, ModelError
from picasso.runs.asking import MOST_AT_ONCE, Asking, NotOpen
from picasso.runs.questions import Answer, Question
from picasso.runs.roster import Status
from picasso.runs.run import State
from picasso.runs.shelf import ModelState

PNG = (MNIST / "samples" / "three.png").read_bytes()
ASKED = Question("model", "00" * 32, region="8,8,12,12")


class Pool:
    """Answers with the address that was asked; `lost` ones do not."""

    def __init__(self):
        self.asked, self.lost, self.known = [], set(), set()

    def ask_one(self, address, function, question):
        self.asked.append(address)
        if address in self.lost:
            raise ConnectionError("gone")
        if question.png is None and address not in self.known:
            return Answer(unknown=True)
        self.known.add(address)
        return Answer(error=InvalidSetting("No.")) if question.region == "wrong" else Answer(address)


@pytest.fixture
def asking():
    made = Asking(Pool(), SimpleNamespace(status=lambda reference: Status("loading")))
    opened = SimpleNamespace(models={"model": ModelState("ready"), "other": ModelState("loading")})
    made.hear({"b": opened, "a": opened, "c": SimpleNamespace(models={})})
    return made


def ask(asking, question=ASKED, taken=frozenset()):
    return asking.ask(question, lambda: PNG, taken)


def test_a_worker_that_has_the_model_and_no_run_is_asked(asking):
    assert ask(asking) == ask(asking) == "a"
    assert ask(asking, replace(ASKED, picture="01" * 32)) == "b"  # pictures are spread, and stay where they are
    assert ask(asking, taken={"a"}) == "b"
    assert ask(asking, taken={"a", "b"}) == "a"
    assert asking._pool.asked == ["a", "a", "a", "b", "b", "b", "a"]  # the picture is sent once to each


def test_no_worker_has_the_model_open(asking, monkeypatch):
    for _ in range(MOST_AT_ONCE + 1):  # places are given back
        with pytest.raises(NotOpen):
            ask(asking, replace(ASKED, model="other"))
    failed = Status("failed", error=ModelError("It is broken."))
    monkeypatch.setattr(asking._roster, "status", lambda reference: failed)
    with pytest.raises(ModelError, match="It is broken"):
        ask(asking, replace(ASKED, model="other"))


def test_a_worker_that_is_gone_and_a_wrong_question(asking):
    asking._pool.lost = {"a"}
    for _ in range(MOST_AT_ONCE + 1):
        with pytest.raises(Busy, match="does not answer now"):
            ask(asking)
        with pytest.raises(InvalidSetting):
            ask(asking, replace(ASKED, region="wrong", picture="01" * 32))


def test_few_are_asked_at_once(asking, monkeypatch):
    go_on, errors = threading.Event(), []

    def one():
        try:
            ask(asking)
        except Busy as error:
            errors.append(error)
            go_on.set()

    monkeypatch.setattr(asking._pool, "ask_one", lambda *_: Answer("a") if go_on.wait(10) else None)
    threads = [threading.Thread(target=one) for _ in range(MOST_AT_ONCE + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(errors) == 1
    assert ask(asking) == "a"


@pytest.mark.slow
def test_a_real_worker_answers_beside_its_run(laboratory):
    engine, sent = laboratory.engine, []

    def png():
        sent.append(1)
        return PNG

    def patiently():
        try:
            return engine.ask(ASKED, png)
        except Busy:
            return None

    expected = wait_for(patiently)
    assert [row["label"] for row in expected[:1]] == ["class 3"]
    assert sent == [1]
    run = laboratory.start("slow")
    laboratory.wait(run, State.RUNNING)
    assert engine.ask(ASKED, png) == expected
    assert sent == [1]

    answers: list[object] = []
    threads = [threading.Thread(target=lambda: answers.append(patiently())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(answers) == 30
    assert all(answer in (None, expected) for answer in answers)
    assert expected in answers
    assert engine.ask(ASKED, png) == expected
    with pytest.raises(InvalidSetting):
        engine.ask(replace(ASKED, region="99,99,2,2"), png)
    assert laboratory.now(run).state is State.RUNNING
    engine.cancel(laboratory.now(run))

    os.kill(laboratory.works(), signal.SIGKILL)
    assert wait_for(patiently) == expected  # once the next process has the model; the picture is sent again
    assert len(sent) >= 2
