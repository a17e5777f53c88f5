"""Having all workers go over to what is new of the config and of the visualizations in folders."""

from __future__ import annotations

import logging
import threading

from picasso.errors import ModelError
from picasso.runs.pool import WorkerPool
from picasso.runs.roster import Roster

log = logging.getLogger(__name__)


class Rollout:
    """Which version all workers have. A version is a config's token (`roster.reload`) and a count of plugin changes."""

    def __init__(self, pool: WorkerPool, roster: Roster) -> None:
        self._pool = pool
        self._roster = roster
        self._plugins = 0  # how often the visualizations in folders have changed
        self._told = ("", 0)  # the version that all workers have
        self._telling = threading.Thread()

    def plugins_changed(self) -> None:
        """There is a new version of the visualizations in folders. May be called from any thread."""
        self._plugins += 1

    @property
    def plugins_known(self) -> bool:
        """Whether all workers know the visualizations in folders as they are now."""
        return self._plugins == self._told[1]

    def connect(self) -> None:
        """Connects the pool, whose workers begin with the newest version; raises what `WorkerPool.connect` does."""
        newest = self._newest()
        self._pool.config = self._roster.config
        self._pool.connect(*newest)
        self._told = newest

    def proceed(self) -> None:
        """Begins to tell the workers of the newest version, unless they have it or are just being told."""
        newest = self._newest()
        if newest == self._told or self._telling.is_alive():
            return
        self._pool.config = self._roster.config
        # In a thread: a worker that hangs does not answer, and it is the engine's thread that ends it.
        self._telling = threading.Thread(target=self._tell, args=newest, name="tell-workers", daemon=True)
        self._telling.start()

    def _newest(self) -> tuple[str, int]:
        return self._roster.reload.token, self._plugins

    def _tell(self, token: str, plugins: int) -> None:
        try:
            self._pool.set_up(token, plugins)
            self._told = (token, plugins)
        except OSError as error:
            log.warning("A worker could not be told of the new config; it is tried again: %s", error)
        except Exception as error:
            log.exception("The workers could not be told of the new config")
            self._told = (token, plugins)  # not tried again, until there is something new
            sentence = f"The workers could not be told of the new config: {type(error).__name__}: {error}"
            self._roster.end_reload(error=ModelError(sentence))
