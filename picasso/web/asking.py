"""Asking the model by hand: a page on which parts of a picture are hidden, and what answers it while the hand moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, jsonify, make_response, redirect, render_template, request, url_for

from picasso.attribution.fills import FILLS
from picasso.errors import Busy, InvalidSetting, PicassoError
from picasso.runs.questions import Question
from picasso.runs.run import StoredImage
from picasso.sessions import image_bytes
from picasso.visualizations.what_if import BEST, RISEN, WhatIf
from picasso.web.blueprint import Answer, blueprint, own_session, png
from picasso.web.errors import headers_of
from picasso.web.services import chosen_model, model_field, model_status, page_model, services, session_id

MOST_PIECES = 400
PIECES = {"coarse": 25, "middle": 60, "fine": 150}


@blueprint.get("/ask")
def ask_first() -> Answer:
    """On to the page of the picture that the address names first, or of the newest in the tray; else asks for one."""
    session = session_id()
    tray = services().store.images(session) if session else []
    chosen = request.args.get("image") or (tray[-1].id if tray else "")
    if chosen:
        known = WhatIf.settings_model.model_fields
        given: dict[str, Any] = {name: value for name, value in request.args.items() if name in known}
        return redirect(url_for("pages.ask", image=chosen, **given | model_field()), 303)
    return render_template("ask.html", picture=None, tray=[], info=None, **_around())


@blueprint.get("/ask/<image>")
def ask(image: str) -> Answer:
    """The page of one picture. What is hidden, and how, may be in its address."""
    picture, info = _own_image(image), model_status(page_model()).info
    given = {name: request.args[name] for name in WhatIf.settings_model.model_fields if name in request.args}
    empty = (
        given.get("region") == ""
    )  # nothing is hidden: no run could be made of that, but the page can be come back to
    if empty:
        del given["region"]
    error = None
    try:
        settings: Any = WhatIf.parse_settings(given, info)
        settings = settings.model_copy(update={"region": ""}) if empty else settings
    except InvalidSetting as problem:
        error, settings = problem, WhatIf.parse_settings({}, info)
    response = make_response(
        render_template(
            "ask.html",
            picture=picture,
            tray=services().store.images(picture.session),
            info=info,
            settings=settings,
            error=error,
            fills={fill: fill for fill in FILLS},
            pieces=PIECES,
            best=BEST,
            risen=RISEN,
            reason=WhatIf.unsupported_reason(info) if info else None,
            **_around(),
        ),
        error.status if error else 200,
    )
    if info is not None and "HX-Request" in request.headers:
        response.headers["HX-Refresh"] = "true"  # the page that waits for the model becomes the one with the picture
    return response


@blueprint.post("/ask/<image>/answer")
def answer(image: str) -> Answer:
    """The classes with a region hidden, or with nothing but it: {"classes": [{"label", "before", "after"}, ...]}.

    The body is JSON: {"region", "what", "fill"}, as the settings of the visualization.
    """

    def classes(picture: StoredImage) -> Answer:
        body = request.get_json(silent=True)
        if not isinstance(body, dict):
            raise InvalidSetting('The question should be JSON: {"region": "92,64,40,40", "what": "hide"}.')
        asked: Any = WhatIf.parse_settings(body)
        found = _ask(picture, region=asked.region, fill=asked.fill, keep=asked.what == "keep")
        return jsonify({"classes": found})

    return _answered(image, classes)


@blueprint.get("/ask/<image>/pictures.png")
def ask_pictures(image: str) -> Answer:
    """The picture as the model sees it, and right of it what hides its parts."""

    def pictures(picture: StoredImage) -> Answer:
        settings: Any = WhatIf.parse_settings({"fill": request.args.get("fill", FILLS[0])})
        return png(_ask(picture, about="pictures", fill=settings.fill))

    return _answered(image, pictures)


@blueprint.get("/ask/<image>/pieces")
def ask_pieces(image: str) -> Answer:
    """Superpixels of the picture as the model sees it: the piece of each pixel, row by row, uint16, low byte first."""

    def pieces(picture: StoredImage) -> Answer:
        count = request.args.get("count", PIECES["middle"], type=int)
        if not 2 <= count <= MOST_PIECES:
            raise InvalidSetting(f"'count' should be 2..{MOST_PIECES} pieces, got {count}.", field="count")
        found = _ask(picture, about="pieces", pieces=count)
        return Response(found.astype("<u2").tobytes(), mimetype="application/octet-stream")

    return _answered(image, pieces)


def _ask(picture: StoredImage, **about: Any) -> Any:
    """What the model answers."""
    question = Question(page_model(), picture.digest, picture.session, **about)
    return services().engine.ask(question, lambda: image_bytes(services().store, picture))


def _answered(image: str, make: Callable[[StoredImage], Answer]) -> Answer:
    """An answer for a script: errors as JSON, with `again` where it is worth asking again."""
    try:
        return make(_own_image(image))
    except PicassoError as error:
        content = {"code": error.code, "message": error.message, "again": isinstance(error, Busy)}
        response = jsonify({"error": content})
        response.headers.update(headers_of(error))
        return response, error.status


def _own_image(image: str) -> StoredImage:
    return services().store.image(own_session(), image)


def _around() -> dict[str, Any]:
    reference = page_model()
    return {
        "current_vis": WhatIf,
        "model_field": model_field(),
        "other_model": services().engine.roster.label(reference) if reference != chosen_model() else None,
    }
