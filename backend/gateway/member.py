"""A server's sign of life: it is an agent, listed, judged and drained like the others."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import structlog

from backend.bootstrap import Swarmex, new_id, utc_now
from backend.domain.fleet import AgentKind
from backend.domain.ids import AgentId
from backend.domain.work import BEAT_S, AgentBeat
from backend.gateway.errors import code_of
from backend.services import fleet

log = structlog.get_logger(__name__)


class Member:
    """A thread that beats every BEAT_S; it outlives the coordinator's silence and asks to end when drained.

    `turned_s` tells for how long the server's loop has not turned, if it has one that could hang.
    """

    def __init__(
        self,
        market: Swarmex,
        kind: AgentKind,
        name: str,
        url: str,
        drain: Callable[[], None],
        turned_s: Callable[[], float] | None = None,
    ) -> None:
        self._market = market
        self._beat = AgentBeat(
            agent_id=AgentId(new_id()),
            kind=kind,
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            endpoint=url,
        )
        self._drain = drain
        self._turned_s = turned_s
        self._sign = market.settings.beat_file
        self._registered = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye; a coordinator that does not answer will notice the silence."""
        self._stopped.set()
        self._thread.join(BEAT_S)
        try:
            fleet.stopped(self._market.uow(), utc_now(), self._beat.agent_id)
        except Exception as error:
            log.warning("goodbye_unheard", code=code_of(error))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if fleet.beat(self._market.uow(), utc_now(), self._sign_of_life()).drain:
                    self._drain()
                self._registered = True
            except Exception as error:
                log.warning("beat_unheard", code=code_of(error))
            if self._registered and self._sign is not None:
                with suppress(OSError):
                    self._sign.touch()  # for whoever asks in this container whether it lives
            self._stopped.wait(BEAT_S)

    def _sign_of_life(self) -> AgentBeat:
        if self._turned_s is None:
            return self._beat
        return replace(self._beat, tick_age_ms=round(self._turned_s() * 1_000))
