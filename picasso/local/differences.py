"""How what decides one run differs from what decides another, as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PLACES = {"picasso": "Picasso", "python": "Python", "machine": "the processor", "system": "the system"}


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Each as "window is 16 there and 32 here".

    Args:
        then, now: as `runs.manifest.decided_by` makes them.
    """
    yield from _of_the_question(then, now)
    yield from _of_the_model(then["model"], now["model"])
    if list(then.get("labels", [])) != list(now["labels"]):
        yield "the classes have other names"
    yield from surroundings(then, now)


def surroundings(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs in where they were computed: libraries, language, machine."""
    for key, name in PLACES.items():
        yield from _said(name, then.get(key), now.get(key))
    libraries = then["model"].get("versions", {}), now["model"].get("versions", {})
    for name in sorted({*libraries[0], *libraries[1]}):
        yield from _said(name, libraries[0].get(name), libraries[1].get(name))


def _of_the_question(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    yield from _said("the visualization", then["visualization"]["name"], now["visualization"]["name"])
    if then["visualization"]["name"] == now["visualization"]["name"]:
        yield from _said("its version", then["visualization"]["version"], now["visualization"]["version"])
        chosen = then.get("classes") or now.get("classes")
        for name in dict.fromkeys([*then["settings"], *now["settings"]]):
            if name == "classes" and chosen:
                continue  # their number follows from the chosen ones, which are told
            yield from _said(name, then["settings"].get(name), now["settings"].get(name))
    yield from _said("the chosen class", then.get("classes", []), now.get("classes", []))
    if then["settings"].get("seed") != then["seed"]:  # else it was said of the setting
        yield from _said("the seed", then["seed"], now["seed"])


def _of_the_model(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if then["fingerprint"] != now["fingerprint"]:
        files = then["file"], now["file"]
        yield from _said("the model", *files) if files[0] != files[1] else [f"the content of {files[0]} is another"]
    elif then["functions"] != now["functions"]:
        yield "the model's settings or functions are others"


def _said(name: str, then: Any, now: Any) -> Iterator[str]:
    if then != now:
        yield f"{name} is {_words(then)} there and {_words(now)} here"


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "not known" if value is None else str(value)
