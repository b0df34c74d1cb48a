"""The thread that says that an agent is alive, whatever its tick is busy with."""

from contextlib import suppress
from threading import Event, Thread
from typing import Protocol

import structlog

from backend import bootstrap
from backend.domain.ids import AgentId
from backend.domain.work import BEAT_S, AgentBeat, BeatAnswer

STOP_TIMEOUT_S = 2.0

log = structlog.get_logger(__name__)


class Registry(Protocol):
    """Where agents are known. Every method may raise when it is away."""

    def beat(self, beat: AgentBeat) -> BeatAnswer:
        """Give a sign of life; the first one registers the agent."""
        ...

    def stopped(self, agent_id: AgentId) -> None:
        """Say that the agent has ended on purpose."""
        ...


class Living(Protocol):
    """Whoever is to be known as alive. All of it is called in the heartbeat's thread."""

    def beat(self) -> AgentBeat:
        """The sign of life."""
        ...

    def registered(self) -> None:
        """The first sign of life has been recorded."""
        ...

    def drain(self) -> None:
        """The coordinator wants it to end."""
        ...


class Heartbeat:
    """Beats every `every_s` until stopped; outlives a registry that is away."""

    def __init__(self, registry: Registry, living: Living, every_s: float = BEAT_S) -> None:
        self._registry = registry
        self._living = living
        self._every_s = every_s
        self._stopping = Event()
        self._registered = False
        self._failing = False
        self._sign = bootstrap.settings().beat_file
        self._thread = Thread(target=self._keep_beating, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat now and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; a beat that hangs is left behind after STOP_TIMEOUT_S."""
        self._stopping.set()
        self._thread.join(STOP_TIMEOUT_S)

    def _keep_beating(self) -> None:
        while not self._stopping.is_set():
            self._beat_once()
            self._leave_sign()
            self._stopping.wait(self._every_s)

    def _leave_sign(self) -> None:
        """For whoever asks in this container: it was up once and still beats, whether or not anybody hears it."""
        if self._registered and self._sign is not None:
            with suppress(OSError):
                self._sign.touch()

    def _beat_once(self) -> None:
        try:
            answer = self._registry.beat(self._living.beat())
        except Exception as error:  # of any layer below: the agent must stay alive to beat again
            if not self._failing:
                log.warning("agent.beat_failed", error=repr(error))
            self._failing = True
            return
        if self._failing:
            log.info("agent.beat_recovered")
        self._failing = False
        if not self._registered:
            self._registered = True
            self._living.registered()
        if answer.drain:
            self._living.drain()
