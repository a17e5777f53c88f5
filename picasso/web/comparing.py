"""Side by side: choosing runs, starting those that are missing, the grid, and the parts of it that change."""

from __future__ import annotations

import difflib
from io import BytesIO
from typing import Any

import numpy as np
from flask import flash, jsonify, make_response, redirect, render_template, request, send_file, url_for

from picasso.checkpoints import training_and_step, trainings
from picasso.errors import InvalidSetting, NotFound, NotSupported
from picasso.models.class_names import classes_called
from picasso.runs.requests import afford, check_room
from picasso.runs.run import Run, State
from picasso.visualizations.base import BaseVisualization
from picasso.visualizations.forms import form_fields
from picasso.web.blueprint import Answer, blueprint, own_session
from picasso.web.cells import Pick, occluded
from picasso.web.choosing import checked_for
from picasso.web.classes import known_labels
from picasso.web.comparison import ORDERS, RANKS, Comparison, Leads, compare
from picasso.web.curves import curves
from picasso.web.planning import Wanted, plan
from picasso.web.running import drawn, started_run, titled
from picasso.web.services import chosen_model, services, session_id
from picasso.web.views import results_of

MOST_COLUMNS = 12
MOST_CHECKPOINTS = 200  # of a time-line; a browser's address holds them
PARTS_AT_ONCE = 40
MOST_DIGITS = 9  # of a class's index


@blueprint.get("/compare", endpoint="compare")
def compare_runs() -> Answer:
    """Runs beside each other; without any, the page where they are chosen or started."""
    if not request.args.getlist("run"):
        return render_template("compare_start.html", **_choices())
    comparison = _comparison()
    problem = _class_problem(comparison)
    return _page(
        "compare.html",
        comparison,
        picks="; ".join(_asked_classes()) if problem else _words_of_picks(comparison),
        labels=comparison.besides[0].labels,
        problem=problem,
        as_time_line=_of_one_training(comparison) and len(comparison.besides) > 1,
    )


@blueprint.get("/compare/ticked")
def compare_ticked() -> Answer:
    """Leads to the comparison of the runs that were ticked, or says what is wrong with that choice."""
    runs = list(dict.fromkeys(request.args.getlist("run")))
    if 1 <= len(runs) <= MOST_COLUMNS:
        return redirect(url_for("pages.compare", run=runs), 303)
    many = f"{len(runs)} runs are ticked; {MOST_COLUMNS} fit side by side."
    error = InvalidSetting(many if runs else "Tick the runs to compare first.", field="run")
    return render_template("compare_start.html", **_choices(error=error)), error.status


@blueprint.get("/compare/time-line")
def time_line() -> Answer:
    """The checkpoints of one training one after the other, with the scores as curves."""
    comparison = _comparison(MOST_CHECKPOINTS, "last")
    if not _of_one_training(comparison):
        raise InvalidSetting("A time-line is of runs with the checkpoints of one training.", field="run")
    return _page("time_line.html", comparison, curves=curves(comparison), steps=_steps(comparison))


@blueprint.get("/compare/with/<run>")
def compare_with(run: str) -> Answer:
    """What a run can be compared with: other visualizations, models and settings, on the same pictures."""
    found = services().store.run(own_session(), run)
    return render_template("compare_start.html", **_choices(found))


@blueprint.post("/compare")
def start_comparison() -> Answer:
    """Starts the runs that are missing, and leads to all of them."""
    session = own_session()
    base = request.form.get("run", "")
    first = services().store.run(session, base) if base else None
    try:
        wanted, runs = plan(request.form, first), [first] if first else []
        most, count = MOST_CHECKPOINTS if "play" in request.form else MOST_COLUMNS, len(runs) + len(wanted)
        if count > most:
            raise InvalidSetting(f"These would be {count} runs; {most} fit side by side.", field=wanted[-1].field)
        images = first.images if first else list(dict.fromkeys(request.form.getlist("image")))
        if not images:
            raise InvalidSetting("Choose at least one picture.", field="image")
        runs += _started(wanted, images)
        if not runs:
            raise InvalidSetting("None of these can be run.", field="visualization")
    except InvalidSetting as error:
        return render_template("compare_start.html", **_choices(first, error)), error.status
    endpoint = "pages.time_line" if "play" in request.form else "pages.compare"
    return redirect(url_for(endpoint, run=list(dict.fromkeys(run.id for run in runs))), 303)


