"""How much work one run may be: refused before it begins, with what it would take."""

from __future__ import annotations

from typing import Any

from picasso.config import Config
from picasso.errors import OverBudget
from picasso.models.info import ModelInfo
from picasso.visualizations.base import BaseVisualization


def check_budget(
    config: Config, visualization: type[BaseVisualization], settings: Any, info: ModelInfo, images: int
) -> None:
    """Compares the estimate of a run with what the config allows.

    Args:
        settings: checked; with all defaults.
        images: how many the run has.

    Raises:
        OverBudget: it would take more model calls for a picture than MAX_MODEL_CALLS, or, without a way to be done
            early, longer than RUN_TIMEOUT_SECONDS. The sentence has the estimate. Not known: not refused.
    """
    calls = visualization.model_calls(settings, info) or 0
    cost = visualization.cost(settings, info)
    seconds = cost.seconds * images if cost else 0.0
    about = f"{calls:,} model calls for each picture" + (f", about {seconds:,.0f} seconds in all" if seconds else "")
    if calls > config.MAX_MODEL_CALLS:
        limit = f"{config.MAX_MODEL_CALLS:,} calls for each picture (MAX_MODEL_CALLS)"
    elif seconds > config.RUN_TIMEOUT_SECONDS and not visualization.stops_early(settings):
        limit = f"{config.RUN_TIMEOUT_SECONDS:,.0f} seconds (RUN_TIMEOUT_SECONDS)"
    else:
        return
    raise OverBudget(
        f"{visualization.title} would take {about}; a run may take {limit}. Choose settings that cost less, such as a "
        "larger stride or fewer classes, or fewer pictures."
    )
