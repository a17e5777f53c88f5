"""What programs send and get: one declaration each gives the check and the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from apiflask.fields import UploadFile
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from picasso.runs.run import State
from picasso.visualizations.classes import MOST

ID = r"^[0-9a-f]{32}$"
KEY = r"^[\x21-\x7e]{1,200}$"
PATTERNS = {
    ID: "be an id, of 32 of the characters 0-9 and a-f",
    KEY: "have 1 to 200 visible ASCII characters and no spaces",
}  # what follows "should" in what is said


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]
    if {"type": "null"} in schema.get("anyOf", []):
        for choice in schema.pop("anyOf"):
            schema.update(choice if choice != {"type": "null"} else {})


def _left_out(**rules: Any) -> Any:
    """A parameter that may be left out, but not be null: its default stands for that inside only."""
    return Field(json_schema_extra=_without_default, **rules)


class Given(BaseModel):
    """Base of what programs send: nothing unknown, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Parameters(BaseModel):
    """Base of what stands in an address: text, from which numbers are read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shown(BaseModel):
    """Base of what programs get: every field is always there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# Errors


class Problem(Shown):
    """What is wrong: `code` for programs, a sentence for people, and the field that caused it, if one did."""

    code: str
    message: str
    field: str | None


class Error(Shown):
    """The body of every answer from 400 on. `request_id` is what the server's log has it under."""

    error: Problem
    request_id: str


# About the server


class Live(Shown):
    """The process answers."""

    status: Literal["live"]


class Ready(Shown):
    """The default model is loaded."""

    status: Literal["ready"]


class About(Shown):
    """What this is, and where the rest is. `model` is the reference of the default model."""

    name: Literal["Picasso"]
    version: str
    model: str
    links: dict[str, str]


class ModelShown(Shown):
    """A model: its reference for requests, how it is, and what is known about it once it was open."""

    reference: str
    name: str
    default: bool
    state: Literal["loading", "ready", "failed", "closed"]
    error: Problem | None
    info: dict[str, Any] | None


class Models(Shown):
    """All models, the default one first, each followed by its other outputs."""

    models: list[ModelShown]


class VisualizationShown(Shown):
    """A visualization, and whether the model can be looked at this way: `reason` says why not."""

    name: str
    title: str
    description: str
    available: bool
    reason: str | None
    stoppable: bool
    link: str


class Visualizations(Shown):
    """All visualizations, as far as they are not broken."""

    visualizations: list[VisualizationShown]


class VisualizationDetails(VisualizationShown):
    """The same with its settings as JSON Schema, defaults and limits being those of the model."""

    needs: list[str]
    reference_link: str
    version: str
    settings: dict[str, Any]


class ModelChoice(Parameters):
    """Which model the answer is about."""

    model: str = _left_out(default="", min_length=1, max_length=200, description="A model's reference")


# Images


class SessionShown(Shown):
    """What leads to a session: `Authorization: Bearer <token>`. It is a secret."""

    token: str


class ImageShown(Shown):
    """An image of the session: upright, `filename` as it was uploaded."""

    id: str = Field(pattern=ID)
    filename: str
    width: int
    height: int
    format: str
    notes: list[str]
    url: str


class Refused(Shown):
    """An uploaded file that was not taken, and why."""

    filename: str
    code: str
    message: str


class Images(Shown):
    """The images of the session, oldest first."""

    images: list[ImageShown]


class Uploaded(Shown):
    """What an upload came to."""

    session: SessionShown
    images: list[ImageShown]
    refused: list[Refused]


class Upload(BaseModel):
    """One or several image files."""

    model_config = ConfigDict(extra="forbid")

    file: list[UploadFile] = Field(min_length=1, description="Image files")


# Runs

MOST_CLASSES = 100
CLASSES = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": MOST_CLASSES},
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST,
            "items": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}]},
        },
    ]
}


def _count_or_names(value: Any) -> Any:
    if _whole(value) and 1 <= value <= MOST_CLASSES:
        return value
    if isinstance(value, list) and 1 <= len(value) <= MOST and all(map(_name_or_number, value)):
        return value
    raise PydanticCustomError(
        "classes",
        f"Input should be how many, 1..{MOST_CLASSES}, or a list of the names or numbers of 1 to {MOST} classes",
    )


def _name_or_number(value: Any) -> bool:
    return (_whole(value) and value >= 0) or (isinstance(value, str) and bool(value))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


Classes = Annotated[int | list[str | int], PlainValidator(_count_or_names), WithJsonSchema(CLASSES)]


