"""The command line: `picasso serve`, `explain`, `inspect`, `visualizations`, `new`, `reload`."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from picasso import __version__
from picasso.access import Access
from picasso.commands.explain import explain
from picasso.commands.group import Commands
from picasso.commands.visualizations import visualizations
from picasso.errors import ConfigError, PicassoError

if TYPE_CHECKING:
    from picasso.web.services import Services

PORTS_TO_TRY = 50
SWITCH_SECONDS = 0.001  # how long one thread computes while others wait: health, which takes four turns, is not held up
REACHED_AT = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - how a server on all addresses is reached here


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="picasso")
def main() -> None:
    """Picasso shows what a trained vision model looks at."""


main.add_command(explain)
main.add_command(visualizations)


@main.command()
@click.option("--model", type=click.Path(path_type=Path), help="Model file or folder; needs no config file.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to serve on; the next free one when it is taken.")
@click.option("--host", help="Address to serve on; this machine only unless given.")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file; ./config.py unless given.")
@click.option(
    "--reload-plugins",
    is_flag=True,
    help="For who writes a visualization: changed files are used at once, and errors show the source.",
)
def serve(
    model: Path | None, port: int | None, host: str | None, config_file: Path | None, reload_plugins: bool
) -> None:
    """Serves the pages until Ctrl-C.

    \b
    Examples:
      picasso serve
      picasso serve --model my_model.keras
      picasso serve --config examples/mnist-keras/config.py --port 9000
      picasso serve --reload-plugins
    """
    try:
        options = {"MODEL_PATH": model, "PORT": port, "HOST": host, "RELOAD_PLUGINS": reload_plugins or None}
        _serve(config_file, options)
    except PicassoError as error:
        click.echo(f"picasso: {error.message}", err=True)
        sys.exit(error.exit_code)


@main.command()
@click.argument("model", required=False)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file; ./config.py unless given.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for programs.")
def inspect(model: str | None, config_file: Path | None, as_json: bool) -> None:
    """Says what Picasso understood of a model: what it is, what was assumed, and a config file for it.

    \b
    Examples:
      picasso inspect                          the configured model, the first of several
      picasso inspect path/to/model.keras
      picasso inspect name                     a model of the config's MODELS; name@output for another output of it
      picasso inspect saved_model/ --json
    """
    try:
        from picasso.inspection import inspect_named, show

        found = inspect_named(model, config_file)
    except PicassoError as error:
        click.echo(f"picasso: {error.message}", err=True)
        sys.exit(error.exit_code)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1, allow_nan=False, ensure_ascii=False))
    else:
        from rich.console import Console

        show(found, Console())


@main.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="The config file that the server has.")
@click.option("--url", help="The server's address; the one that runs over the config's data folder unless given.")
def reload(config_file: Path | None, url: str | None) -> None:
    """Has a running server read its config and models again.

    Runs that are under way end with the model they have. A model that cannot be opened leaves the old one in use.

    \b
    Examples:
      picasso reload
      picasso reload --url http://127.0.0.1:9000
    """
    from picasso.config import load_config
    from picasso.remote import find_server, reload_models

    try:
        lines, error = reload_models(url or find_server(load_config(config_file).DATA_DIR))
        for line in lines:
            if error is None or line != error.message:
                click.echo(line)
        if error is not None:
            raise error
    except PicassoError as error:
        click.echo(f"picasso: {error.message}", err=True)
        sys.exit(error.exit_code)


@main.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where to write it; the config's first folder unless given."
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file; ./config.py unless given.")
def new(name: str, folder: Path | None, config_file: Path | None) -> None:
    """Writes a visualization that works, to be changed into your own: a class, a template, a test.

    \b
    Examples:
      picasso new my_view
      picasso new my_view --folder my_visualizations
    """
    from picasso.config import load_config
    from picasso.new import write_visualization

    try:
        for line in write_visualization(name, load_config(config_file), folder):
            click.echo(line)
    except PicassoError as error:
        click.echo(f"picasso: {error.message}", err=True)
        sys.exit(error.exit_code)


def _serve(config_file: Path | None, overrides: dict[str, Any]) -> None:
    from picasso.config import load_config
    from picasso.models.files import require

    config = load_config(config_file, overrides)
    if overrides["MODEL_PATH"] and not config.MODEL_PREPARE:
        require(config.MODEL_PATH)  # what was typed is checked at once
    listener = _listen(config.HOST, config.PORT)  # first, so that a wrong address is said before anything starts
    from picasso.app import create_app
    from picasso.runs.servers import announce
    from picasso.serving import make_server
    from picasso.web.templates import load_templates

    app = create_app(config, read_again=partial(load_config, config_file, overrides))
    services = app.extensions["picasso"]
    store = services.store
    host, port = listener.getsockname()[:2]
    address = _say_where(host, port, services.access)
    announce(store.folder, store.owner, address)
    sys.stdout.flush()
    sys.setswitchinterval(SWITCH_SECONDS)
    for number, seconds in ((signal.SIGTERM, config.DRAIN_SECONDS), (signal.SIGINT, 0.0)):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as in what a shell starts in the background
            signal.signal(number, partial(_end, services, seconds))
    try:
        load_templates(app)
        gc.collect()
        gc.freeze()  # what there is now stays: looking through all of it again and again would hold every thread up
        make_server(app, listener, config).run()
    finally:
        services.engine.close()


def _say_where(host: str, port: int, access: Access) -> str:
    """Says how the server is reached, and by whom; returns its address on this machine, the administrator's."""
    shown = REACHED_AT.get(host, f"[{host}]" if ":" in host else host)
    address = f"http://{shown}:{port}/"
    click.echo(f"Picasso is at {address}{access.query}  (Ctrl-C ends it)")
    if host in REACHED_AT:
        click.echo(f"From other machines it is at http://{socket.gethostname()}:{port}/{access.query}")
    if access.token:
        click.echo("Only who knows the token in this address is let in; a browser keeps it.")
    elif access.anonymous:
        click.echo("Anyone who reaches this address can use it: ALLOW_ANONYMOUS is on.", err=True)
    if access.admin_token:
        click.echo(f"The administrator's page is {address}admin{access.admin_query}")
    return address + (access.admin_query or access.query)


def _end(services: Services, seconds: float, *_: object) -> None:
    """Ends the process: at once, or later and with everybody told that it will."""
    if not seconds or services.draining.is_set():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)  # runs are put back, which takes a moment and is not to be cut short
        sys.exit(0)
    services.drain()
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
    timer.daemon = True
    timer.start()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket on `port`, or on the next free one."""
    try:
        family, _, _, _, _ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"The host {host!r} is no address of this machine: {error}.", field="HOST") from error
    candidates = [port, *range(port + 1, min(port + PORTS_TO_TRY, 65536)), 0] if port else [0]
    last: OSError | None = None
    for candidate in candidates:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            last = error
    raise ConfigError(f"Cannot serve on {host}:{port}: {last}. Choose another with --host and --port.", field="PORT")
