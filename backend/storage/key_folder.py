"""Nodes' own halves of the keys that private orders are sealed to: a file each, its owner's alone to read."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from uuid import UUID

from backend.domain.ids import NodeId
from backend.domain.private_envelope import KEY_BYTES

_ENDING = ".key"


class KeyFolder:
    """Secret keys by node, a file of mode 0600 each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def secret(self, node_id: NodeId) -> bytes | None:
        """The node's secret key, if there is one."""
        try:
            secret = self._path(node_id).read_bytes()
        except FileNotFoundError:
            return None
        return secret if len(secret) == KEY_BYTES else None

    def nodes(self) -> list[NodeId]:
        """The nodes that there are keys of."""
        found: list[NodeId] = []
        for path in sorted(self._folder.glob(f"*{_ENDING}")):
            with suppress(ValueError):
                found.append(NodeId(UUID(path.stem)))
        return found

    def make(self, node_id: NodeId) -> bytes:
        """A fresh secret key for a node that has none; of several who do this at once, all get the same."""
        from backend.domain.private_sealing import KeyPair  # its library is slow to import

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(node_id)
        fresh = path.with_suffix(f".{token_hex(8)}")  # processes in containers have the same ids
        fresh.touch(mode=0o600)
        fresh.write_bytes(KeyPair.new().secret)
        try:
            os.link(fresh, path)  # whole, or not at all, and never over another's
        except FileExistsError:
            if self.secret(node_id) is None:  # a damaged one opens nothing
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        secret = self.secret(node_id)
        assert secret is not None, "it was written just now"
        return secret

    def forget(self, node_id: NodeId, secret: bytes) -> None:
        """Delete a key that nothing is sealed to any more, unless another has taken its place."""
        if self.secret(node_id) == secret:
            self._path(node_id).unlink(missing_ok=True)

    def _path(self, node_id: NodeId) -> Path:
        return self._folder / f"{node_id}{_ENDING}"
