"""One visualization on one model, run as a worker runs it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from picasso.errors import Cancelled, PluginError, origin, place_in
from picasso.models.base import Model
from picasso.visualizations import base
from picasso.visualizations.base import BaseVisualization, Input, Report, Settings
from picasso.visualizations.discovery import Registry, add
from picasso.visualizations.forms import form_fields

SIZES = (("RGB", 31, 20), ("L", 16, 12), ("RGB", 1, 1))  # mode, width, height
MANY_CALLS, SOME_CALLS = 300, 100  # of the model for one picture: a test has to be quick


class ContractBroken(AssertionError):
    """What a visualization does otherwise than it should, as a sentence."""


def require(holds: object, sentence: str) -> None:
    """Raises `ContractBroken` unless it holds."""
    __tracebackhide__ = True
    if not holds:
        raise ContractBroken(sentence)


def pictures(count: int = 3) -> list[Input]:
    """Small pictures of noise, always the same: in colour, in grey, and of a single pixel."""
    noise = np.random.default_rng(5)
    shapes = [(height, width) if mode == "L" else (height, width, 3) for mode, width, height in SIZES]
    arrays = [noise.integers(0, 256, shape, dtype=np.uint8) for shape in shapes[:count]]
    return [Input(f"picture {index}.png", Image.fromarray(array)) for index, array in enumerate(arrays)]


@dataclass(frozen=True)
class Case:
    """A visualization as discovery gives it, and a model."""

    visualization: type[BaseVisualization]
    model: Model

    @classmethod
    def of(cls, visualization: type[BaseVisualization], model: Model) -> Case:
        """Finds what belongs to a class.

        Raises:
            ContractBroken: it cannot be used at all, as when its template is missing.
        """
        try:
            add(Registry(), visualization)
        except Exception as error:
            raise ContractBroken(f"{visualization.__name__} is broken: {error}") from error
        return cls(visualization, model)

    def settings(self, values: Mapping[str, Any]) -> Settings:
        """The defaults but for `values`, and for what would make the run long."""
        return self.visualization.parse_settings(dict(self.costs()) | dict(values), self.model.info)

    def costs(self) -> Iterator[tuple[str, Any]]:
        """The settings of which less needs fewer model calls, where that is many by default: each with less."""
        cls, info = self.visualization, self.model.info
        calls = cls.model_calls(cls.parse_settings({}, info), info) or 0
        for field in form_fields(cls, {}, info):
            least = {"number": field.low, "several": field.options[:1]}.get(field.kind)
            if calls > MANY_CALLS and least is not None:
                fewer = cls.model_calls(cls.parse_settings({field.name: least}, info), info)
                if fewer is not None and fewer < calls:
                    many = field.kind == "number" and field.value > SOME_CALLS
                    yield field.name, SOME_CALLS if many else least

    def variants(self) -> Iterator[dict[str, Any]]:
        """No settings, and one setting at each end of its range or at each of its choices.

        Where several may be chosen, the first and the first two: what each of them does is for tests of their own.
        """
        yield {}
        costly = {name for name, _ in self.costs()}
        for field in form_fields(self.visualization, {}, self.model.info):
            high = min(field.high or 0, MANY_CALLS) if field.name in costly else field.high
            several = (field.options[:1], field.options[:2])
            ends = {"choice": field.options, "several": several, "switch": (True, False), "number": (field.low, high)}
            for value in ends.get(field.kind, ()):
                if value is not None:
                    yield {field.name: value}

    def run(
        self,
        values: Mapping[str, Any] | None = None,
        inputs: Sequence[Input] | None = None,
        report: Report | None = None,
    ) -> Sequence[Any]:
        """Its results, of three pictures unless others are given.

        Raises:
            ContractBroken: its code failed, with the author's line.
            Cancelled: it was cancelled.
        """
        return self.make(self.visualization(self.model, report), values, inputs)

    def make(
        self,
        made: BaseVisualization,
        values: Mapping[str, Any] | None = None,
        inputs: Sequence[Input] | None = None,
    ) -> Sequence[Any]:
        """The same, of an instance."""
        settings = self.settings(values or {})
        random.seed(1)
        np.random.seed(1)
        given = None if self.visualization.settings is None else settings
        try:
            with tempfile.TemporaryDirectory() as folder:
                results = made.make_visualization(pictures() if inputs is None else inputs, Path(folder), given)
        except (Cancelled, ContractBroken):
            raise
        except Exception as error:
            place = place_in(error, {str(self.visualization.file)}) or origin(error, __file__, base.__file__)
            raise ContractBroken(PluginError.of("make_visualization", error, place, source=True).message) from error
        sentence = f"It must return a list with one result per image, got {type(results).__name__}."
        require(isinstance(results, Sequence), sentence)
        return results

    def keeps_to(self, check: Callable[[Case], None]) -> None:
        """Checks it.

        Raises:
            ContractBroken: it does not; or another method of its author failed, with the line.
        """
        __tracebackhide__ = True
        try:
            check(self)
        except ContractBroken:
            raise
        except Exception as error:
            place = place_in(error, {str(self.visualization.file)})
            raise ContractBroken(PluginError.of(check.__name__, error, place, source=True).message) from error

    def said(self, values: Mapping[str, Any]) -> str:
        """Settings for a sentence."""
        return f"With {', '.join(f'{name}={value}' for name, value in values.items())}: " if values else ""
