"""Nodes and their offers: what providers bring to the market."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from backend.domain.access import Principal
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, NodeId, OfferId
from backend.domain.money import AMOUNT_NANO_MAX
from backend.domain.nodes import NodeSpec, NodeState, check_node
from backend.messaging.queues import node_queue, pool_queue
from backend.services.accounts import find_account
from backend.services.log import record
from backend.storage.ids import new_id
from backend.storage.nodes import Node
from backend.storage.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class OfferView:
    """An open offer."""

    offer_id: OfferId
    node_id: NodeId
    version: int
    ask_nano_per_slot_s: int


def register_node(
    uow: UnitOfWork, now: datetime, account_id: AccountId, spec: NodeSpec, principal: Principal | None = None
) -> Node:
    """Bring a machine to the market; it sells nothing before it has an offer and an agent.

    Raises Invalid, NotFound for the account, or Conflict(`node_exists`) when the account has one of that name.
    """
    check_node(spec)
    node_id = NodeId(new_id())
    queue = pool_queue(spec.pool) if spec.pool else node_queue(node_id)
    with uow:
        find_account(uow, account_id)
        node = add_node(uow, now, node_id, account_id, spec, queue)
        record(uow, now, principal, "node.register", f"node {node_id}", account=account_id, name=spec.name)
        uow.commit()
    return node


def add_node(
    uow: UnitOfWork, now: datetime, node_id: NodeId, account_id: AccountId, spec: NodeSpec, queue: str
) -> Node:
    """Record a machine whose work goes to a queue, inside an open unit of work; raises Conflict(`node_exists`)."""
    node = Node(
        id=node_id,
        account_id=account_id,
        name=spec.name,
        resource_class=spec.resource_class,
        region=spec.region,
        slots=spec.slots,
        busy_slots=0,
        state=NodeState.ACTIVE,
        queue=queue,
        alive=False,
        ask_nano_per_slot_s=None,
        cores=spec.cores,
        memory_mb=spec.memory_mb,
        gpu_model=spec.gpu_model,
        gpu_memory_mb=spec.gpu_memory_mb,
        accelerators=spec.accelerators,
        residency=spec.residency,
        latency_ms=spec.latency_ms,
    )
    if not uow.nodes.add(node, now):
        raise Conflict(f"node {spec.name} exists", code="node_exists", field="name", accepted="a free name")
    return node


def list_nodes(uow: UnitOfWork, now: datetime, account_id: AccountId | None) -> list[Node]:
    """The nodes of an account, or of everybody."""
    with uow:
        return uow.nodes.owned_by(account_id, now)


def living_nodes(uow: UnitOfWork, now: datetime, nodes: Collection[NodeId]) -> set[NodeId]:
    """Those of these nodes that give signs of life."""
    with uow:
        return uow.nodes.living_of(nodes, now)


def show_node(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> Node:
    """A node of the actor's; raises NotFound."""
    with uow:
        return owned_node(uow, now, node_id, actor)


def drain_node(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> Node:
    """Let a node finish its leases and take no new ones; its offer is withdrawn. Raises NotFound."""
    with uow:
        owned_node(uow, now, node_id, actor)
        uow.offers.withdraw(node_id)
        uow.nodes.set_state(node_id, NodeState.DRAINING)
        record(uow, now, actor, "node.drain", f"node {node_id}")
        uow.emit(Event(Topic.OFFERS_CHANGED))
        node = owned_node(uow, now, node_id, actor)
        uow.commit()
    return node


def offer(uow: UnitOfWork, now: datetime, node_id: NodeId, ask_nano_per_slot_s: int, actor: Principal) -> OfferView:
    """Offer a node's slots from a price up; replaces its open offer and ends a drain. Raises Invalid or NotFound."""
    check_ask(ask_nano_per_slot_s)
    with uow:
        owned_node(uow, now, node_id, actor)
        made = put_offer(uow, now, node_id, ask_nano_per_slot_s)
        record(uow, now, actor, "node.offer", f"node {node_id}", offer=made.offer_id, ask_nano=ask_nano_per_slot_s)
        uow.commit()
    return made


def check_ask(ask_nano_per_slot_s: int) -> None:
    """Raise Invalid for a price that nobody can ask."""
    if not 0 < ask_nano_per_slot_s <= AMOUNT_NANO_MAX:
        raise Invalid("the ask is out of range", code="invalid_amount", field="ask", accepted="0.000000001 or more")


def put_offer(uow: UnitOfWork, now: datetime, node_id: NodeId, ask_nano_per_slot_s: int) -> OfferView:
    """Replace a node's open offer and end its drain, inside an open unit of work; the caller writes the log."""
    offer_id = OfferId(new_id())
    version = uow.offers.replace(offer_id, node_id, ask_nano_per_slot_s, now)
    uow.nodes.set_state(node_id, NodeState.ACTIVE)
    uow.emit(Event(Topic.OFFERS_CHANGED))
    return OfferView(offer_id, node_id, version, ask_nano_per_slot_s)


def owned_node(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> Node:
    """A node that the actor may change, inside an open unit of work; raises NotFound."""
    node = uow.nodes.find(node_id, now)
    if node is None:
        raise NotFound("node", node_id)
    actor.require_owner(node.account_id, "node", node_id)
    return node
