"""The worker processes: one on this machine, or those of a Dask cluster.

Everything that knows Dask is here. The worker of this machine is reached over TLS with a certificate made at start, so
that no other local user can, and Dask's status pages are off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from picasso.config import Config
from picasso.errors import ModelError
from picasso.runs import worker
from picasso.runs.parcel import Parcel

log = logging.getLogger(__name__)

ANSWER_TIMEOUT = 3.0  # seconds; a worker that does not answer in so long is asked again later
WAIT_FOR_ANSWER = 8.0  # seconds that somebody waits at a page
ENDED = ("closing", "closed", "failed")  # of a nanny, the thread here that starts a worker process again when it dies
QUIET_TENSORFLOW = ("TF_CPP_MIN_LOG_LEVEL", "3")
SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # a second try is the engine's to decide
    "distributed.admin.large-graph-warning-threshold": "1GB",  # pictures travel with their run
    "distributed.comm.timeouts.connect": "10s",
    # Dask looks this long after a worker's death whether it is back, and else gives it up for good: a second death just
    # then would end the service.
    "distributed.deploy.lost-worker-timeout": "365 days",
    # Where the clock is set forward, all workers would seem to have been silent for too long.
    "distributed.scheduler.worker-ttl": None,
    # Dask's defaults for a worker process (one thread, memory given back at once) slow TensorFlow down.
    "distributed.nanny.pre-spawn-environ": {"TF_CPP_MIN_LOG_LEVEL": os.environ.get(*QUIET_TENSORFLOW)},
    # Picasso keeps nothing in Dask's memory that could go to the disk, and a paused worker would leave runs waiting.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # Dask would keep the last thousand messages of up to a megabyte, and with them runs' pictures.
    "distributed.admin.low-level-log-length": 0,
    # Nobody looks at profiles of the last thousand seconds, which a worker would keep.
    "distributed.worker.profile.enabled": False,
    # Status pages would tell every local user of this machine about our runs.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.nanny.http.routes": [],
}


class WorkerPool:
    """Worker processes, each set up with the config. Used from one thread, but for `set_up`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._client: Any = None
        self._comm: Any = None  # the client's first connection: a later one may be to another scheduler
        self._cluster: Any = None
        # Of all clients of a cluster elsewhere: one that cannot connect leaves its own, a thread and three files.
        self._loop: Any = None

    @property
    def place(self) -> str:
        """Where the workers are, for sentences."""
        return self.config.SCHEDULER or "the worker process"

    def connect(self, token: str = "", plugins: int = 0) -> None:
        """Connects to the scheduler, or starts a worker process here; raises whatever Dask raises.

        Args:
            token, plugins: as of `set_up`.
        """
        import dask
        from distributed import Client
        from distributed.utils import LoopRunner

        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        dask.config.set(SETTINGS)
        if self.config.SCHEDULER:
            if self._loop is None:
                self._loop = LoopRunner()
                self._loop.start()
            self._client = Client(self.config.SCHEDULER, name="picasso", timeout="10s", loop=self._loop.loop)
        else:
            self._cluster = self._local_cluster()
            self._client = Client(self._cluster, name="picasso")
        self._comm = self._client.scheduler_comm
        self.set_up(token, plugins)

    def set_up(self, token: str, plugins: int) -> None:
        """Gives all workers the config, those that come later too; those that have one go over to it.

        Args:
            token: what they call the news of that. With the one that they have, models stay as they are.
            plugins: how often the visualizations in folders have changed. They read them again when that is new.

        Raises:
            ModelError: a file that they need cannot be read here or written there.
            OSError: a worker did not answer, or ended meanwhile.
        """
        from picasso.runs.dask_plugin import PicassoWorker

        self._client.register_plugin(PicassoWorker(self._parcel(token, plugins)))

    def _local_cluster(self) -> Any:
        from distributed import LocalCluster

        from picasso.runs.certificate import security
        from picasso.runs.nanny import RememberingNanny

        return LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=True,
            worker_class=RememberingNanny,
            host="127.0.0.1",
            protocol="tls://",
            security=security(),
            dashboard_address="127.0.0.1:0",
            memory_limit=self.config.WORKER_MEMORY_LIMIT,
            silence_logs=logging.CRITICAL,
            # Queues, locks, statistics: Picasso uses none, and those of each run ("spans") are kept for good.
            scheduler_kwargs={"extensions": {}},
            extensions={},  # of the worker
        )

    def _parcel(self, token: str, plugins: int) -> Parcel:
        if not self.config.SCHEDULER:
            return Parcel.local(self.config, token, plugins)
        try:
            return Parcel.packed(self.config, token, plugins)
        except OSError as error:
            raise ModelError(f"What the workers need cannot be read: {error}.") from error

    def ask(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """What `function` gives on each worker that answers in time, by its address; it runs beside a task."""

        async def ask() -> dict[str, Any]:
            addresses = list(await self._client.nthreads())
            calls = [
                asyncio.ensure_future(self._client.run(function, *args, workers=[address], on_error="return"))
                for address in addresses
            ]
            if not calls:
                return {}
            done, late = await asyncio.wait(calls, timeout=ANSWER_TIMEOUT)
            for call in late:
                call.cancel()
            answers: dict[str, Any] = {}
            for call in done:
                if not call.cancelled() and call.exception() is None:
                    answers |= call.result()
            return {address: answer for address, answer in answers.items() if not isinstance(answer, Exception)}

        return self._client.sync(ask, callback_timeout=ANSWER_TIMEOUT + 2)  # type: ignore[no-any-return]

    def ask_one(self, address: str, function: Callable[..., Any], *args: Any) -> Any:
        """What `function`, which may be asynchronous, gives on one worker. May be called from any thread.

        Raises:
            OSError: it did not answer in time, or is gone.
        """
        client = self._client
        if client is None:
            raise ConnectionError("not connected")

        async def ask() -> Any:
            answers = await asyncio.wait_for(client.run(function, *args, workers=[address]), WAIT_FOR_ANSWER)
            return answers[address]

        try:
            return client.sync(ask, callback_timeout=WAIT_FOR_ANSWER + 2)
        except Exception as error:  # Dask raises many kinds: all of them mean that there is no answer
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    def workers(self) -> set[str]:
        """The addresses of the workers that there are now."""
        return set(self._client.sync(self._client.scheduler.ncores, callback_timeout=WAIT_FOR_ANSWER))

    def submit(self, job: worker.Job, address: str, key: str) -> Any:
        """Gives a job to one worker, and to no other should that one die; returns Dask's future."""
        return self._client.submit(worker.execute, job, key=key, pure=False, workers=[address])

    def end(self, address: str, pid: int) -> None:
        """Ends a worker process that does not listen; its nanny, if it has one, starts a new one."""
        for nanny in (True, False):  # a worker without a nanny is told itself, and cannot answer any more
            try:
                if self._client.run(os.kill, pid, signal.SIGKILL, workers=[address], nanny=nanny):
                    return
            except Exception:
                log.debug("Worker %s gave no answer (nanny: %s)", address, nanny, exc_info=True)

    def why_ended(self, address: str) -> str:
        """How a worker process of this machine ended, in words; "" where that is not known."""
        deadline = time.monotonic() + ANSWER_TIMEOUT
        while self._cluster is not None and time.monotonic() < deadline:
            for nanny in self._cluster.workers.values():
                if nanny.last is not None and nanny.last.worker == address:
                    return str(nanny.last.words)
            time.sleep(0.05)  # the scheduler may hear of it before the nanny does
        return ""

    def connected(self) -> bool:
        """Whether there is what `connect` made: False before it, where the scheduler was lost (if only for a moment: it
        may be another one now), and where the worker process here ended and nothing starts it again."""
        if self._client is None or self._client.status != "running" or self._client.scheduler_comm is not self._comm:
            return False
        return self._cluster is None or any(nanny.status.name not in ENDED for nanny in self._cluster.workers.values())

    def close(self) -> None:
        """Disconnects, and ends the worker process of this machine."""
        for part in (self._client, self._cluster):
            if part is not None:
                with suppress(Exception):
                    part.close()
        self._client = self._comm = self._cluster = None
