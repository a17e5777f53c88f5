"""Pages of runs in every state, their results and files."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from browsing import InProcessEngine, MakeVisitor, Visitor
from page_cases import ALL, NOBODY
from PIL import Image

from picasso.errors import PluginError, WorkerLost
from picasso.runs.run import State


def test_without_pictures_the_pictures_step_comes_first(visitor: Visitor) -> None:
    response = visitor.post("/runs", {"visualization": "occlusion", "window": "8"})
    assert response.location == "/visualizations/occlusion/pictures?window=8"
    assert "No pictures yet" in visitor.page(response.location).text


def test_the_same_run_again_is_the_kept_one(visitor: Visitor) -> None:
    first, second = visitor.add("a.png"), visitor.add("b.png", seed=1)
    run = visitor.start("occlusion", first, window=8)
    assert "kept result" not in visitor.page(f"/runs/{run.id}/").text
    response = visitor.post("/runs", {"visualization": "occlusion", "image": first, "window": "8"})
    assert response.location.startswith(f"/runs/{run.id}/")
    assert "kept result" in visitor.page(response.location).text
    for images, window in (((first,), 9), ((second,), 8), ((first, second), 8), ((second, first), 8)):
        assert visitor.start("occlusion", *images, window=window).id != run.id


def test_a_run_under_way_is_not_called_kept(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    image = visitor.add()
    run = visitor.start("occlusion", image)
    response = visitor.post("/runs", {"visualization": "occlusion", "image": image})
    assert response.location.startswith(f"/runs/{run.id}/")
    assert "kept result" not in visitor.page(response.location).text


def test_the_same_picture_twice_is_looked_at_once(visitor: Visitor) -> None:
    image = visitor.add()
    assert visitor.start("occlusion", image, image).images == [image]


def test_pictures_of_nobody_are_not_found(visitor: Visitor) -> None:
    visitor.add()
    assert visitor.post("/runs", {"visualization": "occlusion", "image": NOBODY}).status_code == 404


def test_cancel_and_again(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    run = visitor.start("occlusion", window=8)
    assert visitor.post(f"/runs/{run.id}/cancel").location == f"/runs/{run.id}/"
    assert visitor.run(run.id).state is State.CANCELLED
    page = visitor.page(f"/runs/{run.id}/")
    assert "nothing of it is kept" in page.text
    assert page.all("form", action=f"/runs/{run.id}/again")
    visitor.post(f"/runs/{run.id}/cancel")  # twice does no harm
    engine.waiting = False
    response = visitor.post(f"/runs/{run.id}/again")
    again = visitor.run(response.location.split("/")[2])
    assert again.id != run.id
    assert again.state is State.DONE
    assert again.settings == run.settings
    visitor.post(f"/runs/{again.id}/cancel")
    assert visitor.run(again.id).state is State.DONE


def test_more_runs_than_may_wait_are_refused_for_now(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(SESSION_MAX_UNFINISHED_RUNS=2, MAX_UNFINISHED_RUNS=3)
    engine.waiting = True
    cancelled = visitor.start("occlusion", window=8)
    visitor.post(f"/runs/{cancelled.id}/cancel")
    runs = [visitor.start("occlusion", window=window) for window in (9, 10)]
    image = runs[0].images[0]
    form = {"visualization": "occlusion", "image": image}
    for path, data in (
        ("/runs", form | {"window": "11"}),
        (f"/runs/{cancelled.id}/again", {}),
        ("/compare", form),
    ):
        answer = visitor.post(path, data)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "10"), path
        assert "2 of your runs are waiting or under way" in answer.text
    assert visitor.post("/runs", form | {"window": "9"}).status_code == 303  # the one that there is
    other = Visitor(visitor.app)
    other.start("occlusion")
    answer = other.post("/runs", {"visualization": "occlusion", "image": other.add("dog.png"), "window": "11"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "3 runs are waiting on this server" in answer.text
    assert len(visitor.services.store.unfinished_runs()) == 3


@pytest.mark.parametrize("name", ["occlusion", "saliency", "hidden-halves"])
def test_what_can_be_stopped_is_stopped_and_kept(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    url, stoppable = f"/runs/{run.id}/", name != "hidden-halves"
    visitor.services.store.change_run(run.id, (State.QUEUED,), state=State.RUNNING)
    assert not visitor.page(url).all("form", action=f"{url}stop")  # there is nothing to keep
    whole = engine.execute(run)
    engine.partials[run.id] = whole.results[:1]
    assert bool(visitor.page(url).all("form", action=f"{url}stop")) == stoppable
    assert visitor.post(f"{url}stop").location == url
    assert engine.stopped == [run.id] * stoppable
    engine.finish(run, replace(whole, results=whole.results[:1], stopped=0.3))
    page = visitor.page(url)
    assert "This run was stopped at 30 %, and what was there is kept. Not begun: dog.png." in page.text
    assert "Run it in full" in page.text
    assert visitor.post(f"{url}again").status_code == 303


def test_runs_ahead_are_said(visitor: Visitor, engine: InProcessEngine) -> None:
    engine.waiting = True
    image = visitor.add()
    runs = [visitor.start("occlusion", image, window=window) for window in (5, 6, 7)]
    texts = [visitor.page(f"/runs/{run.id}/").text for run in runs]
    assert ["1 run is ahead" in texts[1], "2 runs are ahead" in texts[2], "ahead" in texts[0]] == [True, True, False]


def test_list_of_runs(visitor: Visitor, engine: InProcessEngine) -> None:
    assert "No runs yet" in visitor.page("/runs").text
    run = visitor.start("occlusion", visitor.add("cat.png"), window=8)
    engine.waiting = True
    visitor.start("saliency", *run.images)
    page = visitor.page("/runs")
    assert page.all("span", **{"class": "state done"})
    assert page.all("span", **{"class": "state queued"})
    assert "window 8" in page.text
    assert "cat.png" in page.text


@pytest.mark.parametrize("name", ALL)
def test_result(visitor: Visitor, name: str) -> None:
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    assert run.state is State.DONE, run.error
    pictures, links = set(), set()
    for query in ("", "?range=own", "?range=own&signed=vik&unsigned=viridis", "?range=nonsense&signed=inferno"):
        page = visitor.page(f"/runs/{run.id}/{query}")
        assert "cat.png" in page.text
        assert "dog.png" in page.text
        assert "hx-get" not in page.all("div", id="run")[0]
        pictures |= {str(found["src"]) for found in page.all("img")}
        pictures |= {str(found["href"]) for found in page.all("image")}
        links |= {str(found["href"]) for found in page.all("a")}
    for picture in pictures:
        assert visitor.get(picture, follow_redirects=True).mimetype == "image/png", picture
    for link in links:
        if link.startswith("/"):
            assert visitor.get(link, follow_redirects=True).status_code == 200, link


@pytest.mark.parametrize("name", ALL)
def test_running_with_partial_results(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name, visitor.add("cat.png"), visitor.add("dog.png", seed=1))
    url = f"/runs/{run.id}/"
    visitor.services.store.change_run(
        run.id, (State.QUEUED,), state=State.RUNNING, progress=0.5, message="Hiding parts of cat.png"
    )
    page = visitor.page(url)  # nothing there yet
    assert "Hiding parts of cat.png…" in page.text
    waiting = page.all("section", id="live")[0]
    assert waiting["hx-get"] == url
    assert page.all("progress")[0]["value"] == "0.5"
    assert page.all("form", action=f"{url}cancel")
    engine.partials[run.id] = engine.execute(run).results[:1]
    page = visitor.page(url)
    sources = {str(found["src"]) for found in page.all("img")} | {str(found["href"]) for found in page.all("image")}
    assert any("/files/" in source for source in sources)
    for source in sources:
        assert visitor.get(source).mimetype == "image/png"


@pytest.mark.parametrize("name", ALL)
def test_run_without_a_result(visitor: Visitor, engine: InProcessEngine, name: str) -> None:
    engine.waiting = True
    run = visitor.start(name)
    for state, error, sentence in [
        (State.QUEUED, None, "Waiting…"),
        (State.FAILED, PluginError("It failed at my_plugin.py, line 3."), "It failed at my_plugin.py, line 3."),
        (State.INTERRUPTED, WorkerLost("The server stopped."), "The server stopped."),
        (State.CANCELLED, None, "This run was cancelled"),
    ]:
        engine.end(run, state, error)
        html = visitor.get(f"/runs/{run.id}/", headers={"HX-Request": "true"}).get_data(as_text=True)
        assert sentence in html, state
        assert (f'hx-get="/runs/{run.id}/"' in html) != state.finished, state  # it asks for news
        assert (f"/runs/{run.id}/again" in html) == state.finished, state


def test_a_run_while_the_model_loads(make_visitor: MakeVisitor, engine: InProcessEngine) -> None:
    visitor = make_visitor(model=False)
    engine.waiting = True
    run = visitor.start("occlusion")
    assert run.key is None
    assert "Waiting…" in visitor.page(f"/runs/{run.id}/").text


def test_results_whose_files_are_gone(visitor: Visitor) -> None:
    run = visitor.start()
    (visitor.services.store.run_folder(run) / "manifest.json").unlink()
    assert "The files of this run are gone. Run it again." in visitor.page(f"/runs/{run.id}/", 404).text


def test_raw_values(visitor: Visitor) -> None:
    run = visitor.start()
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    name = next(name for name in manifest["files"] if name.endswith("map.npy"))
    response = visitor.get(f"/runs/{run.id}/files/{name}")
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.mimetype == "application/octet-stream"
    assert np.load(BytesIO(response.data)).shape == (28, 28)
    drawn = visitor.get(f"/runs/{run.id}/files/{name}.png?low=-1&high=1&colours=coolwarm")
    with Image.open(BytesIO(drawn.data)) as picture:
        assert picture.size == (28, 28)


def test_drawing_needs_a_range_and_colours(visitor: Visitor) -> None:
    run = visitor.start("saliency")
    manifest = visitor.services.store.manifest(run)
    assert manifest is not None
    name = next(name for name in manifest["files"] if name.endswith("map.npy"))
    for query in (
        "",
        "low=1&high=0&colours=vik",
        "low=nan&high=1&colours=vik",
        "low=-inf&high=inf&colours=vik",
        "low=0&high=1e400&colours=vik",
        "low=0&high=1&colours=pink",
        "low=a&high=1&colours=vik",
    ):
        assert visitor.get(f"/runs/{run.id}/files/{name}.png?{query}").status_code == 422, query


def test_only_files_of_the_manifest_are_served(visitor: Visitor) -> None:
    run = visitor.start()
    for name in (
        "manifest.json",
        "..%2F..%2Fimages",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/picasso.sqlite",
        "nothing.npy",
        "nothing.npy.png",
    ):
        for door in ("files", "outputs", "inputs"):
            assert visitor.get(f"/runs/{run.id}/{door}/{name}").status_code == 404, (door, name)


def test_arrays_that_are_no_maps_are_not_drawn(visitor: Visitor) -> None:
    run = visitor.start("class-probabilities")
    assert visitor.get(f"/runs/{run.id}/files/0.answer.npy.png?low=0&high=1&colours=vik").status_code == 404


def test_colour_bars(visitor: Visitor) -> None:
    response = visitor.get("/colours/inferno.png")
    assert response.mimetype == "image/png"
    assert "max-age" in response.headers["Cache-Control"]
    assert visitor.get("/colours/pink.png").status_code == 404
