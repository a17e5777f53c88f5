"""Explaining any number of images with an open model, a few of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from picasso.errors import Cancelled, InvalidSetting, PicassoError
from picasso.images.reading import Limits
from picasso.local.explanation import Explanation
from picasso.local.opened import OpenModel
from picasso.local.pictures import Failure, ImageLike, Picture, Source, is_one, named, take
from picasso.models.class_names import find_class
from picasso.runs.keys import run_key
from picasso.runs.looking import failure, look
from picasso.runs.manifest import decided_by
from picasso.runs.requests import check, seed_of
from picasso.visualizations.base import Input
from picasso.visualizations.classes import NAMED

SECONDS_TOGETHER = 4.0  # of computing that are lost, at most, when the process is killed; about so
PIXELS_TOGETHER = 48_000_000  # 144 MB of colour; a single image may have more

Told = Callable[[float, str], None]
"""Told how many images are explained, the share of the one under way included, and what is being done."""


def silent(_images: float, _doing: str) -> None:
    """Nobody is told."""


def never() -> bool:
    """Nobody asks for an end."""
    return False


class Explainer:
    """A visualization with its settings, ready for images.

    Attributes:
        run: JSON-able: what decides results beside the image; "key" is equal where all of it is.
        limits: of image files.

    Args:
        visualization: its name.
        settings: those that are not to have the model's defaults.
        classes: names or numbers of the classes to explain; each image's best ones unless given.
        seed: what chance begins with; 0 unless given, or what the settings say where they have one.
        stop: asked before every batch; True ends it with `Cancelled`.

    Raises:
        NotFound: there is no such visualization.
        NotSupported: the model cannot do it.
        InvalidSetting: a setting or class is wrong.
    """

    def __init__(
        self,
        model: OpenModel,
        visualization: str,
        settings: Mapping[str, Any],
        *,
        classes: Sequence[str | int] = (),
        seed: int | None = None,
        stop: Callable[[], bool] = never,
    ) -> None:
        self.model = model
        self.visualization = model.visualizations.get(visualization)
        self.classes = tuple(dict.fromkeys(find_class(one, model.info.labels) for one in classes))
        self.settings = check(self.visualization, self._with_classes(settings), model.info, seed=seed)
        self.seed = seed_of(self.settings, seed)
        self._stop = stop
        self.limits = Limits(model.config.MAX_IMAGE_BYTES, model.config.MAX_IMAGE_PIXELS)
        content = self.settings.model_dump(mode="json")
        decided = decided_by(model.info, self.visualization, content, self.seed, self.classes)
        key = run_key(model.info, self.visualization, self.visualization.digest, content, [], self.seed, self.classes)
        self.run: dict[str, Any] = {**decided, "key": key, "opened_with": model.opened_with}

    def _with_classes(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with the number of chosen classes among them, so that estimates are of those."""
        if not self.classes:
            return dict(settings)
        if not self.visualization.of_classes:
            others = ", ".join(name for name, one in self.model.visualizations.visualizations.items() if one.of_classes)
            raise InvalidSetting(
                f"{self.visualization.title} does not explain single classes. Those that do: {others}.", field="class"
            )
        if "classes" in settings:
            raise InvalidSetting(
                "'classes' says how many of the best ones, but the classes are named: leave it out.", field="classes"
            )
        if settings.get(NAMED):
            raise InvalidSetting(
                f"'{NAMED}' names classes, and others are named besides: name all of them in one of these ways.",
                field=NAMED,
            )
        return {**settings, "classes": len(self.classes)}

    @property
    def at_once(self) -> int:
        """How many images are computed together: full batches where an image takes little, else one."""
        cost = self.visualization.cost(self.settings, self.model.info)
        if cost is None or not cost.seconds:
            return 1
        return max(1, min(self.model.model.batch, int(SECONDS_TOGETHER / cost.seconds)))

    def stream(self, sources: Iterable[Source], told: Told = silent) -> Iterator[Explanation | Failure]:
        """Explains one image after the other, in constant memory, however many there are.

        An image that cannot be read or explained gives a `Failure`, and the others go on.

        Raises:
            Cancelled: `stop` said so.
        """
        done = 0

        def further(share: float, doing: str) -> None:
            told(done + share, doing)

        for group in self._groups(sources):
            self._checkpoint()  # a visualization may call no model, and a group may have no image that can be read
            for found in self._each(group, further):
                yield found
                done += 1
                told(done, "")

    def together(self, pictures: Sequence[Picture], told: Told = silent) -> list[Explanation]:
        """Explains images at once, as one call of the visualization.

        Raises:
            PicassoError: one of them cannot be explained.
        """
        visualization = self.visualization(
            self.model.model, lambda share, doing, _partial: told(share * len(pictures), doing)
        )
        visualization.chosen = self.classes
        inputs = [Input(picture.filename, picture.image) for picture in pictures]
        try:
            outcome = look(visualization, self.settings, inputs, self.seed, self._checkpoint)
        except PicassoError:
            raise
        except (Exception, SystemExit) as error:
            raise failure(self.visualization.name, self.visualization.file, error, __file__) from error
        names, count = tuple(picture.name for picture in pictures), len(pictures)
        return [
            Explanation(
                picture, self.run, packed, names, outcome.outputs, outcome.seconds / count, outcome.calls / count
            )
            for picture, packed in zip(pictures, outcome.results, strict=True)
        ]

    def read(self, source: Source) -> Picture:
        """Reads an image, within the config's limits; raises as `take` does."""
        return take(source, self.limits)

    def _groups(self, sources: Iterable[Source]) -> Iterator[list[Picture | Failure]]:
        """As many images as are computed together, with those that cannot be read in their places."""
        most, group, pixels = self.at_once, list[Picture | Failure](), 0
        for source in sources:
            try:
                picture = self.read(source)
                group.append(picture)
                pixels += picture.image.width * picture.image.height
            except PicassoError as error:
                path = Path(source[1]) if isinstance(source[1], str | Path) else None
                group.append(Failure(source[0], path, error))
            if len(group) == most or pixels >= PIXELS_TOGETHER:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _each(self, group: Sequence[Picture | Failure], told: Told) -> Iterator[Explanation | Failure]:
        """Explains a group; where that fails, each image by itself, so that one costs the others nothing."""
        yield from (one for one in group if isinstance(one, Failure))
        pictures = [one for one in group if isinstance(one, Picture)]
        try:
            yield from self.together(pictures, told) if pictures else []
        except Cancelled:
            raise
        except PicassoError as error:
            if len(pictures) == 1:
                yield Failure(pictures[0].name, pictures[0].path, error)
            else:
                for picture in pictures:
                    yield from self._each([picture], told)

    def _checkpoint(self) -> None:
        if self._stop():
            raise Cancelled("The run was ended.")


