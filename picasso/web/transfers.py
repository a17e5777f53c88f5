"""How answers travel: text and arrays compressed; static files kept by browsers, under addresses of their content."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

from flask import Flask, Response
from flask_compress import Compress

STATIC = Path(__file__).parent.parent / "static"
FOR_GOOD = "public, max-age=31536000, immutable"  # what never changes under its address
COMPRESSED = [
    "text/html",
    "text/css",
    "text/javascript",
    "text/plain",
    "application/json",
    "application/octet-stream",  # arrays (.npy); pictures are compressed already
    "image/svg+xml",
]


@cache
def static_url_path() -> str:
    """Where static files are: a part of the address tells their content.

    It stands in the path rather than behind the name, so that modules that import each other by relative addresses
    belong together too.
    """
    digest = sha256()
    for path in sorted(path for path in STATIC.rglob("*") if path.is_file()):
        digest.update(path.relative_to(STATIC).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"/static/{digest.hexdigest()[:12]}"


def compress(app: Flask) -> None:
    """Answers in gzip, which every browser takes, also over plain HTTP."""
    app.config.update(COMPRESS_MIMETYPES=COMPRESSED, COMPRESS_ALGORITHM=["gzip"], COMPRESS_STREAMS=False)
    Compress(app)
    app.after_request(_whole)  # what is added last comes first


def _whole(response: Response) -> Response:
    """Reads files that will be compressed: as streams they would be left open."""
    if response.mimetype in COMPRESSED and response.is_streamed:
        response.direct_passthrough = False
        response.make_sequence()
    return response
