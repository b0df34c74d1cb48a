"""The items in hand: a thread keeps their claims alive, and knows which have been lost to others."""

from collections.abc import Iterable
from threading import Event, Lock, Thread

import structlog

from agents.work_port import WorkPort
from backend.domain.ids import ItemId
from backend.domain.work import BEAT_S, ClaimedItem

STOP_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class ClaimKeeper:
    """Extends the claims of what is held every `every_s`."""

    def __init__(self, port: WorkPort, every_s: float = BEAT_S) -> None:
        self._port = port
        self._every_s = every_s
        self._fences: dict[ItemId, int] = {}
        self._lock = Lock()
        self._stopping = Event()
        self._thread = Thread(target=self._keep_extending, name="claims", daemon=True)

    def start(self) -> None:
        """Begin to extend."""
        self._thread.start()

    def stop(self) -> None:
        """Extend no more: what is still held lapses and runs elsewhere."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)

    def hold(self, items: Iterable[ClaimedItem]) -> None:
        """Extend the claims of these until each is let go of."""
        with self._lock:
            self._fences.update((item.item_id, item.fence) for item in items)

    def holds(self, item_id: ItemId) -> bool:
        """Whether the item is still ours, as far as we know."""
        return item_id in self._fences

    def held(self) -> list[tuple[ItemId, int]]:
        """What is held now, with fences."""
        with self._lock:
            return list(self._fences.items())

    def let_go(self, item_ids: Iterable[ItemId]) -> None:
        """Extend these no more."""
        with self._lock:
            for item_id in item_ids:
                self._fences.pop(item_id, None)

    def _keep_extending(self) -> None:
        while not self._stopping.wait(self._every_s):
            with self._lock:
                held = list(self._fences.items())
            if held:
                self._extend(held)

    def _extend(self, held: list[tuple[ItemId, int]]) -> None:
        try:
            ours = self._port.extend(held)
        except Exception as error:  # of any layer below; if it lasts the claims lapse, which is the truth then
            log.warning("claims.not_extended", items=len(held), error=repr(error))
            return
        lost = [item_id for item_id, _ in held if item_id not in ours]
        # Committed meanwhile, and so let go of, is not lost.
        lost = [item_id for item_id in lost if self.holds(item_id)]
        if lost:
            log.warning("claims.lost", items=[str(item_id) for item_id in lost])
            self.let_go(lost)
