"""So many requests at once through one place; who must wait for it is let in by urgency, whatever came before."""

import asyncio

from backend.domain.tiers import TierName
from backend.domain.urgency import Waiting
from backend.gateway.admission import Held


class Gate:
    """Made and used inside one event loop. How long somebody waits is bounded by whoever asks."""

    def __init__(self, places: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._free = places  # none while anybody waits
        self._waiting: Waiting[asyncio.Future[None]] = Waiting()
        self._held = Held(self.leave)

    async def place(self, tier: TierName) -> Held:
        """A place for the length of a block, as soon as there is one for a request of this tier."""
        if self._free > 0:
            self._free -= 1
            return self._held
        turn = self._loop.create_future()
        self._waiting.add(turn, tier, self._loop.time())
        try:
            await turn
        except asyncio.CancelledError:
            if not self._waiting.discard(turn) and not turn.cancelled():  # its turn came, and nobody passed it on
                self.leave()
            raise
        return self._held

    def leave(self) -> None:
        """Give a place back: to the most urgent of those who wait."""
        while (turn := self._waiting.first()) is not None:
            self._waiting.discard(turn)
            if not turn.done():  # else it was cancelled, and has not heard it yet
                turn.set_result(None)
                return
        self._free += 1
