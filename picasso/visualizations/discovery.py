"""Finds visualizations through three doors: the built-in folder, folders in the config, installed packages.

All three lead to the same place: a module is imported, its `BaseVisualization` classes are taken, and each must have
its template. What is broken is listed as broken, with its error; the rest work.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from picasso.errors import NotFound, PluginError, origin
from picasso.visualizations.base import NEEDS, BaseVisualization, Settings, name_of, settings_model, spaced

BUILT_IN = Path(__file__).parent
ENTRY_POINTS = "picasso.visualizations"
NOT_PLUGINS = {"base.py", "discovery.py", "forms.py", "setup.py", "conftest.py"}
RESERVED = {"name", "image", "visualization", "model", "endpoint", "file"}  # what else forms and addresses carry
PICTURES = (".webp", ".jpg", ".png")  # on the card of a visualization
FRAMEWORKS = {"tensorflow", "keras", "torch", "jax"}


@dataclass(frozen=True)
class Broken:
    """A visualization that cannot be used.

    Attributes:
        source: the file, or the entry point.
        error: why, as a sentence; with the names of files, without their folders.
        name: the visualization's, where it is known.
        excerpt: the source around the line that failed, where one did.
    """

    source: str
    error: str
    name: str = ""
    excerpt: str = ""

    @classmethod
    def by(cls, source: str, error: BaseException, name: str = "") -> Broken:
        """One that an error broke: with the author's own file and line, not those of the import machinery."""
        place = origin(error, __file__)
        message = error.msg if isinstance(error, SyntaxError) else str(error).partition("\n")[0]
        sentence = f"{type(error).__name__}: {message}"
        return cls(source, f"{place.short}: {sentence}" if place else sentence, name, place.source() if place else "")

    @property
    def short_source(self) -> str:
        """The source without its folders."""
        return Path(self.source).name

    def as_error(self) -> PluginError:
        """What is said to somebody who asks for it while it is written."""
        return PluginError(f"{self.source} is broken: {self.error}\n{self.excerpt}".rstrip())


@dataclass
class Registry:
    """All visualizations, by name, in the order found; and the broken ones.

    What it has is replaced as wholes, never changed: other threads may be reading it.

    Attributes:
        homes: while visualizations are written, in which files each was found, so that one that has been broken since
            is known.
    """

    visualizations: dict[str, type[BaseVisualization]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    homes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def get(self, name: str) -> type[BaseVisualization]:
        """The visualization of that name.

        Raises:
            NotFound: there is none; the sentence lists those there are.
            PluginError: there was, and its file has been broken since.
        """
        found = self.visualizations
        if name in found:
            return found[name]
        for one in self.broken:
            if one.source.startswith(self.homes.get(name, ())):
                raise one.as_error()
        raise NotFound(f"There is no visualization {name[:80]!r}. There are: {', '.join(found)}.")

    def without(self, broken: Iterable[Broken]) -> Registry:
        """The same, less visualizations that proved to be broken after all."""
        more = list(broken)
        names = {one.name for one in more}
        kept = {name: cls for name, cls in self.visualizations.items() if name not in names}
        return replace(self, visualizations=kept, broken=[*self.broken, *more])

    def become(self, other: Registry) -> None:
        """Takes over what another has, for all who hold this one."""
        self.homes, self.broken, self.visualizations = other.homes, other.broken, other.visualizations


def discover(folders: Iterable[Path] = (), *, frameworks: bool = True) -> Registry:
    """Looks through all three doors.

    Args:
        folders: the config's `VISUALIZATION_FOLDERS`.
        frameworks: False where TensorFlow must not be loaded; a plugin that imports it at its top is broken there.
    """
    registry = Registry()
    with _frameworks(frameworks):
        for path in _modules(BUILT_IN):
            _take(registry, str(path), partial(_import, path))
        for folder in folders:
            if not folder.is_dir():
                registry.broken.append(Broken(str(folder), "This folder does not exist. Check VISUALIZATION_FOLDERS."))
                continue
            for path in _modules(folder):
                _take(registry, str(path), partial(_import, path))
        for entry in entry_points(group=ENTRY_POINTS):
            _take(registry, f"{entry.value} (installed package)", partial(_from_package, entry))
    return registry


def _modules(folder: Path) -> list[Path]:
    """Python files in a folder and in its direct subfolders, tests and private ones left out."""
    return sorted(path for path in (*folder.glob("*.py"), *folder.glob("*/*.py")) if may_hold_one(path, folder))


def may_hold_one(path: Path, folder: Path) -> bool:
    """Whether a Python file in a folder of visualizations is taken for one, by its name."""
    subfolder = path.parent.relative_to(folder).name
    return (
        path.name not in NOT_PLUGINS
        and not path.name.startswith(("_", "test_", "."))
        and subfolder not in ("tests", "__pycache__")
        and not subfolder.startswith(".")  # copies that editors keep
    )


def _import(path: Path) -> ModuleType:
    """The module in a file, under a name of its own, so that two folders may hold files of the same name."""
    if path.parent == BUILT_IN:
        return importlib.import_module(f"picasso.visualizations.{path.stem}")
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"picasso_plugin_{digest}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _from_package(entry: EntryPoint) -> Any:
    loaded = entry.load()
    if inspect.ismodule(loaded) and not _classes(loaded):
        raise ImportError(f"{entry.value} has no visualization in it. Name the class: {entry.value}:MyVisualization.")
    return loaded


def _take(registry: Registry, source: str, load: Any) -> None:
    try:
        loaded = load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may even call sys.exit; the rest must work
        registry.broken.append(Broken.by(source, error))
        return
    for cls in [loaded] if inspect.isclass(loaded) else _classes(loaded):
        try:
            add(registry, cls)
        except Exception as error:
            registry.broken.append(Broken(f"{source}: {cls.__name__}", str(error), name_of(cls.__name__)))


def _classes(module: ModuleType) -> list[type[BaseVisualization]]:
    return [
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, BaseVisualization)
        and not inspect.isabstract(member)
        and member.__module__ == module.__name__
    ]


