"""The items in hand: a thread keeps their claims alive, and knows which have been lost to others."""

from collections.abc import Iterable
from threading import Event, Lock, Thread
from typing import Protocol

import structlog

from agents.work_port import WorkPort
from backend.domain.ids import ItemId
from backend.domain.work import BEAT_S, ClaimedItem

STOP_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class Claim(Protocol):
    """An item and the fence that it was claimed with, as items, results and failures have them."""

    @property
    def item_id(self) -> ItemId:
        """The item."""
        ...

    @property
    def fence(self) -> int:
        """What its claim, and no other one, is known by."""
        ...


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

    def holds(self, claim: Claim) -> bool:
        """Whether the item is still ours by this claim, as far as we know: it may have been lost and claimed anew."""
        return self._fences.get(claim.item_id) == claim.fence

    def held(self) -> list[tuple[ItemId, int]]:
        """What is held now, with fences."""
        with self._lock:
            return list(self._fences.items())

    def let_go(self, claims: Iterable[Claim]) -> None:
        """Extend these no more; a newer claim on the same item is another."""
        with self._lock:
            for claim in claims:
                self._drop(claim.item_id, claim.fence)

    def _drop(self, item_id: ItemId, fence: int) -> bool:
        held = self._fences.get(item_id) == fence
        if held:
            del self._fences[item_id]
        return held

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
        with self._lock:  # what was committed meanwhile, and so let go of, is not lost, nor what was claimed anew
            lost = [item_id for item_id, fence in held if item_id not in ours and self._drop(item_id, fence)]
        if lost:
            log.warning("claims.lost", items=[str(item_id) for item_id in lost])
