"""A fit may take an hour, so it gets a thread of its own: requests to models go on beside it.

One unit's fits at a time. Another unit with fits waits for them, and what comes after it too: an agent keeps the claims
of few items that it does not run, since others of its pool could run them.
"""

from collections.abc import Callable
from contextvars import copy_context
from threading import Lock, Thread

import structlog

from agents.inference.runner import UnitReport, UnitRunner
from backend.domain.federated.tasks import is_local_task
from backend.domain.ids import UnitId
from backend.domain.work import ClaimedItem

log = structlog.get_logger(__name__)


class TrainingLane:
    """Runs units in the thread of whoever calls, as `requests` does; but for their fits, which `fits` runs."""

    def __init__(
        self, requests: UnitRunner, fits: UnitRunner, told: Callable[[UnitReport], None] = lambda _: None
    ) -> None:
        """`told` is called with what became of a unit's fits, in their thread."""
        self._requests = requests
        self._fits = fits
        self._told = told
        self._busy = Lock()

    @property
    def done(self) -> int:
        """Items that ran, well or not, and units that held nothing any more."""
        return self._requests.done + self._fits.done

    def run(self, unit_id: UnitId) -> UnitReport:
        """Claim what the unit still has, run its requests, and begin its fits; raises what `UnitRunner.run` does."""
        items = self._requests.claim(unit_id)
        fits = [item for item in items if is_local_task(item.inputs)]
        if not fits:
            return self._requests.run_items(unit_id, items)
        requests = [item for item in items if not is_local_task(item.inputs)]
        report = UnitReport(0, 0, 0)
        try:
            if requests:
                report = self._requests.run_items(unit_id, requests)
            self._begin(unit_id, fits)
        except BaseException:
            self._fits.let_go(fits)  # nobody runs them, so their claims are not to be kept either
            raise
        return UnitReport(len(items), report.committed, report.failed, len(fits), report.handed_back)

    def join(self, timeout_s: float) -> bool:
        """Whether no fit runs any more, waiting up to `timeout_s` for it."""
        ended = self._busy.acquire(timeout=timeout_s)
        if ended:
            self._busy.release()
        return ended

    def _begin(self, unit_id: UnitId, fits: list[ClaimedItem]) -> None:
        """Run these in a thread, when those before them have ended; their claims are kept until then."""
        self._busy.acquire()
        try:
            context = copy_context()  # the trace of the unit's message
            Thread(target=context.run, args=(self._run, unit_id, fits), name="fits", daemon=True).start()
        except BaseException:
            self._busy.release()
            raise

    def _run(self, unit_id: UnitId, fits: list[ClaimedItem]) -> None:
        try:
            self._told(self._fits.run_items(unit_id, fits))
        except Exception as error:  # of any layer below; the items lapse and run elsewhere
            log.warning("fits.failed", unit_id=str(unit_id), items=len(fits), error=repr(error))
        finally:
            self._busy.release()
