"""This process' memory: how much models may take, how much it has, giving some back."""

from __future__ import annotations

import ctypes
import gc
import logging
from contextlib import suppress
from pathlib import Path

import psutil

from picasso.config import Config
from picasso.models.files import model_files

FILES_TO_MEMORY = 3  # a model's weights are there about three times while it is opened: read, assigned, as constants

log = logging.getLogger(__name__)


def memory_limit(config: Config) -> int:
    """Bytes up to which models stay open: `MODELS_MEMORY_LIMIT`, or half of what the worker process may use."""
    from dask.utils import parse_bytes
    from distributed.worker_memory import parse_memory_limit

    if config.MODELS_MEMORY_LIMIT != "auto":
        return int(parse_bytes(config.MODELS_MEMORY_LIMIT))
    whole = parse_memory_limit(config.WORKER_MEMORY_LIMIT, 1, 1, logger=log)  # a container's limit counts
    return int(whole or psutil.virtual_memory().total) // 2


def used() -> int:
    """Bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def expected(config: Config) -> int:
    """About how many bytes opening a model takes, from the size of its files; 0 where they are not there."""
    with suppress(OSError):
        files = set(weight_files(config))
        return FILES_TO_MEMORY * sum(file.stat().st_size for file in files)
    return 0


def weight_files(config: Config) -> list[Path]:
    """The files that hold a model, as far as they are there."""
    files = []
    if config.MODEL_PATH is not None:
        with suppress(OSError):
            files += model_files(config.MODEL_PATH, config.MODEL_CHECKPOINT)
    if config.MODEL_WEIGHTS is not None:
        files.append(config.MODEL_WEIGHTS)
    return [file for file in files if file.is_file()]


def give_back() -> None:
    """Frees what nothing refers to any more, and has the C library return it to the machine where it can."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not every system has it
        ctypes.CDLL(None).malloc_trim(0)
