"""For who writes a visualization: the contract that each one keeps to, as a test of one line.

    from picasso.testing import contract

    test_contract = contract(HiddenHalves)

It needs pytest and neither TensorFlow nor a server: the visualization is run on a tiny model, and its page is made by
the real application. What is wrong is said in sentences. Without pytest, `problems(HiddenHalves)` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from picasso.models.base import Model
from picasso.testing.case import Case, ContractBroken, pictures
from picasso.testing.checks import CHECKS, Check
from picasso.testing.model import TinyModel
from picasso.visualizations.base import BaseVisualization

__all__ = ["ContractBroken", "TinyModel", "contract", "pictures", "problems", "run"]


def tiny_models() -> list[Model]:
    """One that takes colours, and one that takes grey."""
    return [TinyModel(), TinyModel(channels=1)]


def contract(visualization: type[BaseVisualization], model: Model | None = None) -> Callable[..., None]:
    """A test for pytest, to be given a name that begins with "test". Each check is a case of its own.

    Args:
        model: what it is run on; a tiny model that takes colours, and one that takes grey, unless given.
    """
    import pytest

    models = [model] if model else tiny_models()
    names = [f"{one.info.name} {one.info.input_shape[2]}" for one in models]

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("model", models, ids=names)
    def test_contract(check: Check, model: Model) -> None:
        __tracebackhide__ = True
        case = Case.of(visualization, model)
        reason = case.visualization.unsupported_reason(model.info)
        if reason:
            pytest.skip(reason)
        case.keeps_to(check)

    return test_contract


def problems(visualization: type[BaseVisualization], model: Model | None = None) -> list[str]:
    """What is wrong with a visualization, in sentences; nothing where it keeps to the contract."""
    found = []
    for one in [model] if model else tiny_models():
        for check in CHECKS:
            try:
                case = Case.of(visualization, one)
                if not case.visualization.unsupported_reason(one.info):
                    case.keeps_to(check)
            except ContractBroken as error:
                found.append(str(error))
    return list(dict.fromkeys(found))


def run(visualization: type[BaseVisualization], model: Model | None = None, **settings: Any) -> Sequence[Any]:
    """The results of a visualization for three small `pictures()`, as a worker gets them, for tests of one's own.

    Args:
        model: a tiny model unless given.
        settings: those that are not left at their defaults.
    """
    return Case.of(visualization, model or TinyModel()).run(settings)
