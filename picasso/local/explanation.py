"""What a visualization found in one image, for people who write Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from picasso.errors import InvalidRequest, NotFound
from picasso.images.colours import draw_over
from picasso.images.reading import encode_png
from picasso.local.folder import ResultsFolder
from picasso.local.notebook import as_html
from picasso.local.pictures import Picture
from picasso.models.class_names import find_class
from picasso.models.decoding import Prediction
from picasso.runs.artifacts import REFERENCE, Packed, filled, load_array
from picasso.runs.found import Found, read_result


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a visualization found in one image. It shows itself in a notebook, and saves itself.

    Attributes:
        picture: the image as it was read: `name`, `filename`, `image`, `digest`, `path`, `notes`.
        run: what decided the result beside the image: model, labels, visualization, settings, seed, versions.
        together: the names of the images that were computed at once, in their order; this is one of them.
        outputs: pictures that the visualization wrote for them, PNG by name.
        seconds, model_calls: what this image took, on average over those.
    """

    picture: Picture
    run: Mapping[str, Any]
    packed: Packed
    together: tuple[str, ...]
    outputs: Mapping[str, bytes]
    seconds: float
    model_calls: float

    @property
    def filename(self) -> str:
        """The image's, as people know it."""
        return self.picture.filename

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the visualization, defaults included."""
        return dict(self.run["settings"])

    @cached_property
    def found(self) -> Found:
        """The result as REST gives it: content with names in the place of arrays, the names of all files."""
        return read_result(self.packed.content, self.together.index(self.picture.name))

    @property
    def predictions(self) -> list[Prediction]:
        """The classes that it is about, in order, each with the model's own score (NaN where it has none)."""
        return [
            Prediction(one["index"], one["label"], float("nan") if one["score"] is None else one["score"])
            for one in self.found.predictions
        ]

    @cached_property
    def content(self) -> Any:
        """What the visualization returned, with its numpy arrays and PIL images."""
        return filled(self.packed.content, lambda file: self._value(file))

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays, each by the name of its file without ".npy"."""
        files = self.found.files.items()
        return {name.removesuffix(".npy"): self._value(file) for name, file in files if file["kind"] == "array"}

    @cached_property
    def maps(self) -> dict[str, NDArray[Any]]:
        """Those of the arrays that lie over what the model saw: float32 (rows, columns), mostly of its size."""
        names = (name.removesuffix(".npy") for name in self.found.files if self.found.is_map(name))
        return {name: self.arrays[name] for name in names}

    def map(self, class_: str | int | None = None) -> NDArray[Any]:
        """The map of a class, by name or number; the first of all maps unless one is named.

        Raises:
            InvalidSetting: the model has no such class, or several.
            NotFound: there is no map of it here; `explain(..., class_=...)` makes one.
        """
        if class_ is None:
            if not self.maps:
                raise NotFound(f"{self._title} has no map of {self.filename}.")
            return next(iter(self.maps.values()))
        index = find_class(class_, self.run["labels"])
        for one in self.content.get("maps", []) if isinstance(self.content, dict) else []:
            if one.get("index") == index:
                values: NDArray[Any] = one["map"]
                return values
        label = self.run["labels"][index]
        raise NotFound(f"There is no map of {label} here. Have it explained: class_={label!r}.", field="class")

    @cached_property
    def view(self) -> Image.Image:
        """The picture that the model saw; the image itself where the visualization does not say."""
        seen = self.found.view
        return self.picture.image if seen is None else self._value(seen)

    @cached_property
    def pictures(self) -> dict[str, Image.Image]:
        """The pictures that the visualization returned, each by the name of its file without ".png"."""
        files = self.found.files.items()
        return {name.removesuffix(".png"): self._value(file) for name, file in files if file["kind"] == "image"}

    def overlay(
        self,
        name: str = "",
        *,
        low: float | None = None,
        high: float | None = None,
        colours: str | None = None,
        opacity: float = 1.0,
    ) -> Image.Image:
        """A map over what the model saw, mode "RGB"; the view alone where there is no map.

        Args:
            name: one of `maps`; the first unless given.
            low, high: the values at the ends of the colours; those of the page unless given.
            colours: inferno, magma, viridis, or for maps with negative values coolwarm, vik, berlin.
            opacity: of the map, 0..1.

        Raises:
            NotFound: there is no map of that name.
            InvalidRequest: there are no such colours or opacity, or `low` is above `high`.
        """
        if not name and not self.maps:
            return self.view.convert("RGB")
        name = name or next(iter(self.maps))
        if name not in self.maps:
            raise NotFound(f"There is no map {name!r}. There are: {', '.join(self.maps) or 'none'}.")
        values, file = self.maps[name], f"{name}.npy"
        limit = self.found.limits.get(file)
        signed = self.found.signed.get(file, bool((values < 0).any()))
        if limit is not None and low is None and high is None:
            low, high = -limit if signed else 0.0, limit
        view = self.view if self.found.view else self.view.resize((values.shape[1], values.shape[0]))
        try:
            return draw_over(view, values, low, high, colours, opacity, signed)
        except ValueError as error:
            raise InvalidRequest(str(error)) from error

    def files(self) -> dict[str, bytes]:
        """All its files by name: arrays (.npy), pictures (.png), each map over its picture (.png), outputs."""
        files = {name: self.packed.files[file[REFERENCE]] for name, file in self.found.files.items()}
        drawn = {name: encode_png(self.overlay(of.removesuffix(".npy"))) for name, of in self.found.drawn.items()}
        return files | drawn | {f"output.{name}": data for name, data in self.outputs.items()}

    @cached_property
    def record(self) -> dict[str, Any]:
        """JSON-able: the image, the predictions, the names of the files, the content. What `result.json` holds."""
        drawn = {name: picture for picture, name in self.found.drawn.items()}
        picture = self.picture
        return {
            "name": picture.name,
            "filename": picture.filename,
            "path": None if picture.path is None else str(picture.path),
            "file": picture.file,
            "size": list(picture.image.size),
            "digest": picture.digest,
            "notes": list(picture.notes),
            "predictions": self.found.predictions,
            "artifacts": [
                {"name": name, "kind": file["kind"], "shape": file["shape"], "drawn": drawn.get(name)}
                for name, file in self.found.files.items()
            ],
            "outputs": [f"output.{name}" for name in self.outputs],
            "content": self.found.content,
            "seconds": self.seconds,
            "model_calls": self.model_calls,
            "together": list(self.together),
        }

    @property
    def manifest(self) -> dict[str, Any]:
        """JSON-able: everything that decided the result, and the result."""
        return {**self.run, "results": [self.record]}

    def save(self, folder: str | Path) -> Path:
        """Writes it into a folder of results, as `picasso explain --out` does; returns the result's own folder.

        Raises:
            Conflict: the folder has results of another model, visualization or other settings, or other files, or a
                result of another image of that name.
        """
        with ResultsFolder(Path(folder)).of(self.run) as results:
            return results.add(self)

    def _value(self, file: Mapping[str, Any]) -> Any:
        data = self.packed.files[file[REFERENCE]]
        if file["kind"] == "array":
            return load_array(data)
        picture: Image.Image = Image.open(BytesIO(data), formats=["PNG"])
        picture.load()
        return picture

    @property
    def _title(self) -> str:
        return str(self.run["visualization"]["title"])

    def __repr__(self) -> str:
        best = "; ".join(f"{one.label} {one.score:.3g}" for one in self.predictions[:3])
        return f"<{self._title} of {self.filename}: {best or 'no classes'}; {len(self.maps)} maps>"

    def _repr_png_(self) -> bytes:
        return encode_png(self.overlay())

    def _repr_html_(self) -> str:
        return as_html(self)
