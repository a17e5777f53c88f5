"""`picasso explain`: what it takes. `explaining` is what it does, and is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from picasso.errors import InvalidSetting

A_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("--visualization", "-v", metavar="NAME", help="Which way to look: `picasso visualizations` lists them.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of it; as often as needed.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="A class, by name, part of a name or number.")
@click.option("--model", metavar="PATH", help="Model file or folder, or a name of the config's MODELS.")
@click.option("--config", "config_file", type=A_FILE, help="Config file; ./config.py unless given.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="What chance begins with; 0 unless given or set.")
@click.option("--out", type=A_FILE, metavar="DIR", help="Folder for maps, arrays and the manifest.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A line of JSON for each image, or one with --again, and nothing else on stdout.",
)
@click.option("--again", type=A_FILE, metavar="MANIFEST", help="Repeat a run, and say what is not as it was.")
def explain(
    images: tuple[str, ...],
    visualization: str | None,
    settings: tuple[str, ...],
    classes: tuple[str, ...],
    model: str | None,
    config_file: Path | None,
    seed: int | None,
    out: Path | None,
    as_json: bool,
    again: Path | None,
) -> None:
    """Explains images: files, folders with all that is in them, or patterns in quotes.

    With --out, each image's result is written as soon as it is there. The same command again goes on where it stopped,
    and computes nothing twice. An image that cannot be read is named at the end, and does not end the rest.

    \b
    Examples:
      picasso explain photo.jpg -v class-probabilities
      picasso explain photo.jpg -v occlusion --set window=32 --set stride=8 --class tabby --out results
      picasso explain photos/ -v saliency --model my_model.keras --out results
      picasso explain "photos/*.jpg" -v saliency --json > results.jsonl
      picasso explain --again results/manifest.json
      picasso explain --again bundle.zip --model my_model.keras
    """
    if again is not None:
        if visualization or settings or classes or seed is not None:
            raise click.UsageError("The manifest says how: leave out --visualization, --set, --class and --seed.")
    elif not images:
        raise click.UsageError("Name at least one image, folder or pattern.")
    elif visualization is None:
        raise click.UsageError(
            "Say which way to look: --visualization occlusion, or what `picasso visualizations` lists."
        )
    from picasso.commands import explaining

    given = explaining.Given(images, out, as_json)
    if again is not None:
        explaining.repeat_run(given, again, model, config_file)
    else:
        explaining.explain_images(given, str(visualization), key_values(settings), classes, seed, model, config_file)


def key_values(settings: Sequence[str]) -> dict[str, str]:
    """ "window=32" as {"window": "32"}.

    Raises:
        InvalidSetting: one is not of that form, or there twice.
    """
    values: dict[str, str] = {}
    for text in settings:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise InvalidSetting(f"--set takes KEY=VALUE, such as window=32, got {text[:80]!r}.")
        if name in values:
            raise InvalidSetting(f"'{name}' is set twice.", field=name)
        values[name] = value
    return values
