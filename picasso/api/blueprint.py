"""The blueprint of all routes, and how strict it is with what it is sent."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apiflask import APIBlueprint
from flask import Request, current_app, request
from flask.json.provider import DefaultJSONProvider
from pydantic import ValidationError
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from picasso.api.schemas import PATTERNS
from picasso.errors import InvalidRequest, PicassoError
from picasso.rules import sentence

PREFIX = "/api/v1"
MOST_DIGITS = 320  # of an integer: some more than the largest float has
blueprint = APIBlueprint("api", "picasso.api", url_prefix=PREFIX, tag="Picasso")


class StrictJSON(DefaultJSONProvider):
    """JSON as the standard has it: UTF-8, and no NaN in either direction."""

    ensure_ascii = False
    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Writes null where a number is not finite."""
        try:
            return super().dumps(obj, allow_nan=False, **kwargs)
        except ValueError:
            return super().dumps(_finite(obj), allow_nan=False, **kwargs)

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Raises ValueError for what is no JSON, or holds text that is no Unicode."""
        try:
            value = super().loads(
                s,
                parse_constant=_refuse,
                parse_float=_number,
                parse_int=_integer,
                object_pairs_hook=_each_once,
                **kwargs,
            )
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e999 and lone surrogates
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        return value


class StrictRequest(Request):
    """A request that says why its body is no JSON."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Raises `BadRequest`; without an error, the body is of another type."""
        if e is None:
            return super().on_json_loading_failed(e)
        raise BadRequest(f"The body is not JSON as it should be: {str(e)[:200]}.") from e


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What a name means that stands there twice, readers do not agree on."""
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name stands there twice")
    return value


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value  # 2.0 is an integer in JSON Schema


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number has {len(text):,} digits")
    return int(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


@blueprint.before_request
def refuse_unknown_parameters() -> None:
    """An address has the parameters that its route declares, each once."""
    declared = _declared().get("args", [])
    known = [name for model, location in declared if location == "query" for name in model.model_fields]
    for name in request.args:
        if name not in known:
            there = ", ".join(known) or "none"
            raise InvalidRequest(f"There is no parameter {name[:80]!r} here. There are: {there}.", field=name[:80])
        if len(request.args.getlist(name)) > 1:
            raise InvalidRequest(f"'{name}' should be there once.", field=name)


@blueprint.before_request
def refuse_other_bodies() -> None:
    """A body has the type that its route declares."""
    expected = _declared().get("content_type")
    if expected and request.mimetype != expected and (request.mimetype or request.content_length):
        raise UnsupportedMediaType(f"Send {expected}; this was {request.mimetype[:80] or 'sent without a type'}.")


def _declared() -> dict[str, Any]:
    view = current_app.view_functions[request.endpoint or ""]
    found: dict[str, Any] = getattr(view, "_spec", {})
    return found


def wrong_field(error: ValidationError, *, header: bool = False) -> InvalidRequest:
    """The first thing that is wrong, as a sentence. `header`: it is called as headers are."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if header:
        field = field.replace("_", "-").title()
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"There is no field {field[:80]!r}.", field=field[:80])
    if first["type"] == "missing" or (first["type"] == "value_error" and first["input"] is None):
        return InvalidRequest(f"'{field}' is missing.", field=field)
    if first["type"] == "value_error":  # what APIFlask says of text where a file belongs
        return InvalidRequest(f"'{field}' should be a file.", field=field)
    if not field:
        return InvalidRequest("The body should be a JSON object.")
    return InvalidRequest(sentence(field, first, meanings=PATTERNS), field=field)


@contextmanager
def concerning(field: str) -> Iterator[None]:
    """Whatever is refused within is refused because of that field."""
    try:
        yield
    except PicassoError as error:
        error.field = field
        raise
