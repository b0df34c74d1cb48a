"""Join tokens and the keys of remote nodes, by the digests of their secrets."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text, update

from backend.domain.ids import AccountId, KeyId, NodeId
from backend.domain.joining import Hardware, NodePrincipal
from backend.storage.rows import insert_rows, values_of
from backend.storage.tables import JoinTokenRow, NodeKeyRow, NodeRow

_COLUMNS = "id, account_id, name, resource_class, region, slots_max, created_at, expires_at, used_at, node_id"


@dataclass(frozen=True, slots=True)
class JoinToken:
    """What a token lets a machine become, and whether one has."""

    id: UUID
    account_id: AccountId
    name: str | None
    resource_class: str
    region: str
    slots_max: int
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    node_id: NodeId | None = None


class JoiningRepository:
    """Secrets are compared by their digests, in an index: who measures that learns nothing of a secret."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_token(self, token: JoinToken, digest: bytes) -> None:
        """Record a new token."""
        insert_rows(self._connection, JoinTokenRow, [{**values_of(token), "digest": digest}])

    def lock_open(self, account_id: AccountId, now: datetime) -> int:
        """How many tokens of an account are open; its row stays locked, so that two makers take turns.

        Those that expired unused are forgotten.
        """
        self._connection.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR UPDATE"), {"id": account_id})
        self._connection.execute(
            text("DELETE FROM join_tokens WHERE account_id = :id AND used_at IS NULL AND expires_at <= :now"),
            {"id": account_id, "now": now},
        )
        return int(
            self._connection.execute(
                text("SELECT count(*) FROM join_tokens WHERE account_id = :id AND used_at IS NULL"), {"id": account_id}
            ).scalar_one()
        )

    def open_tokens(self, account_id: AccountId | None, now: datetime) -> list[JoinToken]:
        """Tokens of an account, or of everybody, that can still be used; oldest first."""
        return self._tokens(
            "SELECT {} FROM join_tokens WHERE used_at IS NULL AND expires_at > :now"
            " AND (CAST(:account AS uuid) IS NULL OR account_id = :account) ORDER BY id",
            account=account_id,
            now=now,
        )

    def find_token(self, token_id: UUID) -> JoinToken | None:
        """A token that was not used, locked until the transaction ends: nobody uses it meanwhile."""
        found = self._tokens("SELECT {} FROM join_tokens WHERE id = :id AND used_at IS NULL FOR UPDATE", id=token_id)
        return found[0] if found else None

    def forget_token(self, token_id: UUID) -> None:
        """Let a token open nothing any more."""
        self._connection.execute(text("DELETE FROM join_tokens WHERE id = :id"), {"id": token_id})

    def spend(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Use the token with this digest up; None if there is none that is open. Of two at once, one gets it."""
        found = self._tokens(
            "UPDATE join_tokens SET used_at = :now"
            " WHERE digest = :digest AND used_at IS NULL AND expires_at > :now RETURNING {}",
            digest=digest,
            now=now,
        )
        return found[0] if found else None

    def became(self, token_id: UUID, node_id: NodeId) -> None:
        """Remember which node a token was used for."""
        self._connection.execute(
            text("UPDATE join_tokens SET node_id = :node WHERE id = :id"), {"id": token_id, "node": node_id}
        )

    def add_key(self, key_id: KeyId, node_id: NodeId, digest: bytes, now: datetime) -> None:
        """Record a new key of a node."""
        row = {"id": key_id, "node_id": node_id, "digest": digest, "created_at": now, "revoked_at": None}
        insert_rows(self._connection, NodeKeyRow, [row])

    def node_of_key(self, digest: bytes) -> NodePrincipal | None:
        """The node that the secret with this digest speaks for, unless revoked."""
        row = self._connection.execute(
            text(
                "SELECT k.id, n.account_id, n.id, n.queue FROM node_keys k JOIN nodes n ON n.id = k.node_id"
                " WHERE k.digest = :digest AND k.revoked_at IS NULL"
            ),
            {"digest": digest},
        ).one_or_none()
        return NodePrincipal(*row) if row else None

    def revoke_keys(self, node_id: NodeId, now: datetime) -> int:
        """End the keys of a node; returns how many there were."""
        return self._connection.execute(
            text("UPDATE node_keys SET revoked_at = :now WHERE node_id = :node AND revoked_at IS NULL"),
            {"node": node_id, "now": now},
        ).rowcount

    def set_hardware(self, node_id: NodeId, found: Hardware) -> None:
        """What a node has from now on."""
        self._connection.execute(update(NodeRow).where(NodeRow.id == node_id).values(**values_of(found)))

    def _tokens(self, statement: str, **binds: object) -> list[JoinToken]:
        rows: Any = self._connection.execute(text(statement.format(_COLUMNS)), binds)
        return [JoinToken(*row) for row in rows]
