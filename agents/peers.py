"""Model files from nodes of the region that have them: near, and not the object store's load.

A peer is believed by the checksum only. One that gives other bytes is not asked again for LIAR_S, one that does not
answer for AWAY_S. Nothing that peers do is an error: the object store is asked next.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

import structlog

from backend.domain.ids import ModelId
from backend.domain.peers import PEERS_MAX, Peer
from backend.domain.work import ModelRef

LIAR_S = 600.0
AWAY_S = 30.0
AVOIDED_MAX = 1_000

log = structlog.get_logger(__name__)


class PeerLied(Exception):
    """Other bytes than the model's."""


class PeerAway(Exception):
    """No answer, or not all of it in time."""


class PeerRefused(Exception):
    """It has no such file, or no place for us now."""


class PeerFiles:
    """Asks peers for files; safe for several threads."""

    def __init__(self, find: Callable[[ModelId], Sequence[Peer]], clock: Callable[[], float] = time.monotonic) -> None:
        self._find = find
        self._clock = clock
        self._avoided: dict[str, float] = {}
        self._lock = Lock()

    def fetch(self, model: ModelRef, path: Path, bytes_max: int) -> bool:
        """Whether `path` now holds the file of `model`, from a peer and verified; if not, it may hold anything."""
        for peer in self._peers(model):
            from agents.peer_download import download  # its HTTP client is slow to import, and often not needed

            try:
                download(peer, model.checksum, path, bytes_max)
            except PeerLied as error:
                log.error("peer.lied", endpoint=peer.endpoint, checksum=model.checksum, error=str(error))
                self._avoid(peer, LIAR_S)
            except PeerAway as error:
                log.warning("peer.away", endpoint=peer.endpoint, error=str(error))
                self._avoid(peer, AWAY_S)
            except PeerRefused as error:
                log.info("peer.refused", endpoint=peer.endpoint, error=str(error))
            else:
                return True
        return False

    def _peers(self, model: ModelRef) -> list[Peer]:
        try:
            found = self._find(model.model_id)[:PEERS_MAX]
        except Exception as error:  # of any layer below; the object store needs nobody's advice
            log.warning("peers.unknown", error=repr(error))
            return []
        now = self._clock()
        with self._lock:
            self._avoided = {endpoint: until for endpoint, until in self._avoided.items() if until > now}
            return [peer for peer in found if peer.endpoint not in self._avoided]

    def _avoid(self, peer: Peer, for_s: float) -> None:
        with self._lock:
            self._avoided[peer.endpoint] = self._clock() + for_s
            while len(self._avoided) > AVOIDED_MAX:
                del self._avoided[next(iter(self._avoided))]
