"""Wake-up hints from the bus, handed to the event loop. Losing all of them costs milliseconds, nothing else."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from backend.domain.events import Event, Topic
from backend.messaging.ports import EventBus

WAIT_S = 1.0


class Hints:
    """A thread that waits on the bus and calls `heard` in the event loop that made it.

    After each connection it is called with an event of every topic, since any may have been missed.
    """

    def __init__(self, bus: EventBus, topics: Sequence[Topic], heard: Callable[[Sequence[Event]], None]) -> None:
        self._topics = topics
        self._subscription = bus.subscribe(topics, on_resync=self._missed)
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="hints", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stopped.is_set():
            self._tell(self._subscription.wait(WAIT_S))

    def _missed(self, _since: datetime) -> None:
        self._tell(tuple(Event(topic) for topic in self._topics))

    def _tell(self, events: Sequence[Event]) -> None:
        if events and not self._stopped.is_set():
            self._loop.call_soon_threadsafe(self._heard, events)

    async def close(self) -> None:
        """Stop listening; returns when the thread has ended."""
        self._stopped.set()
        await asyncio.to_thread(self._subscription.close)
        await asyncio.to_thread(self._thread.join, WAIT_S)
