"""Talks to a server that runs on this machine, for the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

from picasso.access import HEADER, PARAMETER
from picasso.errors import ConfigError, PicassoError, WorkerLost, kind_of
from picasso.runs.servers import running

POLL_SECONDS = 0.3
ANSWER_SECONDS = 30.0


def find_server(folder: Path) -> str:
    """The address of the one server that runs over a data folder.

    Raises:
        WorkerLost: there is none, or the folder belongs to another user.
        ConfigError: there are several.
    """
    try:
        found = running(folder)
    except PermissionError as error:
        raise WorkerLost(
            f"The data folder {folder} belongs to another user: reload as that one, or name the server's address with "
            "--url."
        ) from error
    if not found:
        raise WorkerLost(
            f"No server runs over the data folder {folder}. Start one with `picasso serve`; of one that runs, name the "
            "config with --config, the data folder with PICASSO_DATA_DIR, or the address with --url."
        )
    if len(found) > 1:
        urls = ", ".join(server.url.partition("?")[0] for server in found)  # without their tokens
        raise ConfigError(f"Several servers run over the data folder {folder}: name one of them with --url: {urls}.")
    return found[0].url


def reload_models(url: str) -> tuple[list[str], PicassoError | None]:
    """Has a server read its config and models again, and waits until it has.

    Args:
        url: its address; with the token in it, as the link that it printed, where it wants one.

    Returns:
        A sentence for each model, and the error where something could not be opened: what was in use there stays so.

    Raises:
        PicassoError: the config is wrong, and nothing was changed; or the server cannot be reached.
    """
    parts = urlsplit(url)
    address = parts._replace(path=f"{parts.path.rstrip('/')}/model/reload", query="", fragment="").geturl()
    headers = {"Accept": "application/json"}
    for token in parse_qs(parts.query).get(PARAMETER, []):
        headers[HEADER] = token
    answer = _ask(address, headers, "POST")
    if "done" not in answer:
        raise _error(answer)
    while not answer["done"]:
        time.sleep(POLL_SECONDS)
        answer = _ask(address, headers)
    return answer["lines"], _error(answer) if "error" in answer else None


def _error(answer: dict[str, Any]) -> PicassoError:
    return kind_of(answer["error"]["code"])(answer["error"]["message"])


def _ask(address: str, headers: Mapping[str, str], method: str = "GET") -> dict[str, Any]:
    if urlsplit(address).scheme not in ("http", "https"):
        raise ConfigError(f"--url must be an address such as http://127.0.0.1:8000, got {address!r}.")
    request = Request(address, headers=dict(headers), method=method)  # noqa: S310 - checked above
    try:
        try:
            with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
                content = json.load(answer)
        except HTTPError as error:  # an answer too: what is wrong is in it
            with error:
                content = json.load(error)
    except (OSError, ValueError) as error:
        raise WorkerLost(f"The server at {address} cannot be reached, or is not Picasso: {error}.") from error
    if not isinstance(content, dict) or not {"done", "error"} & set(content):
        raise WorkerLost(f"The server at {address} is not Picasso.")
    return content
