"""Which class a person means: by its name, a part of its name, or its number."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from picasso.errors import InvalidSetting

MOST_LISTED = 10  # candidates in a sentence


def classes_called(text: str, labels: Sequence[str]) -> list[int]:
    """The classes of exactly that name; else those whose name differs in capitals; else the one of that number."""
    exact = [index for index, label in enumerate(labels) if label == text]
    folded = text.casefold()
    short = text.isdecimal() and len(text) <= len(str(len(labels)))  # Python refuses to read thousands of digits
    numbered = [int(text)] if short and int(text) < len(labels) else []
    return exact or [index for index, label in enumerate(labels) if label.casefold() == folded] or numbered


def classes_with(text: str, labels: Sequence[str]) -> list[int]:
    """The classes whose names have all words of the text, those first that begin with it: as the pages' field finds."""
    wanted = text.strip().casefold()
    folded = [label.casefold() for label in labels]
    found = [index for index, label in enumerate(folded) if all(word in label for word in wanted.split())]
    return sorted(found, key=lambda index: not folded[index].startswith(wanted))


def find_class(named: str | int, labels: Sequence[str]) -> int:
    """The index of the one class that is meant.

    Args:
        named: a name, a part of a name that no other has, or a number.
        labels: the names of all classes.

    Raises:
        InvalidSetting: there is none, or there are several; the sentence lists the candidates.
    """
    text = str(named).strip()
    found = classes_called(text, labels) or (classes_with(text, labels) if text else [])
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(f"{labels[index]} ({index})" for index in found[:MOST_LISTED])
        more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
        sentence = f"{text[:80]!r} may be any of {len(found)} classes: {listed}{more}. Name one by its number."
    else:
        near = [] if text.isdecimal() else difflib.get_close_matches(text, labels, n=3, cutoff=0.5)
        nearest = f"The nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}."
        hint = nearest if near else f"They are numbered 0 to {len(labels) - 1}."
        sentence = f"The model has no class {text[:80]!r}. {hint}"
    raise InvalidSetting(sentence, field="class")
