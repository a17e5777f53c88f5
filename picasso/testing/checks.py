"""What every visualization must keep to. Each check raises `ContractBroken` with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from picasso.errors import Cancelled, InvalidSetting
from picasso.models.base import Model
from picasso.models.windows import Windows
from picasso.testing.case import Case, ContractBroken, pictures, require
from picasso.testing.page import every_page_is_made
from picasso.testing.results import check_number, kept, walk
from picasso.visualizations.forms import form_fields

Check = Callable[[Case], None]


def it_describes_itself(case: Case) -> None:
    """Title, description, and a description of each setting."""
    cls = case.visualization
    require(cls.description.strip(), "Its description is empty: write a sentence for its card on the start page.")
    require(cls.title[:1].isupper(), f"Its title should begin with a capital letter, got {cls.title!r}.")
    require(cls.version, "Its version is empty: write text, such as the usual '1'.")
    for field in form_fields(cls, {}) if isinstance(cls.settings, type) else ():  # the plain form has no place for it
        sentence = f'The setting {field.name!r} has no description, its help: Field(..., description="...").'
        require(field.help, sentence)


def settings_that_some_choices_need_name_choices_there_are(case: Case) -> None:
    """What stands in "only"."""
    parts = case.visualization.settings_model.model_json_schema().get("properties", {})
    for name, part in parts.items():
        for other, choices in part.get("only", {}).items():
            there = parts.get(other, {}).get("enum", [])
            sentence = f"The setting {name!r} is only for {choices} of {other!r}, which has {there}."
            require(set(choices) < set(there), sentence)


def it_says_what_a_model_lacks(case: Case) -> None:
    """For each of `needs`."""
    info = case.model.info
    for need in case.visualization.needs:
        reason = case.visualization.unsupported_reason(replace(info, capabilities=info.capabilities - {need}))
        require(reason, f"unsupported_reason gives None for a model without {need!r}, which is one of its needs.")


def results_are_as_they_should_be(case: Case) -> None:
    """One for each input whatever the settings; finite float32 arrays; maps as large as the model's input."""
    inputs, size = pictures(), case.model.info.input_shape[:2]
    for values in case.variants():
        results, said = case.run(values, inputs), case.said(values)
        got = f"{said}It must return one result per image: {len(inputs)}, got {len(results)} results."
        require(len(results) == len(inputs), got)
        for place, value in walk(list(results), "results"):
            check_number(f"{said}{place}", value)
            if place.endswith("['map']") and isinstance(value, np.ndarray):
                sentence = f"{said}{place} has the shape {value.shape}; a map has the height and width of the model's"
                require(value.shape == size, f"{sentence} input, {size}.")


def a_run_can_be_repeated_and_changes_nothing(case: Case) -> None:
    """The same seed gives the same, in a form that can be kept; pictures and model stay what they were."""
    inputs, before = pictures(), _probe(case.model)
    first = [kept(result, index) for index, result in enumerate(case.run(inputs=inputs))]
    for item, as_it_was in zip(inputs, pictures(), strict=True):
        same = np.array_equal(np.asarray(item.data), np.asarray(as_it_was.data))
        require(same, f"The run changed its input {item.filename}: work on a copy.")
    _unchanged(case.model, before, "A run")
    second = [kept(result, index) for index, result in enumerate(case.run(inputs=inputs))]
    sentence = "The same run twice gave different results. Take chance from `random` and `np.random`, which are seeded"
    require(first == second, f"{sentence} for each run; np.random.default_rng() without a seed is not.")


def progress_never_goes_back_and_ends_at_one(case: Case) -> None:
    """As far as it is told; and what is there already can be kept."""
    told, inputs = [0.0], pictures()

    def report(fraction: float, _message: str, partial: Sequence[Any] | None) -> None:
        told.append(fraction)
        require(
            partial is None or len(partial) <= len(inputs),
            f"progress() was given {len(partial or ())} results for {len(inputs)} images.",
        )
        for index, result in enumerate(partial or ()):
            kept(result, index)

    case.run(inputs=inputs, report=report)
    for before, after in pairwise(told):
        sentence = f"Progress went from {before:.3g} to {after:.3g}: it goes from 0 to 1, never back."
        require(before <= after <= 1, sentence)
    ends = len(told) == 1 or np.isclose(told[-1], 1)  # what tells nothing is done when it ends
    require(ends, f"Progress was {told[-1]:.3g} when the run ended; the last call should say 1.")