@overload
def explain(
    model: OpenModel,
    images: ImageLike,
    visualization: str,
    /,
    *,
    class_: str | int | Sequence[str | int] | None = None,
    random_seed: int | None = None,
    **settings: Any,
) -> Explanation: ...


@overload
def explain(
    model: OpenModel,
    images: Iterable[ImageLike],
    visualization: str,
    /,
    *,
    class_: str | int | Sequence[str | int] | None = None,
    random_seed: int | None = None,
    **settings: Any,
) -> list[Explanation]: ...


def explain(
    model: OpenModel,
    images: ImageLike | Iterable[ImageLike],
    visualization: str,
    /,
    *,
    class_: str | int | Sequence[str | int] | None = None,
    random_seed: int | None = None,
    **settings: Any,
) -> Explanation | list[Explanation]:
    """Explains images: one `Explanation` for one image, a list of them for several.

    Args:
        model: as `open_model` gives it.
        images: a path, a PIL image or an array uint8 (height, width) or (height, width, channels); or several.
        visualization: its name, as `picasso visualizations` lists it: "occlusion".
        class_: the class to explain, by name or number, or several; each image's best ones unless given.
        random_seed: what chance begins with; 0 unless given, or as the visualization's setting `seed`.
        settings: the visualization's own; the model's defaults unless given.

    Raises:
        PicassoError: an image cannot be read, a setting is wrong, the model cannot do it; the sentence says what.
    """
    if class_ is None:
        classes: Sequence[str | int] = ()
    elif isinstance(class_, str) or not isinstance(class_, Iterable):
        classes = (class_,)
    else:
        classes = tuple(class_)
    explainer = Explainer(model, visualization, settings, classes=classes, seed=random_seed)
    found = []
    one = is_one(images)
    for result in explainer.stream(named([images] if one else images)):  # type: ignore[list-item, arg-type]
        if isinstance(result, Failure):
            raise result.error
        found.append(result)
    return found[0] if one else found
