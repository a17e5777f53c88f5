"""What the server is, whether it is well, which models and visualizations it has."""

from __future__ import annotations

from typing import Any

from flask import url_for

from picasso import __version__
from picasso.api.blueprint import blueprint, concerning
from picasso.api.schemas import (
    About,
    Live,
    ModelChoice,
    Models,
    ModelShown,
    Problem,
    Ready,
    VisualizationDetails,
    Visualizations,
    VisualizationShown,
)
from picasso.errors import Busy, ModelError, NotFound, PicassoError
from picasso.models.info import ModelInfo
from picasso.runs.requests import how_is
from picasso.runs.roster import Status
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.forms import settings_schema
from picasso.web.plugins import author_sentence
from picasso.web.services import services


@blueprint.get("/", strict_slashes=False)
@blueprint.output(About)
@blueprint.doc(operation_id="about")
def about() -> About:
    """What this is, and where the rest is."""
    names = ("models", "visualizations", "images", "runs", "explain", "openapi", "documentation")
    return About(
        name="Picasso",
        version=__version__,
        model=services().engine.roster.default,
        links={name: url_for(f"api.{name}") for name in names},
    )


@blueprint.get("/health/live")
@blueprint.output(Live)
@blueprint.doc(operation_id="live")
def live() -> Live:
    """Whether the process answers."""
    return Live(status="live")


@blueprint.get("/health/ready")
@blueprint.output(Ready)
@blueprint.doc(operation_id="ready", responses=[503])
def ready() -> Ready:
    """Whether the default model is loaded, and the server is not about to end."""
    if services().draining.is_set():
        raise Busy("The server is about to end.")
    status = how_is(services().engine, services().engine.roster.default)
    if status.info is None or status.state not in ("ready", "closed"):  # closed: opened again when it is needed
        raise status.error or ModelError("The model is loading.")
    return Ready(status="ready")


@blueprint.get("/models")
@blueprint.output(Models)
@blueprint.doc(operation_id="models")
def models() -> Models:
    """All models that runs can name."""
    roster = services().engine.roster
    return Models(models=[_model(choice.reference, choice.label) for choice in roster.choices()])


def _model(reference: str, label: str) -> ModelShown:
    status = services().engine.status(reference)
    return ModelShown(
        reference=reference,
        name=label,
        default=reference == services().engine.roster.default,
        state=status.state,
        error=problem(status.error) if status.error else None,
        info=status.info.as_dict() if status.info else None,
    )


def problem(error: PicassoError) -> Problem:
    """An error as a part of an answer."""
    return Problem(code=error.code, message=error.message, field=error.field)


def reference_of(asked: str) -> str:
    """The model that a request names; the default one unless it does.

    Raises:
        NotFound: there is no such model.
    """
    roster = services().engine.roster
    if asked and not roster.offers(asked):
        known = ", ".join(choice.reference for choice in roster.choices())
        raise NotFound(f"There is no model {asked[:80]!r}. There are: {known}.", field="model")
    return asked or roster.default


def visualization_of(asked: str) -> type[BaseVisualization]:
    """The visualization that the body of a request names.

    Raises:
        NotFound: there is none.
        PluginError: it is broken.
    """
    with concerning("visualization"):
        return services().registry.get(asked)


@blueprint.get("/visualizations")
@blueprint.input(ModelChoice, location="query")
@blueprint.output(Visualizations)
@blueprint.doc(operation_id="visualizations")
def visualizations(query_data: ModelChoice) -> Visualizations:
    """All visualizations, and which of them the model can be looked at with."""
    status = how_is(services().engine, reference_of(query_data.model))
    registry = services().registry.visualizations
    return Visualizations(visualizations=[VisualizationShown(**_facts(cls, status)) for cls in registry.values()])


@blueprint.get("/visualizations/<name>")
@blueprint.input(ModelChoice, location="query")
@blueprint.output(VisualizationDetails)
@blueprint.doc(operation_id="visualization")
def visualization(name: str, query_data: ModelChoice) -> VisualizationDetails:
    """A visualization: its settings as JSON Schema, what it needs, and why the model cannot do it."""
    cls = services().registry.get(name)
    status = how_is(services().engine, reference_of(query_data.model))
    return VisualizationDetails(
        **_facts(cls, status),
        needs=sorted(cls.needs),
        reference_link=cls.reference_link,
        version=cls.version,
        settings=settings_schema(cls, status.info),
    )


def _facts(cls: type[BaseVisualization], status: Status) -> dict[str, Any]:
    try:
        reason = _reason(cls, status.info, status.error)
    except Exception as error:  # of its author: the others are listed
        reason = author_sentence(error)
    return {
        "name": cls.name,
        "title": cls.title,
        "description": cls.description,
        "available": reason is None,
        "reason": reason,
        "stoppable": cls.stoppable,
        "link": url_for("api.visualization", name=cls.name),
    }


def _reason(cls: type[BaseVisualization], info: ModelInfo | None, error: PicassoError | None) -> str | None:
    if info is None:
        return error.message if error else "The model is loading."
    return cls.unsupported_reason(info)
