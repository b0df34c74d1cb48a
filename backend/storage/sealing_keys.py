"""Keys of nodes that private orders are sealed to, from their registration to their end."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.ids import AccountId, AgentId, NodeId, SealingKeyId
from backend.domain.sealing_keys import PRESENT_FOR, HeldKey, KeyStanding, KeyState, SealingKey
from backend.storage.node_sealing import NODE_SEALING, held_binds, standing_of
from backend.storage.nodes import ALIVE, alive_since
from backend.storage.rows import update_rows
from backend.storage.tables import SealingKeyRow

_KEYS = """
    SELECT k.id, k.node_id, n.name, n.account_id, n.resource_class, n.region, k.public, k.state, k.created_at,
           k.seen_at, k.proven_at, k.verified_at, k.ended_at
    FROM sealing_keys k JOIN nodes n ON n.id = k.node_id
"""
_STATE = list(SealingKey.__dataclass_fields__).index("state")


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a key must open to be proven, sealed, and the SHA-256 of the answer."""

    id: SealingKeyId
    challenge: bytes
    answer_digest: bytes


class SealingKeyRepository:
    """Keys; which orders are sealed to them is `PrivateOrderRepository`'s."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def show(self, agent_id: AgentId, held: Sequence[HeldKey]) -> list[KeyStanding]:
        """Record what an agent has of its nodes' keys; what the market knows of each, none of another agent's nodes."""
        return [standing_of(row) for row in self._connection.exec_driver_sql(NODE_SEALING, held_binds(agent_id, held))]

    def find(self, key_id: SealingKeyId, *, for_update: bool = False) -> SealingKey | None:
        """The key of that id."""
        lock = "FOR UPDATE OF k" if for_update else ""
        found = self._select(f"WHERE k.id = :id {lock}", id=key_id)
        return found[0] if found else None

    def known(self, ids: Collection[SealingKeyId]) -> dict[SealingKeyId, SealingKey]:
        """Those of these keys that there are."""
        return {key.id: key for key in self._select("WHERE k.id = ANY(:ids)", ids=list(ids))}

    def of_account(
        self, account: AccountId | None, node: NodeId | None, *, ended: bool, limit: int
    ) -> list[SealingKey]:
        """Keys of an account's nodes, or of everybody's, by node, the newest first; without those that have ended."""
        return self._select(
            "WHERE (CAST(:account AS uuid) IS NULL OR n.account_id = :account)"
            " AND (CAST(:node AS uuid) IS NULL OR k.node_id = :node)"
            " AND (:ended OR k.ended_at IS NULL) ORDER BY n.name, k.node_id, k.id DESC LIMIT :limit",
            account=account,
            node=node,
            ended=ended,
            limit=limit,
        )

    def serving(self, classes: Collection[str], region: str | None, now: datetime, limit: int) -> list[SealingKey]:
        """Verified keys of living nodes with an open offer whose agent showed lately that it has the key."""
        return self._select(
            f"WHERE k.state = 'verified' AND k.seen_at > :present_since AND n.state = 'active' AND {ALIVE}"
            " AND n.resource_class = ANY(:classes) AND (CAST(:region AS text) IS NULL OR n.region = :region)"
            " AND EXISTS (SELECT FROM offers o WHERE o.node_id = n.id AND o.state = 'open') ORDER BY n.name, k.id"
            " LIMIT :limit",
            classes=list(classes),
            region=region,
            present_since=now - PRESENT_FOR,
            alive_since=alive_since(now),
            limit=limit,
        )

    def lock_unchallenged(self, before: datetime, limit: int) -> list[tuple[SealingKeyId, bytes]]:
        """Registered keys without a challenge since `before`, with their public halves, locked."""
        rows = self._connection.execute(
            text(
                "SELECT id, public FROM sealing_keys WHERE state = 'registered'"
                " AND (challenged_at IS NULL OR challenged_at < :before) ORDER BY id LIMIT :limit"
                " FOR UPDATE SKIP LOCKED"
            ),
            {"before": before, "limit": limit},
        )
        return [(row.id, row.public) for row in rows]

    def challenge(self, challenges: Sequence[Challenge], now: datetime) -> None:
        """Let agents prove that they have these keys."""
        rows: list[Mapping[str, Any]] = [
            {"id": c.id, "challenge": c.challenge, "answer_digest": c.answer_digest, "challenged_at": now}
            for c in challenges
        ]
        update_rows(self._connection, SealingKeyRow, rows)

    def verify(self, key: SealingKey, now: datetime) -> list[SealingKeyId]:
        """Let a key serve; the one that served until now is replaced, and told."""
        replaced = self._connection.execute(
            text(
                "UPDATE sealing_keys SET state = 'replaced', ended_at = :now"
                " WHERE node_id = :node AND state = 'verified' RETURNING id"
            ),
            {"node": key.node_id, "now": now},
        )
        found = [SealingKeyId(row.id) for row in replaced]
        self._connection.execute(
            text("UPDATE sealing_keys SET state = 'verified', verified_at = :now WHERE id = :id"),
            {"id": key.id, "now": now},
        )
        return found

    def revoke(self, ids: Collection[SealingKeyId], now: datetime) -> int:
        """Let keys serve nothing any more; how many did or could have."""
        return self._connection.execute(
            text(
                "UPDATE sealing_keys SET state = 'revoked', ended_at = :now, challenge = NULL, answer_digest = NULL"
                " WHERE id = ANY(:ids) AND state NOT IN ('replaced', 'revoked')"
            ),
            {"ids": list(ids), "now": now},
        ).rowcount

    def _select(self, rest: str, **binds: object) -> list[SealingKey]:
        rows: Any = self._connection.execute(text(f"{_KEYS} {rest}"), binds)
        found: list[list[Any]] = [list(row) for row in rows]
        for key in found:
            key[_STATE] = KeyState(key[_STATE])
        return [SealingKey(*key) for key in found]
