"""How commands end: errors as sentences, each with the exit code of its kind."""

from __future__ import annotations

from typing import Any

import click

from picasso.errors import Cancelled, PicassoError


class Commands(click.Group):
    """A group whose commands may raise any `PicassoError`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what it raises is said on stderr."""
        try:
            return super().invoke(ctx)
        except PicassoError as error:
            if error.message:  # else all is said already
                click.echo(f"picasso: {error.message}".encode(errors="replace").decode(), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(Cancelled.exit_code)
