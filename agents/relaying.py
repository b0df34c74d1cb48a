"""Hands units to the broker in a thread of its own: none waits until a settlement that goes on beside it is over."""

from datetime import datetime
from threading import Event, Thread

from agents.chores import Chore
from agents.looking import IDLE_S, keep_looking
from backend.bootstrap import Swarmex
from backend.domain.events import Topic
from backend.messaging.dispatcher import BREAKER_POLICY, Dispatcher
from backend.services import relay

STOP_TIMEOUT_S = 5.0


class Relaying:
    """Started and stopped with its agent; replicas share what is owed row by row."""

    def __init__(self, app: Swarmex) -> None:
        self._app = app
        # Not shared, as the bus's: over Redis, nobody can be told that Redis is away.
        queues = app.breakers.get("queues", "redis", BREAKER_POLICY, shared=False)
        self._dispatcher = Dispatcher(app.redis_url, queues)
        self._stopping = Event()
        self._thread = Thread(target=self._keep_sending, name="relay", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End within STOP_TIMEOUT_S, with what is owed by then sent or left to others."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)
        self._dispatcher.close()

    def send(self, now: datetime) -> bool:
        """Send a batch of what is owed; returns whether there was any."""
        return relay.relay(self._app.uow(), now, self._dispatcher.send) > 0

    def _keep_sending(self) -> None:
        # Tried as often as the breaker lets anything through: work waits for the queues to come back, for nothing else.
        chore = Chore("relay", self.send, retry_max_s=BREAKER_POLICY.recovery_s)
        # Whoever owes something says so: a unit waits for nothing else, and is not due again before.
        keep_looking(self._app, chore, [Topic.UNITS_READY], self._stopping, soon_s=IDLE_S)