def _started(wanted: list[Wanted], images: list[str]) -> list[Run]:
    """The runs of a plan; says which cannot be, and goes on with the others. Nothing is started if a value is wrong."""
    possible = []
    for one in wanted:
        info = services().engine.status(one.model).info
        try:
            settings = checked_for(info, one.visualization, one.values)
            afford(services().engine, one.visualization, settings, one.model, len(images))
            possible.append((one, settings))
        except NotSupported as error:
            flash(error.message, "error")
        except InvalidSetting as error:
            error.field = one.field  # in this form
            raise
    check_room(services().store, services().engine, own_session(), len(possible))
    return [started_run(one.visualization, settings, images, one.model) for one, settings in possible]


# What changes while runs go on


@blueprint.get("/compare/state")
def state_of_comparison() -> Answer:
    """For each part of the page a text that changes when it does, and whether all runs have ended."""
    comparison = _part_of_page()
    stamps = {cell.name: cell.stamp for cell in comparison.cells}
    stamps["ranges"] = comparison.kinds_stamp
    if "curves" in request.args:
        stamps |= {curve.name: curve.stamp for curve in curves(comparison)}
    return jsonify({"finished": comparison.finished, "parts": stamps})


@blueprint.get("/compare/parts")
def parts_of_comparison() -> Answer:
    """Some parts of the page as they are now, by the names of their elements."""
    comparison = _part_of_page()
    names = set(request.args.getlist("part")[:PARTS_AT_ONCE])
    return render_template(
        "compare_parts.html",
        cells=[cell for cell in comparison.cells if cell.name in names],
        curves=[curve for curve in curves(comparison) if curve.name in names] if "curves" in request.args else [],
        comparison=comparison,
        shared_ends=comparison.shared_ends,
        with_ranges="ranges" in names,
        of_training="curves" in request.args,
    )


@blueprint.get("/runs/<run>/maps/<int:number>/<int:index>/<name>")
def map_of_class(run: str, number: int, index: int, name: str) -> Answer:
    """The map of any class of a picture whose run has kept the scores of all: "map.npy", "map.npy.png"."""
    found = services().store.run(own_session(), run)
    manifest = services().store.manifest(found) if found.state is State.DONE else None
    results = results_of(found, manifest)
    if number >= len(results) or results[number] is None:
        raise NotFound("This run has no such picture.")
    values = occluded(results[number], index)
    if name == "map.npy.png":
        return drawn(values)
    if name != "map.npy":
        raise NotFound("There is no such file.")
    stream = BytesIO()
    np.save(stream, values, allow_pickle=False)
    stream.seek(0)
    return send_file(stream, mimetype="application/octet-stream", as_attachment=True, download_name=name)


# The page's address


def _part_of_page() -> Comparison:
    """The same as on the page that asks; that of a training asks for its curves too."""
    return _comparison(MOST_CHECKPOINTS, "last") if "curves" in request.args else _comparison()