def add(registry: Registry, cls: type[Any]) -> None:
    """Takes a class into a registry, and fills in what is found out about it.

    Raises:
        Exception: it is not what it should be; the sentence says why.
    """
    if not issubclass(cls, BaseVisualization):
        raise TypeError(f"{cls.__name__} is not a BaseVisualization.")
    cls.title = cls.__dict__.get("title") or spaced(cls.__name__)
    cls.name = name_of(cls.__name__)
    cls.file = Path(inspect.getfile(cls))
    cls.digest = _digest(cls.file)
    cls.template = _template(cls)
    cls.picture = _picture(cls)
    cls.settings_model = settings_model(cls.settings)
    if not issubclass(cls.settings_model, Settings):
        raise TypeError(f"settings must derive from picasso.visualizations.base.Settings, got {cls.settings!r}.")
    taken = sorted(name for name in cls.settings_model.model_fields if name in RESERVED)
    if taken:
        raise ValueError(f"The pages use the name {taken[0]!r} themselves. Give this setting another name.")
    unknown = set(cls.needs) - set(NEEDS)
    if unknown:
        raise ValueError(f"needs names {', '.join(sorted(unknown))}; known are {', '.join(NEEDS)}.")
    required = [name for name, field in cls.settings_model.model_fields.items() if field.is_required()]
    if required:
        raise ValueError(f"Every setting needs a default; {', '.join(required)} has none.")
    other = registry.visualizations.get(cls.name)
    if other is cls:  # found through two doors
        return
    if other is not None and other.file is not None:
        where = Path(other.file.parent.name, other.file.name)
        raise ValueError(f"The name {cls.name} is already taken by {where}. Give this class another name.")
    registry.visualizations[cls.name] = cls


def _template(cls: type[BaseVisualization]) -> Path:
    for path in _beside(cls, ".html"):
        return path
    raise FileNotFoundError(f"Its template is missing: write {cls.__name__}.html beside the class, or in templates/.")


def _picture(cls: type[BaseVisualization]) -> Path | None:
    return next((path for ending in PICTURES for path in _beside(cls, ending)), None)


def _beside(cls: type[BaseVisualization], ending: str) -> list[Path]:
    """The files named like a class, beside it or in `templates/`."""
    folder = Path(inspect.getfile(cls)).parent
    paths = (folder / f"{cls.__name__}{ending}", folder / "templates" / f"{cls.__name__}{ending}")
    return [path for path in paths if path.is_file()]


def _digest(file: Path) -> str:
    """Of a module and those beside it, which it may use."""
    files = sorted({file, *file.parent.glob("*.py")})
    return _digest_of(tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in files))


@lru_cache(maxsize=256)
def _digest_of(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


class _NoFrameworks:
    """An import finder that refuses machine-learning frameworks."""

    def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
        if name.partition(".")[0] in FRAMEWORKS:
            raise ImportError(
                f"{name} is imported at the top of the file. Import it inside make_visualization: pages are made in a "
                "process that loads no framework."
            )


@contextmanager
def _frameworks(allowed: bool) -> Iterator[None]:
    if allowed:
        yield
        return
    guard = _NoFrameworks()
    sys.meta_path.insert(0, guard)
    try:
        yield
    finally:
        sys.meta_path.remove(guard)
