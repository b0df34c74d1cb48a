"""Nodes, their offers, and the slots that are left on them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, text, update
from sqlalchemy.dialects.postgresql import insert

from backend.domain.auctions import Ask
from backend.domain.ids import AccountId, ModelId, NodeId, OfferId
from backend.domain.joining import POLLED, REMOTE
from backend.domain.machines import TRUST_NEW_PPM, Machine
from backend.domain.nodes import NodeState, OfferState
from backend.domain.pricing import Market
from backend.domain.work import AGENT_LOST_S
from backend.storage.tables import NodeRow, OfferRow

MODEL_CACHED = timedelta(minutes=10)  # for so long after a lease a node is likely to have the model's file still

# A node is alive while some agent that serves its queue is up and has beaten lately; `n` is the node.
ALIVE = "EXISTS (SELECT 1 FROM agents a WHERE a.queue = n.queue AND a.state = 'up' AND a.beat_at > :alive_since)"
# Where a gateway reaches it, if it is alive: the server of one of its agents, or the mailbox that they poll.
WAY = f"""
    LEFT JOIN LATERAL (
        SELECT coalesce(a.endpoint, '{POLLED}' || n.id) AS endpoint, coalesce(a.token, 'none') AS token FROM agents a
        WHERE a.queue = n.queue AND a.state = 'up' AND a.beat_at > :alive_since
        AND (a.endpoint IS NOT NULL OR starts_with(n.queue, '{REMOTE}')) ORDER BY a.id LIMIT 1
    ) a ON {ALIVE}
"""
# Who drains still finishes what it has, so that work stays with it; new work is for the living only.
NOT_LEFT = ALIVE.replace("a.state = 'up'", "a.state IN ('up', 'draining')")


def alive_since(now: datetime) -> datetime:
    """The oldest sign of life that still counts at `now`."""
    return now - timedelta(seconds=AGENT_LOST_S)


@dataclass(frozen=True, slots=True)
class Node:
    """A provider's machine as it is now; the ask is its open offer's, if it has one."""

    id: NodeId
    account_id: AccountId
    name: str
    resource_class: str
    region: str
    slots: int
    busy_slots: int
    state: NodeState
    queue: str
    alive: bool
    ask_nano_per_slot_s: int | None
    cores: int = 1
    memory_mb: int = 1_024
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    accelerators: int = 0
    residency: str | None = None
    latency_ms: int = 0
    trust_ppm: int = TRUST_NEW_PPM


# In the order of Machine's fields, after its id, slots and busy slots.
HARDWARE = "n.cores, n.memory_mb, n.gpu_model, n.gpu_memory_mb, n.accelerators, n.residency, n.latency_ms, n.trust_ppm"
_HARDWARE_FIELDS = tuple(column.removeprefix("n.") for column in HARDWARE.split(", "))
_NODES = f"""
    SELECT n.id, n.account_id, n.name, n.resource_class, n.region, n.slots, n.busy_slots, n.state, n.queue,
           {ALIVE} AS alive, o.ask_nano_per_slot_s, {HARDWARE}
    FROM nodes n LEFT JOIN offers o ON o.node_id = n.id AND o.state = 'open'
