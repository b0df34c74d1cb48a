"""Nodes that are an inference server of somebody else's."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from backend.domain.external_nodes import ServerState
from backend.domain.ids import AccountId, ModelId, NodeId
from backend.storage.rows import insert_rows
from backend.storage.tables import NodeModelRow

_COLUMNS = """
    n.id, n.account_id, n.name, n.queue, n.slots, x.url, x.credential, x.public_only, x.state, x.told, x.checked_at,
    ARRAY(SELECT m.name || ' ' || m.version FROM node_models s JOIN models m ON m.id = s.model_id
          WHERE s.node_id = n.id ORDER BY m.name, m.version) AS models
"""
_SERVERS = f"SELECT {_COLUMNS} FROM external_nodes x JOIN nodes n ON n.id = x.node_id"


@dataclass(frozen=True, slots=True)
class ExternalServer:
    """A server that stands for a node; `models` are those that it was seen to serve, as in `digits 1`."""

    node_id: NodeId
    account_id: AccountId
    name: str
    queue: str
    slots: int
    url: str
    credential: str | None = field(repr=False)
    public_only: bool
    state: ServerState = ServerState.NEW
    told: str | None = None
    checked_at: datetime | None = None
    models: tuple[str, ...] = ()


class ExternalNodeRepository:
    """Servers, and what was seen of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, node_id: NodeId, url: str, credential: str | None, *, public_only: bool, now: datetime) -> None:
        """Let a node be a server from now on."""
        self._connection.execute(text("UPDATE nodes SET external = true WHERE id = :id"), {"id": node_id})
        self._connection.execute(
            text(
                "INSERT INTO external_nodes (node_id, url, credential, public_only, added_at)"
                " VALUES (:id, :url, :credential, :public_only, :now)"
            ),
            {"id": node_id, "url": url, "credential": credential, "public_only": public_only, "now": now},
        )

    def lock_count(self) -> int:
        """How many there are; whoever adds another waits until the transaction ends."""
        self._connection.execute(text("LOCK TABLE external_nodes IN SHARE ROW EXCLUSIVE MODE"))
        return int(self._connection.execute(text("SELECT count(*) FROM external_nodes")).scalar_one())

    def remove(self, node_id: NodeId) -> bool:
        """Forget a node's server and its models; False if it has none."""
        gone = self._connection.execute(text("DELETE FROM external_nodes WHERE node_id = :id"), {"id": node_id})
        self._connection.execute(text("DELETE FROM node_models WHERE node_id = :id"), {"id": node_id})
        return gone.rowcount > 0

    def was_one(self, node_id: NodeId) -> bool:
        """Whether a node is, or was, a server of somebody else's."""
        return bool(
            self._connection.execute(text("SELECT external FROM nodes WHERE id = :id"), {"id": node_id}).scalar_one()
        )

    def find(self, node_id: NodeId) -> ExternalServer | None:
        """The server of a node, if it has one."""
        row = self._connection.execute(text(f"{_SERVERS} WHERE x.node_id = :id"), {"id": node_id}).one_or_none()
        return _server(row) if row else None

    def owned_by(self, account: AccountId | None) -> list[ExternalServer]:
        """The servers of an account, or all, by name."""
        where = "WHERE n.account_id = :account" if account else ""
        rows = self._connection.execute(
            text(f"{_SERVERS} {where} ORDER BY n.name, n.id"), {"account": account} if account else {}
        )
        return [_server(row) for row in rows]

    def saw(self, node_id: NodeId, state: ServerState, told: str | None, now: datetime) -> None:
        """Note how a server was found."""
        self._connection.execute(
            text("UPDATE external_nodes SET state = :state, told = :told, checked_at = :now WHERE node_id = :id"),
            {"id": node_id, "state": state, "told": told, "now": now},
        )

    def serves(self, node_id: NodeId, models: Collection[ModelId], now: datetime) -> bool:
        """Note which models a node serves, and no others; whether that is another set than before."""
        gone = self._connection.execute(
            text("DELETE FROM node_models WHERE node_id = :id AND NOT model_id = ANY(:models)"),
            {"id": node_id, "models": list(models)},
        ).rowcount
        before = self._connection.execute(
            text("SELECT count(*) FROM node_models WHERE node_id = :id"), {"id": node_id}
        ).scalar_one()
        insert_rows(
            self._connection,
            NodeModelRow,
            [{"node_id": node_id, "model_id": model, "used_at": now} for model in sorted(models)],
            "ON CONFLICT (node_id, model_id) DO UPDATE SET used_at = excluded.used_at",
        )
        return gone > 0 or before != len(models)


def _server(row: Any) -> ExternalServer:
    node_id, account, name, queue, slots, url, credential, public_only, state, told, checked_at, models = row
    return ExternalServer(
        node_id,
        account,
        name,
        queue,
        slots,
        url,
        credential,
        public_only,
        ServerState(state),
        told,
        checked_at,
        tuple(models),
    )
