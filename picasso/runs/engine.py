"""Gives runs to worker processes and brings back what comes of them.

The queue is the table of runs; workers only ever hold as many as there are of them. One thread (`_loop`) starts runs,
asks the workers how they are doing, keeps partial results, and writes what is finished to the store.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from picasso.config import Config
from picasso.disk import TEMPORARY, if_there_is_room, no_space
from picasso.errors import ModelError, NotFound, WorkerLost
from picasso.logs import about
from picasso.runs import outcomes, worker
from picasso.runs.artifacts import Packed
from picasso.runs.asking import Asking, NotOpen
from picasso.runs.crew import Crew
from picasso.runs.fair_queue import FairQueue
from picasso.runs.jobs import make_job
from picasso.runs.leftovers import settle, take_over
from picasso.runs.pool import WorkerPool
from picasso.runs.questions import Question
from picasso.runs.rollout import Rollout
from picasso.runs.roster import Roster, Status
from picasso.runs.run import Run, State
from picasso.runs.store import Store
from picasso.visualizations.discovery import Registry

log = logging.getLogger(__name__)

BUSY_INTERVAL = 0.2  # seconds between two looks at the workers while something runs or the model loads
IDLE_INTERVAL = 2.0
CANCEL_GRACE = 8.0  # a cancelled run that has not stopped by then loses its worker process
TAKE_OVER_INTERVAL = 5.0  # seconds between two looks whether another server over the same data folder is gone


@dataclass
class Flight:
    """A run that a worker has. After `stopping` its outcome is of no interest any more."""

    run: Run
    future: Any
    worker: str
    started: float
    results: dict[int, Packed] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)
    told: tuple[float, str] = (0.0, "")  # progress as last written to the store
    enough: bool = False  # what it has is to be kept
    stopping: float | None = None
    killed: bool = False


class DaskEngine:
    """The engine for one machine or a cluster."""

    def __init__(self, config: Config, store: Store, registry: Registry) -> None:
        self.config = config
        self.store = store
        self.registry = registry
        self.pool = WorkerPool(config)
        self.roster = Roster(config)
        self.crew = Crew()
        self._rollout = Rollout(self.pool, self.roster)
        self._queue = FairQueue(store)
        self._flights: dict[str, Flight] = {}
        self._pids: dict[str, int] = {}
        self._asking = Asking(self.pool, self.roster)
        self._taken_over = time.monotonic()  # when it was last looked whether other servers are gone
        self._lock = threading.Lock()  # over _flights
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._draining = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)

    # What other threads call

    def start(self) -> None:
        """Begins to work, and takes over what servers left that are gone: queued runs of our models go on."""
        take_over(self.store, self.roster.catalogue)
        self._compare()
        self._thread.start()

    def wake(self) -> None:
        """Says that there is a new run in the store."""
        self._wake.set()

    def cancel(self, run: Run) -> bool:
        """Marks a run cancelled at once, and has its worker stop at its next checkpoint."""
        changed = self.store.change_run(
            run.id, (State.QUEUED, State.RUNNING), state=State.CANCELLED, finished=time.time(), message=""
        )
        with self._lock:
            if run.id in self._flights:
                self._flights[run.id].stopping = time.monotonic()
        self._wake.set()
        return changed

    def stop(self, run: Run) -> None:
        """Has a run's worker return what is there; the run is no one's answer any more, unless it ends in full."""
        self.store.change_run(run.id, (State.RUNNING,), key=None)
        with self._lock:
            if run.id in self._flights:
                self._flights[run.id].enough = True
        self._wake.set()

    def status(self, reference: str | None = None) -> Status:
        """How a model is; the default one unless named."""
        return self.roster.status(reference)

    def want(self, reference: str) -> None:
        """Has a model opened, because it was chosen."""
        self.roster.want(reference)
        self._wake.set()

    def reload(self, config: Config) -> None:
        """Begins to go over to another config; `roster.reload` says how it goes."""
        self.roster.begin_reload(config)
        self._wake.set()

    def plugins_changed(self) -> None:
        """Has the workers read visualizations in folders again; no run begins before they know."""
        self._rollout.plugins_changed()
        self._wake.set()

    def partial(self, run: str) -> list[Packed]:
        """Results of an unfinished run that are there already, without gaps from the first image on."""
        with self._lock:
            flight = self._flights.get(run)
            results = dict(flight.results) if flight else {}
        ordered = []
        for index in range(len(results)):
            if index not in results:
                break
            ordered.append(results[index])
        return ordered

    def ask(self, question: Question, png: Callable[[], bytes]) -> Any:
        """Has a worker answer; rather one that has no run."""
        with self._lock:
            taken = {flight.worker for flight in self._flights.values()}
        try:
            return self._asking.ask(question, png, taken)
        except NotOpen:
            self.want(question.model)
            raise

    def drain(self) -> None:
        """Leaves queued runs where they are; those under way go on."""
        self._draining.set()

    def close(self) -> None:
        """Ends the thread and the worker process."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)
        self.store.close()

    # The loop

    def _loop(self) -> None:
        try:
            while not self._closing.is_set():
                if not self.pool.connected() and not self._connect():
                    self._closing.wait(5)
                    continue
                steps = (
                    self._take_over,
                    self._compare,
                    self._tell_workers,
                    self._look,
                    self._finish_runs,
                    self._start_runs,
                    self._stop_runs,
                )
                went_well = [self._did(step) for step in steps]
                if not all(went_well):
                    self._closing.wait(1)
                busy = self._flights or self.roster.busy() or not self._rollout.plugins_known
                self._wake.wait(BUSY_INTERVAL if busy else IDLE_INTERVAL)
                self._wake.clear()
        finally:
            self._did(self._finish_runs)
            self._did(self._give_back_runs)
            self.pool.close()

    def _did(self, step: Callable[[], None]) -> bool:
        """Whether a step of a turn went well: a bad one ends neither the service nor the other steps."""
        try:
            step()
        except Exception as error:
            log.warning("The engine stumbled: %s", error, exc_info=no_space(error) is None)
            return False
        return True

    def _take_over(self) -> None:
        if time.monotonic() - self._taken_over > TAKE_OVER_INTERVAL:
            self._taken_over = time.monotonic()
            take_over(self.store, self.roster.catalogue)

    def _compare(self) -> None:
        """Makes the table and the workers agree: ends what only one of them has."""
        running = {run.id: run for run in self.store.running_runs()}
        for run in running.values():
            if run.id not in self._flights:
                settle(self.store, run)
        for flight in self._flights.values():
            if flight.run.id not in running and flight.stopping is None:  # another server cancelled or deleted it
                flight.stopping = time.monotonic()

    def _give_back_runs(self) -> None:
        """Queues all runs under way again, which are not to blame for that."""
        for flight in self._flights.values():
            if flight.stopping is None:
                self._queue_again(flight.run)
        with self._lock:
            self._flights.clear()

    def _connect(self) -> bool:
        """Starts the workers, or starts them anew; runs that were lost with them wait for that."""
        self._did(self._give_back_runs)
        self.pool.close()
        self._pids.clear()
        try:
            self._rollout.connect()
        except Exception as error:
            if self._closing.is_set():  # the process ends, and Dask with it
                return False
            full = no_space(error, f"Cannot start {self.pool.place}", TEMPORARY)
            log.warning("Cannot start %s: %s", self.pool.place, full or error, exc_info=full is None)
            sentence = f"Cannot connect to {self.pool.place}: {error}. Trying again; runs wait until it is there."
            self.roster.reached(full or ModelError(sentence))
            self.pool.close()
            return False
        self.roster.reached()
        return True

    def _tell_workers(self) -> None:
        """Sends the workers what has changed of config and plugins, and asks for models that were chosen."""
        self._rollout.proceed()
        for reference in self.roster.wanted():
            self.pool.ask(worker.want, reference)

    def _start_runs(self) -> None:
        if self._draining.is_set() or not self._rollout.plugins_known:
            return  # they would be of code that is not there any more
        taken = {flight.worker for flight in self._flights.values()}
        free = [address for address in self._pids if address not in taken]
        if not free:
            return
        for run, address in zip(self._queue.waiting(), free, strict=False):
            changed = self.store.change_run(
                run.id, (State.QUEUED,), state=State.RUNNING, started=time.time(), attempts=run.attempts + 1
            )
            if not changed:
                continue
            try:
                job = make_job(self.store, run)
            except NotFound as error:
                outcomes.fail(self.store, run, error)
                continue
            try:
                future = self.pool.submit(job, address, f"{run.id}-{secrets.token_hex(4)}")
            except Exception:
                self._queue_again(run)
                raise
            future.add_done_callback(lambda _: self._wake.set())
            self._queue.started(run)
            with self._lock:
                self._flights[run.id] = Flight(run, future, address, time.monotonic())

    def _look(self) -> None:
        """Asks all workers how they are; takes over progress and partial results; notices those that are gone."""
        alive = self.pool.workers()
        seen = {run: dict(flight.versions) for run, flight in self._flights.items()}
        answers = self.pool.ask(worker.snapshot, seen)
        snapshots = {address: answer for address, answer in answers.items() if answer is not None}
        pids = self._pids | {address: answer.pid for address, answer in snapshots.items()}
        self._pids = {address: pid for address, pid in pids.items() if address in alive}
        self._asking.hear(snapshots)
        self.crew.hear(alive, snapshots, {flight.worker: run for run, flight in self._flights.items()})
        self.roster.hear(list(snapshots.values()))
        for flight in self._flights.values():
            if flight.worker not in alive and not flight.future.done():
                flight.future.cancel()  # whether it is tried again is decided here, not by Dask
        for answer in snapshots.values():
            for run, news in answer.runs.items():
                if run in self._flights:
                    self._hear(self._flights[run], *news)

    def _hear(self, flight: Flight, fraction: float, message: str, results: dict[int, tuple[int, Packed]]) -> None:
        """Takes over what a worker says of a run."""
        with self._lock:
            for index, (version, packed) in results.items():
                flight.results[index] = packed
                flight.versions[index] = version
        if flight.told != (fraction, message):
            flight.told = (fraction, message)
            with if_there_is_room():
                self.store.change_run(flight.run.id, (State.RUNNING,), progress=fraction, message=message)

    def _stop_runs(self) -> None:
        """Tells workers of runs that are to end; ends the process of one that does not listen."""
        now = time.monotonic()
        for flight in list(self._flights.values()):
            if flight.stopping is None and now - flight.started > self.config.RUN_TIMEOUT_SECONDS:
                limit = self.config.RUN_TIMEOUT_SECONDS
                error = WorkerLost(f"This took longer than {limit:g} seconds and was ended.")
                outcomes.fail(self.store, flight.run, error)
                flight.stopping = now
            if flight.enough and not flight.future.done():
                self.pool.ask(worker.stop, flight.run.id)
            if flight.stopping is None or flight.future.done():
                continue
            self.pool.ask(worker.cancel, flight.run.id)
            if now - flight.stopping > CANCEL_GRACE and not flight.killed:
                flight.killed = True
                log.warning("Run does not stop: its worker process is started again", extra={"run": flight.run.id})
                if flight.worker in self._pids:
                    self.pool.end(flight.worker, self._pids[flight.worker])

    def _finish_runs(self) -> None:
        for run_id, flight in list(self._flights.items()):
            if not flight.future.done():
                continue
            if flight.stopping is None:
                with about(run=run_id):
                    self._take(flight)
            with self._lock:
                del self._flights[run_id]

    def _take(self, flight: Flight) -> None:
        """Takes over what a run came to; where that is nothing, its worker is gone."""
        try:
            outcome = flight.future.result(timeout=60)
        except Exception as error:  # KilledWorker, CancelledError, a lost connection
            self._lose(flight, error)
            return
        outcomes.finish(self.store, self.registry, flight.run, outcome, self.config.SESSION_MAX_BYTES)

    def _lose(self, flight: Flight, error: Exception) -> None:
        """A run whose worker is gone is given to one once more; one that lost its connection as often as need be."""
        if not self.pool.connected():
            self._queue_again(flight.run)
            return
        reason = self.pool.why_ended(flight.worker)
        log.warning("Run lost its worker: %s", reason or error)
        self._pids.pop(flight.worker, None)  # nothing is sent there until it answers again
        outcomes.lose_worker(self.store, flight.run, reason)
        self._wake.set()

    def _queue_again(self, run: Run) -> None:
        """This try does not count."""
        outcomes.queue_again(self.store, run, run.attempts)
        self._wake.set()
