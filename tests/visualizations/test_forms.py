"""Settings as fields of a page: every kind of declaration, and the limits that a model sets."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Literal

import pytest

from picasso.errors import InvalidSetting
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization, Field, Settings, Several, settings_model, spaced
from picasso.visualizations.forms import FormField, form_fields

INFO = ModelInfo("m", "keras", "m.keras", 0, "", "", (12, 16, 3), ("a", "b"), "probability", frozenset({"predict"}), 1)


class Side(str, Enum):  # noqa: UP042 - the plain form that authors know
    LEFT = "left"
    RIGHT = "right"


class EveryKind(Settings):
    whole: int = Field(3, ge=1, le=9, title="Whole", description="A number", json_schema_extra={"unit": "px"})
    real: float = Field(0.5, gt=0, lt=1)
    stepped: int = Field(4, multiple_of=2)
    free: float = 1.5
    choice: Literal["grey", "black"] = "grey"
    one: Literal["only"] = "only"
    side: Side = Side.RIGHT
    switch: bool = False
    text: str = Field("hello", description="Words")


def visualization(declared, **members):
    members |= {"settings_model": settings_model(declared)}
    return type("Some", (BaseVisualization,), members)


def fields(declared, values=None, info=None, **members):
    return {field.name: field for field in form_fields(visualization(declared, **members), values or {}, info)}


def test_every_kind_of_declaration():
    assert list(fields(EveryKind).values()) == [
        FormField("whole", "Whole", "A number", "number", 3, "px", 1, 9, 1),
        FormField("real", "Real", "", "number", 0.5, "", 0, 1, "any"),
        FormField("stepped", "Stepped", "", "number", 4, "", None, None, 2),
        FormField("free", "Free", "", "number", 1.5, "", None, None, "any"),
        FormField("choice", "Choice", "", "choice", "grey", options=("grey", "black")),
        FormField("one", "One", "", "choice", "only", options=("only",)),
        FormField("side", "Side", "", "choice", "right", options=("left", "right")),
        FormField("switch", "Switch", "", "switch", False),
        FormField("text", "Text", "Words", "text", "hello"),
    ]


def test_the_plain_form_gives_choices():
    plain = fields({"Window": ["0.50", "0.25"], "Fill": ["grey"]})
    assert (plain["Window"].kind, plain["Window"].value) == ("choice", "0.50")
    assert plain["Window"].options == ("0.50", "0.25")
    assert plain["Fill"].options == ("grey",)


def test_no_settings_give_no_fields():
    assert fields(None) == {}


def test_values_take_the_place_of_defaults():
    shown = fields(EveryKind, {"whole": "7", "side": "left", "text": ""})
    assert [shown[name].value for name in ("whole", "side", "text", "choice")] == ["7", "left", "", "grey"]


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), ("true", True), ("on", True), ("1", True), (False, False), ("false", False), ("", False)],
)
def test_a_switch_as_forms_and_programs_send_it(value, on):
    assert fields(EveryKind, {"switch": value})["switch"].value is on


class Sides(Settings):
    sides: Several[Literal["left", "right", "top"]] = Field(("left",), title="Sides")
    one: Several[Literal["only"]] = ("only",)
    listed: Several[Side] = (Side.LEFT,)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        ("right, left", ("right", "left")),
        (["top", "top"], ("top",)),
        (("left",), ("left",)),
        (",right", ("right",)),
    ],
)
def test_several_choices_as_forms_and_programs_send_them(value, chosen):
    field = fields(Sides, {"sides": value})["sides"]
    assert field == FormField("sides", "Sides", "", "several", chosen, options=("left", "right", "top"))
    assert field.words == ", ".join(chosen)
    assert fields(Sides)["one"].options == ("only",)
    assert fields(Sides)["listed"].options == ("left", "right")
    assert visualization(Sides).parse_settings({"sides": value}).sides == chosen


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("", "at least one of them, got ''"), ("left,low", "'left', 'right' or 'top', got 'low'"), (7, "a valid tuple")],
)
def test_several_choices_that_there_are_not(value, sentence):
    with pytest.raises(InvalidSetting, match=f"'sides' should be {sentence}"):
        visualization(Sides).parse_settings({"sides": value})


def test_the_model_limits_several_choices():
    limited = fields(Sides, info=INFO, limits=classmethod(lambda cls, info: {"sides": ["top", "left"]}))
    assert limited["sides"].options == ("top", "left")


def limits(cls, info):
    longer = max(info.input_shape[:2])
    return {"whole": longer, "free": longer, "text": 4}


def defaults(cls, info):
    return {"whole": info.input_shape[0], "real": 0.25}


@pytest.mark.parametrize(("longer", "high"), [(5, 5), (9, 9), (16, 9)])
def test_the_models_limit_only_lowers(longer, high):
    limited = fields(EveryKind, info=replace(INFO, input_shape=(1, longer, 3)), limits=classmethod(limits))
    assert (limited["whole"].high, limited["free"].high) == (high, longer)
    assert limited["text"].high is None


def test_the_models_defaults_come_between():
    shown = fields(EveryKind, {"real": "0.75"}, INFO, defaults=classmethod(defaults))
    assert (shown["whole"].value, shown["real"].value, shown["free"].value) == (12, "0.75", 1.5)


def test_no_limits_before_the_model_is_known():
    unknown = fields(EveryKind, limits=classmethod(limits), defaults=classmethod(defaults))
    assert (unknown["whole"].high, unknown["whole"].value) == (9, 3)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(1, 224, "1–224"), (0.5, None, "at least 0.5"), (None, 9, "at most 9"), (None, None, ""), (0, 0, "0–0")],
)
def test_ranges_in_words(low, high, words):
    assert FormField("n", "N", "", "number", 1, low=low, high=high).range == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Occlusion", "Occlusion"),
        ("ClassProbabilities", "Class probabilities"),
        ("HiddenHalves2", "Hidden halves2"),
        ("GradCAM", "Grad CAM"),
        ("LRPMap", "LRP map"),
    ],
)
def test_class_names_in_words(name, words):
    assert spaced(name) == words


class Variants(Settings):
    method: Literal["plain", "noisy"] = "plain"
    samples: int = Field(8, description="Noisy copies", json_schema_extra={"only": {"method": ["noisy"]}})
    seed: int = Field(0, json_schema_extra={"only": {"method": ["noisy", "other"]}})


def test_settings_of_some_choices_say_so():
    shown = fields(Variants)
    assert (shown["samples"].help, shown["seed"].help) == ("Noisy copies. Only for noisy", "Only for noisy or other")


@pytest.mark.parametrize(("values", "used"), [({}, False), ({"method": "plain"}, False), ({"method": "noisy"}, True)])
def test_settings_that_do_not_matter_are_known(values, used):
    shown = fields(Variants, values)
    assert (shown["method"].used, shown["samples"].used) == (True, used)


def test_the_models_list_makes_a_text_a_choice():
    def layers(cls, info):
        return {"text": ["early", "late"]}

    shown = fields(EveryKind, info=INFO, limits=classmethod(layers))["text"]
    assert (shown.kind, shown.options) == ("choice", ("early", "late"))
    assert fields(EveryKind, limits=classmethod(layers))["text"].kind == "text"