def _comparison(most: int = MOST_COLUMNS, leads: Leads = "first") -> Comparison:
    """What the address names."""
    session = own_session()
    ids = list(dict.fromkeys(request.args.getlist("run")))
    if not 1 <= len(ids) <= most:
        raise InvalidSetting(f"Between 1 and {most} runs can be compared, got {len(ids)}.", field="run")
    runs = [services().store.run(session, run) for run in ids]
    picks = _picks(known_labels(runs[0]))[: most // len(runs)]
    order = next((one for one in ORDERS if one == request.args.get("order")), ORDERS[0])
    return compare(runs, picks, order, leads)


def _picks(labels: tuple[str, ...]) -> list[Pick]:
    """The classes that the address names, by index or name of the first run's model; else of each picture the best."""
    found = [index for text in _asked_classes() if (index := _index(text, labels)) is not None]
    ranks = [rank for rank in request.args.getlist("rank", type=int) if 1 <= rank <= len(RANKS)]
    picks = [Pick(index) for index in found] + [Pick(rank=rank) for rank in ranks]
    return list(dict.fromkeys(picks)) or [Pick()]


def _asked_classes() -> list[str]:
    return [part.strip() for text in request.args.getlist("class") for part in text.split(";") if part.strip()]


def _index(text: str, labels: tuple[str, ...]) -> int | None:
    if not labels:
        return int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else None
    return next(iter(classes_called(text, labels)), None)


def _class_problem(comparison: Comparison) -> str:
    """What is wrong with the classes that were asked for, as a sentence; "" where nothing is."""
    labels = comparison.besides[0].labels
    asked, shown = len(_picks(labels)), len(comparison.columns) // len(comparison.besides)
    if asked > shown:
        return f"{MOST_COLUMNS} columns fit: the first {shown} of {asked} classes are shown."
    unknown = [text for text in _asked_classes() if _index(text, labels) is None]
    if not unknown:
        return ""
    near = difflib.get_close_matches(unknown[0], labels, n=3, cutoff=0.5)
    hint = f" The nearest are {', '.join(near)}." if near else ""
    return f"The model of the first column has no class {unknown[0][:80]!r}.{hint}"


def _words_of_picks(comparison: Comparison) -> str:
    """What the field for classes shows."""
    labels = comparison.besides[0].labels
    indices = dict.fromkeys(column.pick.index for column in comparison.columns if column.pick.index is not None)
    return "; ".join(labels[index] if index < len(labels) else str(index) for index in indices)


def _of_one_training(comparison: Comparison) -> bool:
    """Whether all runs have a checkpoint of one training each."""
    names = [training_and_step(beside.run.model) for beside in comparison.besides]
    return None not in names and len({name[0] for name in names if name}) == 1


def _steps(comparison: Comparison) -> list[int]:
    return [found[1] for beside in comparison.besides if (found := training_and_step(beside.run.model))]


def _page(template: str, comparison: Comparison, **more: Any) -> Answer:
    # Other names could mean something to `url_for`.
    address = {name: values for name in ("run", "class", "rank") if (values := request.args.getlist(name))}
    return make_response(
        render_template(
            template,
            comparison=comparison,
            shared_ends=comparison.shared_ends,
            orders=ORDERS,
            address=address,
            runs=[beside.run.id for beside in comparison.besides],
            **more,
        )
    )


def _choices(base: Run | None = None, error: InvalidSetting | None = None) -> dict[str, Any]:
    """What there is to compare: this visitor's runs and pictures, visualizations, models, settings."""
    session, registry, roster = session_id(), services().registry, services().engine.roster
    store = services().store
    visualizations = [one for one in registry.visualizations.values() if one.comparable]
    model = base.model or roster.default if base else chosen_model()
    info = services().engine.status(model).info if roster.knows(model) else None
    runs = [run for run in store.runs(session) if _can_be_compared(run)] if session and not base else []
    return {
        "base": titled([base])[0] if base else None,
        "runs": titled(runs),
        "tray": store.images(session) if session else [],
        "chosen": request.values.getlist("image"),
        "visualizations": [(one, one.unsupported_reason(info) if info else None) for one in visualizations],
        "settings": [
            (one, [field for field in form_fields(one, {}, info) if field.name != "classes"])
            for one in visualizations
            if base is None or one.name == base.visualization
        ],
        "models": roster.choices(),
        "model": model,
        "typed": request.values,
        "most_columns": MOST_COLUMNS,
        "trainings": {} if base else trainings(roster.catalogue.names),
        "error": error,
    }


def _can_be_compared(run: Run) -> bool:
    visualization: type[BaseVisualization] | None = services().registry.visualizations.get(run.visualization)
    return visualization is not None and visualization.comparable and run.state not in (State.FAILED, State.CANCELLED)