"""


class NodeRepository:
    """Machines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, node: Node, now: datetime) -> bool:
        """Record a new node; False, and nothing, if its account has one of that name."""
        added = self._connection.execute(
            insert(NodeRow)
            .values(
                id=node.id,
                account_id=node.account_id,
                name=node.name,
                resource_class=node.resource_class,
                region=node.region,
                slots=node.slots,
                state=node.state,
                queue=node.queue,
                created_at=now,
                **{name: getattr(node, name) for name in _HARDWARE_FIELDS},
            )
            .on_conflict_do_nothing(index_elements=[NodeRow.account_id, NodeRow.name])
            .returning(NodeRow.id)
        )
        return added.one_or_none() is not None

    def find(self, node_id: NodeId, now: datetime) -> Node | None:
        """The node of that id."""
        return self._one("n.id = :id", {"id": node_id}, now)

    def owned_by(self, account: AccountId | None, now: datetime) -> list[Node]:
        """The nodes of an account, or all, by market and name."""
        where = "WHERE n.account_id = :account" if account else ""
        rows = self._connection.execute(
            text(f"{_NODES} {where} ORDER BY n.resource_class, n.region, n.name"),
            {"alive_since": alive_since(now), **({"account": account} if account else {})},
        )
        return [_node(row) for row in rows]

    def on_sale(self, now: datetime) -> dict[Market, list[Machine]]:
        """Every living node with an open offer, by market, as if it were idle: what could be bought there at all."""
        rows = self._connection.execute(
            text(
                f"SELECT n.resource_class, n.region, n.id, n.slots, 0 AS busy_slots, {HARDWARE} FROM nodes n"
                f" JOIN offers o ON o.node_id = n.id AND o.state = 'open' WHERE n.state = 'active' AND {ALIVE}"
            ),
            {"alive_since": alive_since(now)},
        )
        found: dict[Market, list[Machine]] = {}
        for resource_class, region, *stated in map(list, rows):
            found.setdefault(Market(resource_class, region), []).append(Machine(*stated))
        return found

    def living_of(self, nodes: Collection[NodeId], now: datetime) -> set[NodeId]:
        """Those of these nodes that are alive, in one statement."""
        rows = self._connection.execute(
            text(f"SELECT n.id FROM nodes n WHERE n.id = ANY(:ids) AND {ALIVE}"),
            {"ids": list(nodes), "alive_since": alive_since(now)},
        )
        return {NodeId(row.id) for row in rows}

    def set_state(self, node_id: NodeId, state: NodeState) -> None:
        """Let a node drain, come back or leave."""
        self._connection.execute(update(NodeRow).where(NodeRow.id == node_id).values(state=state))

    def remember_models(self, used: Collection[tuple[NodeId, ModelId]], now: datetime) -> None:
        """Note which models nodes will have lately fetched; of trainers there is nothing to fetch."""
        pairs = sorted(used)
        self._connection.execute(
            text(
                "INSERT INTO node_models (node_id, model_id, used_at)"
                " SELECT v.node_id, v.model_id, :now FROM unnest(CAST(:nodes AS uuid[]), CAST(:models AS uuid[]))"
                " WITH ORDINALITY AS v (node_id, model_id, place) JOIN models m ON m.id = v.model_id"
                " WHERE m.format <> 'trainer' ORDER BY v.place"
                " ON CONFLICT (node_id, model_id) DO UPDATE SET used_at = excluded.used_at"
            ),
            {"nodes": [node for node, _ in pairs], "models": [model for _, model in pairs], "now": now},
        )

    def take(self, slots: Mapping[NodeId, int]) -> dict[NodeId, str]:
        """Mark slots of nodes busy, whose rows the caller has locked; returns the nodes' queues."""
        return self._add_busy(slots)

    def give_back(self, slots: Mapping[NodeId, int]) -> None:
        """Free slots of nodes; locks their rows in id order first."""
        self._connection.execute(
            text("SELECT 1 FROM nodes WHERE id = ANY(:ids) ORDER BY id FOR UPDATE"), {"ids": list(slots)}
        )
        self._add_busy({node: -count for node, count in slots.items()})

    def _add_busy(self, slots: Mapping[NodeId, int]) -> dict[NodeId, str]:
        rows = self._connection.execute(
            text(
                "UPDATE nodes n SET busy_slots = n.busy_slots + v.slots"
                " FROM unnest(CAST(:ids AS uuid[]), CAST(:slots AS int[])) AS v (id, slots) WHERE n.id = v.id"
                " RETURNING n.id, n.queue"
            ),
            {"ids": list(slots), "slots": list(slots.values())},
        )
        return {NodeId(row.id): row.queue for row in rows}

    def _one(self, where: str, binds: Mapping[str, object], now: datetime) -> Node | None:
        row = self._connection.execute(
            text(f"{_NODES} WHERE {where}"), {"alive_since": alive_since(now), **binds}
        ).one_or_none()
        return _node(row) if row else None


class OfferRepository:
    """Offers of nodes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def replace(self, offer_id: OfferId, node_id: NodeId, ask_nano_per_slot_s: int, now: datetime) -> int:
        """Withdraw the node's open offer and open a new one; returns its version."""
        self.withdraw(node_id)
        version = self._connection.execute(
            text("SELECT coalesce(max(version), 0) + 1 FROM offers WHERE node_id = :node"), {"node": node_id}
        ).scalar_one()
        self._connection.execute(
            insert(OfferRow).values(
                id=offer_id,
                node_id=node_id,
                version=version,
                ask_nano_per_slot_s=ask_nano_per_slot_s,
                state=OfferState.OPEN,
                created_at=now,
            )
        )
        return int(version)

    def withdraw(self, node_id: NodeId) -> None:
        """Close the node's open offer; locks the node, so that two changes take turns."""
        self._connection.execute(select(NodeRow.id).where(NodeRow.id == node_id).with_for_update())
        self._connection.execute(
            update(OfferRow)
            .where(OfferRow.node_id == node_id, OfferRow.state == OfferState.OPEN)
            .values(state=OfferState.WITHDRAWN)
        )

    def lock_open(self, market: Market, now: datetime) -> list[Ask]:
        """Offers of a market's living nodes with free slots; the nodes stay locked until the transaction ends."""
        rows = self._connection.execute(
            text(
                f"SELECT o.id, o.version, o.ask_nano_per_slot_s, o.node_id, n.slots, n.busy_slots, {HARDWARE},"
                f" ARRAY(SELECT m.model_id FROM node_models m WHERE m.node_id = n.id AND m.used_at > :cached_since),"
                f" n.external"
                f" FROM offers o JOIN nodes n ON n.id = o.node_id WHERE o.state = 'open' AND n.state = 'active'"
                f" AND n.resource_class = :resource_class AND n.region = :region AND n.busy_slots < n.slots"
                f" AND {ALIVE} ORDER BY n.id FOR UPDATE OF n"
            ),
            {
                "resource_class": market.resource_class,
                "region": market.region,
                "alive_since": alive_since(now),
                "cached_since": now - MODEL_CACHED,
            },
        )
        return [_ask(row) for row in rows]


def _ask(row: Row[Any]) -> Ask:
    offer_id, version, ask_nano, *stated, external = list(row)
    stated[-1] = frozenset(stated[-1])
    machine = Machine(*stated)
    free = machine.slots - machine.busy_slots
    return Ask(offer_id, machine.node_id, version, free, ask_nano, machine, machine.models if external else None)


def _node(row: Row[Any]) -> Node:
    return Node(
        row.id,
        row.account_id,
        row.name,
        row.resource_class,
        row.region,
        row.slots,
        row.busy_slots,
        NodeState(row.state),
        row.queue,
        row.alive,
        row.ask_nano_per_slot_s,
        **{name: getattr(row, name) for name in _HARDWARE_FIELDS},
    )
