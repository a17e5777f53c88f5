"""Writes docs/configuration.md from the one table of settings, `picasso.config.Config`."""

from __future__ import annotations

from pathlib import Path

from pydantic_core import PydanticUndefined

from picasso.config import Config

OUT = Path(__file__).parent.parent / "docs" / "configuration.md"
HEAD = """# Settings

Later wins: the defaults, the config file (`config.py` in the working directory, or the file that `PICASSO_SETTINGS` or
`--config` names), the environment (`PICASSO_` + the name; lists and dictionaries as JSON), the command line (`--model`,
`--port`, `--host`, `--reload-plugins`). A name that is not below is an error that names the nearest one. What a
`config.py` that nobody named says about its model does not count where `--model` or `PICASSO_MODEL_PATH` names another
one.

Made from `picasso/config.py` by `python tools/document_settings.py`.

| name | default | meaning |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = []
    for name, field in Config.model_fields.items():
        default = "`resize`, range found" if name == "MODEL_PREPROCESS" else f"`{field.default!r}`"
        if field.default is PydanticUndefined:
            default = "the user's data folder"
        rows.append(f"| `{name}` | {default} | {field.description} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    OUT.write_text(page(), encoding="utf-8")
