"""What is assumed of inputs that the config leaves open; the same for every adapter."""

from __future__ import annotations

from picasso.models.info import Assumption

DEFAULT_SIZE = (224, 224)
SPELLED_OUT = 4  # so many numbers are written one by one


def assumed_size(height: int | None, width: int | None) -> tuple[tuple[int, int], Assumption]:
    """The (height, width) of pictures for a model that leaves one or both open."""
    size = (height or DEFAULT_SIZE[0], width or DEFAULT_SIZE[1])
    free = "size" if height is width else "height" if height is None else "width"
    sentence = f"The model takes pictures of any {free}: {size[0]} x {size[1]} (height x width) is used."
    return size, Assumption(sentence, f"MODEL_INPUT_SIZE = {size}")


def assumed_zeros(shapes: dict[str, tuple[int, ...]], given: dict[str, float | list[float]]) -> tuple[Assumption, ...]:
    """What is said where inputs are filled with zeros.

    Args:
        shapes: of all inputs besides the image's, without the batch dimension.
        given: what the config fills some of them with.
    """
    missing = [f"{name} {shape}" for name, shape in shapes.items() if name not in given]
    if not missing:
        return ()
    every = ", ".join(f'"{name}": {given.get(name) or _zeros(shape)}' for name, shape in shapes.items())
    what = f"input {missing[0]} is" if len(missing) == 1 else f"inputs {', '.join(missing)} are"
    return (Assumption(f"The {what} filled with zeros.", f"MODEL_OTHER_INPUTS = {{{every}}}"),)


def _zeros(shape: tuple[int, ...]) -> str:
    """A zero as one writes it: one for each number where there are few, else one for all."""
    return str([0.0] * shape[0]) if len(shape) == 1 and shape[0] <= SPELLED_OUT else "0.0"