class RunAsked(Given):
    """A run to be started. Settings that are left out have the model's defaults."""

    visualization: str = Field(min_length=1, max_length=200, description="Its name, as /visualizations lists it")
    images: list[Annotated[str, Field(pattern=ID)]] = Field(
        min_length=1, max_length=1000, description="Ids of the session's images; each is looked at once"
    )
    settings: dict[str, JsonValue] = Field({}, description="As the visualization's JSON Schema says")
    model: str = _left_out(default="", min_length=1, max_length=200, description="A model's reference; the default one")
    classes: Classes = _left_out(
        default=0,
        description='How many of the best, as the setting "classes"; or which, by name or number, as "named"',
    )
    seed: int = _left_out(
        default=0, ge=0, lt=2**32, description='What chance begins with, as the setting "seed" where there is one'
    )


class CostShown(Shown):
    """An estimate for the whole run."""

    what: str
    seconds: float


class Prediction(Shown):
    """A class that the result is about, with its score as the model gives it."""

    index: int
    label: str
    score: float | None


class Artifact(Shown):
    """A file of a result: an array (.npy) or a picture (.png). A map, (height, width), can be had drawn as well."""

    name: str
    kind: Literal["array", "image"]
    shape: list[int]
    url: str
    drawn: str | None


class Result(Shown):
    """What a run gave for one image. In `content` a file stands as {"artifact": its name}.

    It is null where `error` says why there is no result of this image, but of others.
    """

    number: int
    image: str
    filename: str
    predictions: list[Prediction]
    artifacts: list[Artifact]
    content: Any
    error: Problem | None


class RunShort(Shown):
    """A run without its results. Times are seconds since 1970."""

    id: str = Field(pattern=ID)
    url: str
    visualization: str
    model: str
    settings: dict[str, Any]
    images: list[str]
    seed: int
    state: State
    progress: float = Field(ge=0, le=1)
    message: str
    error: Problem | None
    created: float
    started: float | None
    finished: float | None


class RunShown(RunShort):
    """A run; while it is under way its results are those that are there already, and not final.

    `ahead` is the number of runs before it in the queue, `stopped` how far it was, 0..1, when a person had enough.
    """

    ahead: int
    cost: CostShown | None
    seconds: float | None
    stopped: float | None
    results: list[Result]
    outputs: dict[str, str]
    bundle: str | None


class RunStarted(RunShown):
    """A run that was just asked for."""

    session: SessionShown


class Runs(Shown):
    """Some of the session's runs, newest first; `next` is the address of those before them."""

    runs: list[RunShort]
    next: str | None


class Page(Parameters):
    """Which runs are listed."""

    limit: int = Field(20, ge=1, le=100, description="At most so many")
    before: float | None = _left_out(
        default=None, ge=0, allow_inf_nan=False, description="Only runs made before: seconds since 1970"
    )


class Drawing(Parameters):
    """How a map is drawn over its picture. Without `low` and `high` the colours span the whole map."""

    colours: Literal["inferno", "magma", "viridis", "coolwarm", "vik", "berlin"] | None = _left_out(
        default=None, description="Coolwarm for maps with negative values, inferno for others, unless given"
    )
    opacity: float = Field(1, ge=0, le=1, allow_inf_nan=False, description="Of the map; 0 is the picture alone")
    low: float | None = _left_out(default=None, allow_inf_nan=False, description="The value at the low end")
    high: float | None = _left_out(default=None, allow_inf_nan=False, description="The value at the high end")


# In one call


class ToExplain(BaseModel):
    """One image; all fields that are not named here are the visualization's settings.

    A field `classes`, once or several times, may also name classes.
    """

    model_config = ConfigDict(extra="allow")

    file: UploadFile = Field(description="An image file")
    visualization: str = Field(min_length=1, max_length=200)
    model: str = _left_out(default="", min_length=1, max_length=200, description="A model's reference; the default one")


class InlineArtifact(Shown):
    """A file of a result, in base64: `.npy` or `.png`."""

    name: str
    kind: Literal["array", "image"]
    shape: list[int]
    data: str


class InlineResult(Shown):
    """What was found for one image. In `content` a file stands as {"artifact": its name}."""

    filename: str
    predictions: list[Prediction]
    artifacts: list[InlineArtifact]
    content: Any


class Explanation(Shown):
    """An explanation of which nothing is kept. `outputs` are the pictures in the output folder, `.png` in base64."""

    visualization: str
    model: str
    settings: dict[str, Any]
    seconds: float
    results: list[InlineResult]
    outputs: dict[str, str]


# Headers


class OnceHeaders(BaseModel):
    """`Idempotency-Key`."""

    model_config = ConfigDict(extra="ignore")

    idempotency_key: str = _left_out(
        default="", pattern=KEY, description="A request with the same key is answered as the first one was"
    )


class PreferHeaders(BaseModel):
    """`Prefer`."""

    model_config = ConfigDict(extra="ignore")

    prefer: str = _left_out(default="", description='"respond-async" makes it a run')