def cancelling_stops_it_and_leaves_the_model_usable(case: Case) -> None:
    """Wherever it is cancelled."""
    before, asked = _probe(case.model), [0]

    def count() -> None:
        asked[0] += 1

    with case.model.watched(count):
        expected = [kept(result, index) for index, result in enumerate(case.run())]
    checkpoints = asked[0]
    require(checkpoints, "It can never be cancelled: it neither calls the model nor progress().")
    for allowed in {0, checkpoints // 2, checkpoints - 1}:
        left = iter(range(allowed))

        def checkpoint(left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise Cancelled("The run was cancelled.")

        try:
            with case.model.watched(checkpoint):
                case.run()
        except Cancelled:
            continue
        raise ContractBroken("It went on after it was cancelled: Cancelled, which the model raises, must pass.")
    _unchanged(case.model, before, "A cancelled run")
    after = [kept(result, index) for index, result in enumerate(case.run())]
    require(after == expected, "After a cancelled run, the next one gave other results.")


def one_that_has_enough_returns_what_it_has(case: Case) -> None:
    """Of a slow model, so that no batch is large: it is done with the first picture at the latest."""
    cls, model, inputs = case.visualization, case.model, pictures()
    told, before = [0.0], model.calls
    with _slow(model):
        made = cls(model, lambda fraction, *_: told.append(fraction), lambda: True)
        results = case.make(made, inputs=inputs)
    require(1 <= len(results) <= len(inputs), f"Told that it is enough, it returned {len(results)} results.")
    asks = "It asks enough(), but stoppable is not True: there is no button for that."
    sentence = "stoppable is True, but it never asks enough()." if cls.stoppable else asks
    require(made.stopped == cls.stoppable, sentence)
    if cls.stoppable:
        others = len(inputs) - 1  # whose scores are asked for too
        require(told[-1] <= 1 / len(inputs), "Told that it is enough, it went on after the first picture.")
        said = cls.model_calls(case.settings({}), model.info)
        calls = model.calls - before - others
        sentence = f"Told that it is enough, it called the model {calls} times; a whole picture takes {said}."
        require(said is None or calls <= said, sentence)
    for index, result in enumerate(results):
        kept(result, index)


def the_cost_that_it_says_is_the_cost_that_it_has(case: Case) -> None:
    """Where `model_calls` says one. Windows that hide nothing, which a picture may spare, are run here too."""
    cls, model = case.visualization, case.model
    for values in case.variants():
        settings = case.settings(values)
        said = cls.model_calls(settings, model.info)
        for count in () if said is None else (2,) if values else (1, 2):
            before = model.calls
            with patch.object(Windows, "changing", lambda windows: np.ones(len(windows), bool)):
                case.run(values, pictures(count))
            calls, most = model.calls - before, count * (said or 0)
            right = calls <= most if cls.stops_early(settings) else calls == most
            sentence = f"{case.said(values)}model_calls says {said} for a picture, and {count} took {calls}."
            require(right, sentence)


def constraints_of_settings_are_enforced(case: Case) -> None:
    """Values just outside are refused with the setting's name."""
    cls = case.visualization
    for name, part in cls.settings_model.model_json_schema().get("properties", {}).items():
        for value in [text for one in _outside(part) for text in (one, str(one))]:
            try:
                cls.parse_settings({name: value}, case.model.info)
            except InvalidSetting as error:
                named = error.field == name and error.message.startswith(f"'{name}' should be ")
                require(named, f"The setting {name!r} = {value!r} is refused without its name: {error.message}")
            else:
                raise ContractBroken(f"The setting {name!r} takes {value!r}, which its declaration does not allow.")


def defaults_and_ends_are_valid(case: Case) -> None:
    """Also as a form or an address sends them."""
    cls, info = case.visualization, case.model.info
    cls.parse_settings({})
    for values in case.variants():
        text = {name: ",".join(one) if isinstance(one, tuple) else str(one) for name, one in values.items()}
        try:
            same = cls.parse_settings(values, info) == cls.parse_settings(text, info)
        except InvalidSetting as error:
            raise ContractBroken(f"{case.said(values)}a value that the page offers is refused: {error}") from error
        require(same, f"{case.said(values)}the same values as text give other settings.")


def unknown_settings_are_refused(case: Case) -> None:
    """By their names."""
    try:
        case.visualization.parse_settings({"nonsense": 1})
    except InvalidSetting as error:
        require(error.field == "nonsense", f"An unknown setting is refused without its name: {error}")
    else:
        raise ContractBroken("A setting that it does not have is taken.")


CHECKS: tuple[Check, ...] = (
    it_describes_itself,
    settings_that_some_choices_need_name_choices_there_are,
    it_says_what_a_model_lacks,
    results_are_as_they_should_be,
    a_run_can_be_repeated_and_changes_nothing,
    progress_never_goes_back_and_ends_at_one,
    cancelling_stops_it_and_leaves_the_model_usable,
    one_that_has_enough_returns_what_it_has,
    the_cost_that_it_says_is_the_cost_that_it_has,
    constraints_of_settings_are_enforced,
    defaults_and_ends_are_valid,
    unknown_settings_are_refused,
    every_page_is_made,
)


def _probe(model: Model) -> NDArray[np.float32]:
    """The model's scores of the pictures, which say whether it is what it was."""
    return model.predict(model.preprocess([item.data for item in pictures()]).x)


def _unchanged(model: Model, before: NDArray[np.float32], what: str) -> None:
    require(np.array_equal(before, _probe(model)), f"{what} changed the model: it gives other scores than before.")


@contextmanager
def _slow(model: Model) -> Iterator[None]:
    """A batch is one image."""
    info = model.info
    model.info = replace(info, seconds_per_image=1.0)
    try:
        with patch("picasso.models.base.GRADIENTS", (1,)):
            yield
    finally:
        model.info = info


def _outside(part: Mapping[str, Any]) -> Iterator[Any]:
    """Values just outside a setting's declaration, a part of its JSON schema."""
    whole = part.get("type") == "integer"
    if "minimum" in part:
        yield part["minimum"] - 1 if whole else np.nextafter(part["minimum"], -np.inf)
    if "maximum" in part:
        yield part["maximum"] + 1 if whole else np.nextafter(part["maximum"], np.inf)
    yield from (part[key] for key in ("exclusiveMinimum", "exclusiveMaximum") if key in part)
    if part.get("type") in ("integer", "number", "boolean", "array") or "enum" in part:
        yield from ("something else", "", None)
    if whole:
        yield 1.5
