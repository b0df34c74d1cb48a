"""Results and failures on their way to the coordinator, sent in groups of bounded size and age."""

import time
from collections.abc import Callable, Sequence
from time import monotonic

import structlog

from agents.engines.base import NothingRun
from agents.inference import sparing
from agents.inference.claims import ClaimKeeper
from agents.inference.sparing import Spared
from agents.work_port import WorkPort
from backend.domain.backoff import delay_s
from backend.domain.ids import ItemId
from backend.domain.work import ERROR_CHARS_MAX, ClaimedItem, ItemFailure, ItemResult

COMMIT_ITEMS_MAX = 500  # a whole unit of quick items: each commit costs a few milliseconds, whatever is in it
COMMIT_BYTES_MAX = 4 << 20
COMMIT_EVERY_S = 0.25
ATTEMPTS_MAX = 4  # about a second in all: a claim lapses after CLAIM_S, and the item then runs elsewhere

log = structlog.get_logger(__name__)


class Outcomes:
    """Collects what became of items; used by one thread, for one unit at a time."""

    def __init__(self, port: WorkPort, claims: ClaimKeeper, spared: Spared) -> None:
        self._port = port
        self._claims = claims
        self._spared = spared
        self._results: list[ItemResult] = []
        self._failures: list[ItemFailure] = []
        self._unrun: list[ClaimedItem] = []
        self._unrun_for = ""  # why, of the last of them
        self._bytes = 0
        self._sent_at = monotonic()
        self.committed = 0
        self.failed = 0
        self.handed_back = 0

    def done(self, result: ItemResult) -> None:
        """An item that ran; sent now if the group is full or old."""
        self._results.append(result)
        self._bytes += len(result.outputs)
        self._send_if_due()

    def failed_with(self, item: ClaimedItem, error: Exception) -> None:
        """An item that did not run; for NothingRun it is spared the attempt, as long as it may be."""
        if isinstance(error, NothingRun) and self._spared.may_be(item.item_id):
            self._unrun.append(item)
            self._unrun_for = repr(error)
        else:
            log.warning("item.failed", item_id=str(item.item_id), attempt=item.attempt, error=repr(error))
            self._failures.append(ItemFailure(item.item_id, item.fence, str(error)[:ERROR_CHARS_MAX]))
        self._send_if_due()

    def send(self) -> None:
        """Send what is left; raises what the port raised last when it stays away."""
        results = [result for result in self._results if self._claims.holds(result)]
        failures = [failure for failure in self._failures if self._claims.holds(failure)]
        unrun = [item for item in self._unrun if self._claims.holds(item)]
        self._results, self._failures, self._unrun, self._bytes = [], [], [], 0
        self._sent_at = monotonic()
        if results:
            self.committed += len(_insist(lambda: self._port.commit(results)))
            self._over(results)
        if failures:
            self.failed += len(_insist(lambda: self._port.fail(failures)))
            self._over(failures)
        if unrun:
            self._hand_back(unrun)

    def _over(self, claims: Sequence[ItemResult] | Sequence[ItemFailure]) -> None:
        self._claims.let_go(claims)
        self._spared.forget(claim.item_id for claim in claims)

    def _hand_back(self, items: Sequence[ClaimedItem]) -> None:
        time.sleep(sparing.AWAY_S)
        released = _insist(lambda: self._port.release([(item.item_id, item.fence) for item in items]))
        self._spared.count(released)
        self._claims.let_go(items)
        self.handed_back += len(released)
        nodes = sorted({str(item.node_id) for item in items})
        log.warning("items.handed_back", items=len(released), nodes=nodes, error=self._unrun_for)

    def _send_if_due(self) -> None:
        count = len(self._results) + len(self._failures) + len(self._unrun)
        full = count >= COMMIT_ITEMS_MAX or self._bytes >= COMMIT_BYTES_MAX
        if full or monotonic() - self._sent_at >= COMMIT_EVERY_S:
            self.send()


def _insist(call: Callable[[], set[ItemId]]) -> set[ItemId]:
    """The answer of `call`, tried a few times; repeating it is safe, since fences make it idempotent."""
    for attempt in range(1, ATTEMPTS_MAX):
        try:
            return call()
        except Exception as error:  # of any layer below
            log.warning("work.not_sent", attempt=attempt, error=repr(error))
            time.sleep(delay_s(attempt, 0.0))
    return call()
