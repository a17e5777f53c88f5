"""How long a run still takes."""

from __future__ import annotations

TRUSTED_AT = 0.25  # from this share on, only what has passed counts


def seconds_left(progress: float, passed: float, estimate: float | None) -> float | None:
    """Seconds that a run still takes, about: first by the estimate, then more and more by how it goes.

    Args:
        progress: 0..1.
        passed: seconds since it was begun.
        estimate: seconds that it was expected to take in all, if that is known.

    Returns:
        None where it cannot be told: before anything is done without an estimate, or later than the estimate.
    """
    expected = None if estimate is None else max(0.0, estimate * (1 - progress))
    if progress <= 0:
        return expected - passed if expected is not None and expected > passed else None
    seen = passed / progress * (1 - progress)
    if expected is None:
        return seen
    weight = min(1.0, progress / TRUSTED_AT)
    return weight * seen + (1 - weight) * expected


def about(seconds: float) -> str:
    """A time as one says it: "a few seconds", "about 25 s", "about 3 min"."""
    if seconds < 5:
        return "a few seconds"
    if seconds < 55:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 5400:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {seconds / 3600:.1f} h"
