"""Picasso shows what a trained vision model looks at.

    model = picasso.open_model("my_model.keras", MODEL_LABELS=["cat", "dog"])
    result = picasso.explain(model, "photo.jpg", "occlusion", window=32)
    result.map("cat"), result.predictions
    result.save("results")

Importing this loads no framework; opening a model does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from picasso.local.explaining import explain
    from picasso.local.explanation import Explanation
    from picasso.local.opened import OpenModel, open_model

__version__ = "0.1.0"
__all__ = ["Explanation", "OpenModel", "__version__", "explain", "open_model"]

_PLACES = {
    "Explanation": "explanation",
    "OpenModel": "opened",
    "explain": "explaining",
    "open_model": "opened",
}


def __getattr__(name: str) -> Any:
    """Imports what is in `__all__` when it is first used: that takes a second, which `--help` need not wait for."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"picasso.local.{_PLACES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
