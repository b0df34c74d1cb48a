"""So many requests at once through one place; who must wait for it is let in by urgency, whatever came before."""

import asyncio

from backend.domain.tiers import TierName
from backend.domain.urgency import Waiting


class Gate:
    """Made and used inside one event loop. How long somebody waits is bounded by whoever asks."""

    def __init__(self, places: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._free = places  # none while anybody waits
        self._waiting: Waiting[asyncio.Future[None]] = Waiting()

    def of(self, tier: TierName) -> "_Pass":
        """What a request of a tier enters and leaves."""
        return _Pass(self, tier)

    async def enter(self, tier: TierName) -> None:
        """Take a place, as soon as there is one for it; to be given back by `leave`, unless this is cancelled."""
        if self._free > 0:
            self._free -= 1
            return
        turn = self._loop.create_future()
        self._waiting.add(turn, tier, self._loop.time())
        try:
            await turn
        except asyncio.CancelledError:
            if not self._waiting.discard(turn) and not turn.cancelled():  # its turn came, and nobody passed it on
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back: to the most urgent of those who wait."""
        while (turn := self._waiting.first()) is not None:
            self._waiting.discard(turn)
            if not turn.done():  # else it was cancelled, and has not heard it yet
                turn.set_result(None)
                return
        self._free += 1


class _Pass:
    __slots__ = ("_gate", "_tier")

    def __init__(self, gate: Gate, tier: TierName) -> None:
        self._gate = gate
        self._tier = tier

    async def __aenter__(self) -> None:
        await self._gate.enter(self._tier)

    async def __aexit__(self, *_: object) -> None:
        self._gate.leave()
