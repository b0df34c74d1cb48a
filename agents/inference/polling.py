"""Consumes the queue of a remote node by asking for units, where others have them pushed by a broker."""

from collections.abc import Callable, Sequence
from random import random
from threading import Event, Lock, Thread
from typing import Protocol

import structlog

from agents.inference.runner import UnitReport
from backend.domain.backoff import delay_s
from backend.domain.ids import UnitId

log = structlog.get_logger(__name__)


class Units(Protocol):
    """Where units come from."""

    def poll(self) -> Sequence[UnitId]:
        """Units to claim, perhaps after a long wait; may raise when the coordinator is away."""
        ...


class PollingConsumer:
    """Runs one unit at a time in its thread; what was polled for and not begun at a stop was never claimed."""

    def __init__(self, units: Units, run: Callable[[UnitId], UnitReport]) -> None:
        self._units = units
        self._run = run
        self._stopping = Event()
        self._running = Lock()
        self._thread = Thread(target=self._keep_polling, name="polling", daemon=True)

    def start(self) -> None:
        """Begin to ask; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no more units; returns at once. A question that is under way is not waited for."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Whether no unit runs any more, waiting up to `timeout_s` for it."""
        ended = self._running.acquire(timeout=timeout_s)
        if ended:
            self._running.release()
        return ended

    def _keep_polling(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                claimed = sum(self._run_unit(unit) for unit in self._units.poll())
            except Exception as error:  # of any layer below; the queue must be consumed again
                failures += 1
                log.warning("polling.failed", error=repr(error), failures=failures)
                self._stopping.wait(delay_s(failures, random()))
                continue
            # Units that yield nothing are another agent's, or not to be had yet: no reason to ask ever faster.
            failures = 0 if claimed else failures
            if not claimed:
                self._stopping.wait(delay_s(1, random()))

    def _run_unit(self, unit_id: UnitId) -> int:
        with self._running:
            if self._stopping.is_set():
                return 0
            return self._run(unit_id).claimed
