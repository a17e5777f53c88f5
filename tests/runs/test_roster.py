"""The models as pages see them, by what workers say."""

from __future__ import annotations

import pytest

from picasso.config import Config
from picasso.errors import ModelError, NotFound
from picasso.models.info import ModelInfo
from picasso.runs.roster import Choice, Roster
from picasso.runs.shelf import ModelState, News
from picasso.runs.worker import Snapshot

DAMAGED = ModelError("a.keras is damaged.")


def info(name: str = "a", **more) -> ModelInfo:
    return ModelInfo(
        name, "keras", f"{name}.keras", 0.0, "", "", (1, 1, 1), ("x",), "probability", frozenset(), 1, **more
    )


def snapshot(token: str = "", done: bool = True, lines: tuple[str, ...] = (), **states) -> Snapshot:
    return Snapshot(1, states, News(token, done, lines), {})


@pytest.fixture
def roster() -> Roster:
    return Roster(Config(MODELS={"a": {}, "b": {}}))


def states(roster: Roster) -> list[str]:
    return [roster.status(name).state for name in roster.catalogue.names]


READY, LOADING = ModelState("ready", info()), ModelState("loading")
FAILED, CLOSED = ModelState("failed", error=DAMAGED), ModelState("closed", info())


def test_the_default_is_loading_until_workers_answer(roster):
    assert states(roster) == ["loading", "closed"]
    assert roster.status() == roster.status("a")
    roster.hear([])
    roster.hear([snapshot()])
    assert states(roster) == ["loading", "closed"]
    with pytest.raises(NotFound):
        roster.status("c")


@pytest.mark.parametrize(
    ("workers", "state"),
    [
        ([READY], "ready"),
        ([FAILED, READY], "ready"),
        ([CLOSED, READY], "ready"),
        ([FAILED, LOADING], "loading"),
        ([FAILED, FAILED], "failed"),
        ([CLOSED, FAILED], "failed"),
        ([CLOSED, CLOSED], "closed"),
    ],
)
def test_several_workers(roster, workers, state):
    roster.hear([snapshot(a=one) for one in workers])
    status = roster.status("a")
    assert (status.state, status.workers) == (state, len(workers))
    assert (status.error is DAMAGED) == (state == "failed")


def test_what_was_known_stays_known_when_a_worker_is_started_again(roster):
    roster.hear([snapshot(a=READY, b=ModelState("ready", info("b")))])
    roster.hear([])  # busy for a moment
    assert states(roster) == ["ready", "ready"]
    roster.hear([snapshot()])
    assert states(roster) == ["loading", "closed"]
    assert (roster.status("a").info, roster.status("b").info) == (info(), info("b"))


def test_a_wanted_model_is_loading_until_a_worker_says_otherwise(roster):
    roster.hear([snapshot(a=READY)])
    assert not roster.busy()
    roster.want("b")
    assert (states(roster), roster.wanted(), roster.busy()) == (["ready", "loading"], ["b"], True)
    roster.hear([snapshot(a=READY)])  # it was not asked yet
    assert roster.wanted() == ["b"]
    roster.hear([snapshot(a=READY, b=LOADING)])
    assert (states(roster), roster.wanted()) == (["ready", "loading"], [])
    roster.hear([snapshot(a=READY, b=FAILED)])
    assert (states(roster), roster.wanted()) == (["ready", "failed"], [])
    roster.want("b")  # its file may have changed: the worker is asked once more
    assert (roster.wanted(), roster.wanted(), states(roster)) == (["b"], [], ["ready", "failed"])


def test_choices(roster):
    assert roster.choices() == [Choice("a", "a"), Choice("b", "b")]
    two = ModelState("ready", info(outputs=("x", "y"), output="y"))
    roster.hear([snapshot(a=two)])
    assert roster.choices() == [Choice("a", "a: y"), Choice("a@x", "a: x"), Choice("b", "b")]
    assert [roster.offers(one) for one in ("a", "a@x", "a@y", "a@z", "b@x", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert [roster.knows(one) for one in ("a@x", "a@z", "b@x", "c")] == [True, False, True, False]
    assert (roster.label("a@x"), roster.label("gone@x")) == ("a: x", "gone: x")


def test_no_worker_can_be_reached(roster):
    roster.begin_reload(roster.config)
    roster.reached(DAMAGED)
    assert (roster.status().state, roster.status().error, roster.reload.error) == ("failed", DAMAGED, DAMAGED)
    roster.reached()
    assert roster.status().state == "loading"


def test_a_reload_is_done_when_all_workers_say_so(roster):
    roster.hear([snapshot(a=READY, b=READY)] * 2)
    roster.begin_reload(Config(MODELS={"a": {}, "c": {}}, PORT=1))
    token = roster.reload.token
    assert roster.busy()
    for answers in ([], [snapshot(a=READY)] * 2, [snapshot(token, a=READY), snapshot(token, False, a=READY)]):
        roster.hear(answers)
        assert not roster.reload.done
    roster.hear([snapshot(token, lines=("a is unchanged.",), a=READY)] * 2)
    assert roster.reload.done
    assert roster.reload.lines == (
        "a is unchanged.",
        "Changed as well, and used when the server is started again: PORT.",
    )
    assert roster.catalogue.names == ("a", "c")
    assert roster.config.PORT != 1
