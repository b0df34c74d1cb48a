"""Whether the event loop turns: others ask for how long it has not."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURN_S = 0.5


class Pulse:
    """Any thread may ask."""

    def __init__(self) -> None:
        self._turned_at = time.monotonic()

    @staticmethod
    @asynccontextmanager
    async def running() -> AsyncIterator["Pulse"]:
        """One that is felt until the block ends."""
        pulse = Pulse()
        task = asyncio.create_task(pulse._run())
        try:
            yield pulse
        finally:
            task.cancel()

    def silent_s(self) -> float:
        """Seconds since the loop's last turn that was seen."""
        return time.monotonic() - self._turned_at

    async def _run(self) -> None:
        while True:
            self._turned_at = time.monotonic()
            await asyncio.sleep(TURN_S)
