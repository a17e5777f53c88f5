"""The OpenAPI document, made from the routes and their models, and the pages that show it."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from apiflask import APIFlask
from flask import Response, current_app, jsonify, render_template, request
from markupsafe import Markup

from picasso.api.blueprint import blueprint
from picasso.api.schemas import ID, Error

REFERENCE = "#/components/schemas/"
SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that the upload of images or the start of a run gave",
    },
    "cookie": {"type": "apiKey", "in": "cookie", "description": "The cookie of the pages"},  # and its name
}
PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "image": {"description": "The image's id", "schema": {"type": "string", "pattern": ID}},
    "run": {"description": "The run's id", "schema": {"type": "string", "pattern": ID}},
    "number": {"description": "Which image of the run, from 0 on", "schema": {"type": "integer", "minimum": 0}},
}
TWO_KINDS = {"artifact": "image/png", "explain": "application/zip"}  # what else an operation may answer with
BINARY = {"type": "string", "format": "binary"}
INTRODUCTION = (
    "Shows what a trained vision model looks at. Upload images, start runs on them, read the results, or have one "
    "image explained in one call. The upload of images, and whatever starts a run, gives the session's token, which "
    "later requests send as `Authorization: Bearer`. A server that others can reach wants its own token besides, as "
    "`Picasso-Token`, with every request. Every answer from 400 on has the same body."
)


def set_up(app: APIFlask) -> None:
    """Says what the document begins with."""
    app.config.update(
        DESCRIPTION=INTRODUCTION,
        LICENSE={"name": "EPL-2.0", "identifier": "EPL-2.0"},
        SECURITY_SCHEMES={**SECURITY, "cookie": {**SECURITY["cookie"], "name": app.config["SESSION_COOKIE_NAME"]}},
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        VALIDATION_ERROR_SCHEMA=Error,
        HTTP_ERROR_SCHEMA=Error.model_json_schema(ref_template=f"{REFERENCE}{{model}}"),
    )
    app.spec_processor(lambda spec: finished(spec, list(app.extensions["picasso"].registry.visualizations)))


def finished(spec: Any, visualizations: list[str]) -> Any:
    """The document with what holds for all operations: errors, path parameters, schemas under their own names.

    Args:
        spec: as APIFlask made it of the routes.
        visualizations: their names.
    """
    text = re.sub(rf'"{REFERENCE}\w+\.(\w+)"', rf'"{REFERENCE}\1"', json.dumps(spec))
    spec = json.loads(text)
    spec["components"]["schemas"] = {
        name.rpartition(".")[2]: schema for name, schema in spec["components"]["schemas"].items()
    } | _schemas_of_errors()
    for name in ("RunAsked", "ToExplain"):
        spec["components"]["schemas"][name]["properties"]["visualization"]["enum"] = visualizations
    for path, operations in spec["paths"].items():
        for method, operation in operations.items():
            if method == "parameters":
                continue
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    parameter.update(PATH_PARAMETERS.get(parameter["name"], {}))
                elif "description" in parameter["schema"]:
                    parameter["description"] = parameter["schema"].pop("description")
            _finish_answers(operation, has_path_parameters="{" in path, method=method)
    return spec


def _schemas_of_errors() -> dict[str, Any]:
    schema = Error.model_json_schema(ref_template=f"{REFERENCE}{{model}}")
    return {**schema.pop("$defs"), "Error": schema}


def _finish_answers(operation: dict[str, Any], *, has_path_parameters: bool, method: str) -> None:
    answers = operation["responses"]
    for status, answer in answers.items():
        if status == "204":
            answer.pop("content", None)
        if status in ("201", "202") and operation["operationId"] in ("start_run", "explain"):
            answer["headers"] = {"Location": {"description": "The run's address", "schema": {"type": "string"}}}
    if operation["operationId"] in TWO_KINDS:
        answers["200"]["content"][TWO_KINDS[operation["operationId"]]] = {"schema": BINARY}
    parameters = {parameter["in"] for parameter in operation.get("parameters", [])}
    statuses = {422, 500, *(int(status) for status in answers if status >= "400")}
    if "security" in operation:
        statuses.add(401)
    if has_path_parameters or "query" in parameters or "requestBody" in operation:
        statuses.add(404)
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
        statuses |= {400, 409, 413, 415}
    if method != "get":
        statuses.add(403)
    for status in sorted(statuses):
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": {"$ref": f"{REFERENCE}Error"}}},
        }


def document() -> dict[str, Any]:
    """The OpenAPI document of the current application, for the address at which it was asked for."""
    found: dict[str, Any] = current_app._get_spec("json")  # type: ignore[attr-defined]
    return found | {"servers": [{"url": request.script_root or "/"}]}


@blueprint.get("/openapi.json")
@blueprint.doc(hide=True)
def openapi() -> Response:
    """The OpenAPI document."""
    return jsonify(document())


@blueprint.get("/docs")
@blueprint.doc(hide=True)
def documentation() -> str:
    """The OpenAPI document as a page."""
    found = document()
    operations = [
        (method.upper(), path, operation)
        for path, operations in sorted(found["paths"].items())
        for method, operation in operations.items()
    ]
    return render_template(
        "rest.html", document=found, operations=operations, schema_of=schema_of, kind=kind, coded=coded
    )


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    """The schema of a body, a reference in it followed."""
    schema: dict[str, Any] = next(iter(content.values()))["schema"]
    name = schema.get("$ref", "").removeprefix(REFERENCE)
    return document()["components"]["schemas"][name] if name else schema


def coded(text: str) -> Markup:
    """A description for the page, with what stands between backticks as code."""
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def kind(schema: dict[str, Any]) -> str:
    """What a value is, in words: "integer", "array of ImageShown", "string or null"."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(REFERENCE)
    if "anyOf" in schema:
        return " or ".join(kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"array of {kind(schema['items'])}"
    return "file" if schema.get("format") == "binary" else str(schema.get("type", "any JSON"))
