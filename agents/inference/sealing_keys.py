"""The keys of the agent's nodes that private orders are sealed to: made when first needed, shown to the market, proven.

One for each node that the agent serves; agents that share a folder share its keys. A key that the market has ended is
replaced by a fresh one, which nobody has verified.
"""

from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Protocol

import structlog

from backend.domain.sealing_keys import SHOWN_EVERY_S, HeldKey, KeyStanding, KeyState, fingerprint
from backend.storage.key_folder import KeyFolder

log = structlog.get_logger(__name__)


class KeyPort(Protocol):
    """The market, as far as keys go; may raise when it is away."""

    def show_keys(self, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Say what we have; how the key of each node that we serve stands, and the challenges to answer."""
        ...


class KeyRing:
    """Shows the market which keys the agent has, and proves them; used by one thread."""

    def __init__(self, port: KeyPort, folder: KeyFolder, every_s: float = SHOWN_EVERY_S) -> None:
        self._port = port
        self.folder = folder
        self._every_s = every_s
        self._shown_at_s = -every_s
        self._standings: list[KeyStanding] | None = None  # None: nobody said yet which nodes there are

    def refresh(self) -> None:
        """Show the keys unless that was done a moment ago; raises what the port raises.

        Where they cannot be kept, the agent goes on without: private orders are then not for it.
        """
        if monotonic() - self._shown_at_s < self._every_s:
            return
        try:
            self._show()
        except OSError as error:
            log.warning("sealing_key.not_kept", error=repr(error))
        self._shown_at_s = monotonic()

    def _show(self) -> None:
        # Until all is said: which nodes there are, what their keys are, that we have them.
        for _ in range(3):
            before = self._standings
            self._standings = self._port.show_keys([self._held(one) for one in before or ()])
            if not any(self._has_more_to_say(one) for one in self._standings):
                break

    def _held(self, standing: KeyStanding) -> HeldKey:
        from backend.domain.private_sealing import CannotOpen, KeyPair, open_with

        secret = self.folder.secret(standing.node_id)
        if secret is not None and standing.state in (KeyState.REPLACED, KeyState.REVOKED):
            self.folder.forget(standing.node_id, secret)
            log.warning("sealing_key.ended", node_id=str(standing.node_id), state=standing.state)
            secret = None
        if secret is None:
            secret = self.folder.make(standing.node_id)
            shown = fingerprint(KeyPair.of(secret).public)
            log.info("sealing_key.made", node_id=str(standing.node_id), fingerprint=shown)
        answer = None
        if standing.challenge is not None:
            with suppress(CannotOpen):  # it was for a key that we had before
                answer = open_with(secret, standing.challenge)
        return HeldKey(standing.node_id, KeyPair.of(secret).public, answer)

    def _has_more_to_say(self, standing: KeyStanding) -> bool:
        return standing.state in (None, KeyState.REPLACED, KeyState.REVOKED) or standing.challenge is not None
