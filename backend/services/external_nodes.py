"""Nodes that are an inference server of somebody else's, registered by its URL.

Admins may name any server that the adapter reaches. Providers may name https ones at public addresses only, since the
adapter calls them from inside of the operator's network.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import BoundedSemaphore
from urllib.parse import urlsplit

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound, SwarmexError, Unavailable
from backend.domain.events import Event, Topic
from backend.domain.external_nodes import (
    NODES_MAX,
    TOLD_CHARS_MAX,
    ModelFit,
    ServerState,
    check_credential,
    check_server_url,
)
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import AccountId, ModelId, NodeId
from backend.domain.joining import remote_queue
from backend.domain.nodes import NodeSpec, NodeState, check_node
from backend.domain.work import ModelRef
from backend.messaging.account_webhooks import is_public
from backend.messaging.bounded_network import not_public
from backend.messaging.inference_server import InferenceServer
from backend.messaging.server_look import ask_models, ask_ready
from backend.services.accounts import find_account
from backend.services.log import record
from backend.services.nodes import add_node, check_ask, owned_node, put_offer
from backend.storage.external_nodes import ExternalServer
from backend.storage.ids import new_id
from backend.storage.nodes import Node
from backend.storage.unit_of_work import UnitOfWork

FLEET_ENTRY = FleetSpec("external", AgentKind.EXTERNAL)
PER_ACCOUNT_MAX = 8  # of NODES_MAX, so that one provider leaves places for the others; admins may name any number
CHECKS_MAX = 2  # at once in a process: each may hold one of its few threads for many seconds

_checks = BoundedSemaphore(CHECKS_MAX)


@dataclass(frozen=True, slots=True)
class ServerNode:
    """A node and the server that it is."""

    node: Node
    server: ExternalServer


@dataclass(frozen=True, slots=True)
class Checked:
    """How a server answered just now: why it is not ready, None if it is, and which registered models it serves."""

    node: Node
    server: ExternalServer
    why_down: str | None
    fits: tuple[ModelFit, ...]


def add_server(
    uow: UnitOfWork,
    now: datetime,
    account_id: AccountId,
    spec: NodeSpec,
    url: str,
    credential: str | None = None,
    ask_nano_per_slot_s: int | None = None,
    principal: Principal | None = None,
) -> ServerNode:
    """Let an inference server stand for a node; it sells once it has an ask, and as long as it answers.

    A removed one of that name comes back, as it was. The first one brings the adapter into the fleet. Raises Invalid,
    AddressNotAllowed, NotFound for the account, Conflict (`node_exists`, `too_many_servers`).
    """
    if spec.pool is not None:
        raise Invalid("a server is in no pool", code="invalid_pool", field="pool", accepted="nothing")
    check_node(spec)
    public_only = principal is not None and principal.role is not Role.ADMIN
    url = check_server_url(url)
    if public_only:
        _require_public(url)
    shown = None if credential is None else check_credential(credential)
    if ask_nano_per_slot_s is not None:
        check_ask(ask_nano_per_slot_s)
    with uow:
        find_account(uow, account_id)
        count = uow.external_nodes.lock_count()
        if count >= NODES_MAX:
            accepted = f"at most {NODES_MAX} at once"
            raise Conflict("too many servers", code="too_many_servers", field="url", accepted=accepted)
        if public_only and len(uow.external_nodes.owned_by(account_id)) >= PER_ACCOUNT_MAX:
            accepted = f"at most {PER_ACCOUNT_MAX} of one account at once"
            raise Conflict("too many servers", code="too_many_servers", field="url", accepted=accepted)
        node = _node(uow, now, account_id, spec)
        uow.external_nodes.add(node.id, url, shown, public_only=public_only, now=now)
        facts: dict[str, object] = {"name": spec.name, "url": url, "has_credential": shown is not None}
        if ask_nano_per_slot_s is not None:
            offered = put_offer(uow, now, node.id, ask_nano_per_slot_s)
            facts |= {"offer": offered.offer_id, "ask_nano": ask_nano_per_slot_s}
        if count == 0 and _want_adapter(uow):
            facts |= {"fleet": FLEET_ENTRY.name}
        record(uow, now, principal, "node.add_server", f"node {node.id}", **facts)
        made = _server_node(uow, now, node.id)
        uow.commit()
    return made


def list_servers(uow: UnitOfWork, now: datetime, account_id: AccountId | None) -> list[ServerNode]:
    """The servers of an account, or of everybody, by name."""
    with uow:
        nodes = {node.id: node for node in uow.nodes.owned_by(account_id, now)}
        servers = uow.external_nodes.owned_by(account_id)
    return [ServerNode(nodes[server.node_id], server) for server in servers if server.node_id in nodes]


def remove_server(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> Node:
    """Let a node of the actor's be a server no more: its offer is withdrawn, what it has runs elsewhere.

    Its URL and its credential are forgotten. Raises NotFound.
    """
    with uow:
        owned_node(uow, now, node_id, actor)
        uow.offers.withdraw(node_id)
        if not uow.external_nodes.remove(node_id):
            raise _no_server(node_id)
        uow.nodes.set_state(node_id, NodeState.DRAINING)
        record(uow, now, actor, "node.remove_server", f"node {node_id}")
        uow.emit(Event(Topic.OFFERS_CHANGED))
        node = owned_node(uow, now, node_id, actor)
        uow.commit()
    return node


def check_server(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> Checked:
    """Ask a server of the actor's, from here, whether it is ready and what it serves; nothing is written.

    Raises NotFound, Unavailable (`checks_busy`).
    """
    with uow:
        node = owned_node(uow, now, node_id, actor)
        server = uow.external_nodes.find(node_id)
        models = uow.models.runnable()
    if server is None:
        raise _no_server(node_id)
    if not _checks.acquire(blocking=False):
        raise Unavailable("other servers are being checked", code="checks_busy", accepted="try again in some seconds")
    try:
        why_down, fits = _ask(server, [model.ref for model in models])
    finally:
        _checks.release()
    return Checked(node, server, why_down, tuple(fits))


def list_known(uow: UnitOfWork) -> list[ExternalServer]:
    """All servers, with what they are shown; for the adapter alone."""
    with uow:
        return uow.external_nodes.owned_by(None)


def saw_server(
    uow: UnitOfWork,
    now: datetime,
    node_id: NodeId,
    state: ServerState,
    told: str | None = None,
    models: Collection[ModelId] | None = None,
) -> None:
    """Note how the adapter found a server; `models` are those that it serves, None where that was not looked at."""
    with uow:
        uow.external_nodes.saw(node_id, state, told and told[:TOLD_CHARS_MAX], now)
        if models is not None and uow.external_nodes.serves(node_id, models, now):
            uow.emit(Event(Topic.OFFERS_CHANGED))
        uow.commit()


def _ask(server: ExternalServer, models: Sequence[ModelRef]) -> tuple[str | None, Sequence[ModelFit]]:
    """Why the server is not ready, None if it is, and what it serves."""
    calls = InferenceServer(server.url, server.credential, public_only=server.public_only)
    try:
        ask_ready(calls)
        return None, ask_models(calls, models)
    except SwarmexError as error:
        return error.message[:TOLD_CHARS_MAX], ()
    finally:
        calls.close()


def _node(uow: UnitOfWork, now: datetime, account_id: AccountId, spec: NodeSpec) -> Node:
    """The new node, or the removed one of that name if it is the same in all that trades may rest on."""
    known = next((node for node in uow.nodes.owned_by(account_id, now) if node.name == spec.name), None)
    if known is None:
        node_id = NodeId(new_id())
        return add_node(uow, now, node_id, account_id, spec, remote_queue(node_id))
    was = (known.resource_class, known.region, known.slots)
    removed = uow.external_nodes.was_one(known.id) and uow.external_nodes.find(known.id) is None
    if not removed or was != (spec.resource_class, spec.region, spec.slots):
        accepted = "a free name"
        if removed:
            accepted += f", or class {was[0]}, region {was[1]} and {was[2]} slots, as it was"
        raise Conflict(f"node {spec.name} exists", code="node_exists", field="name", accepted=accepted)
    uow.nodes.set_state(known.id, NodeState.ACTIVE)
    return known


def _want_adapter(uow: UnitOfWork) -> bool:
    """Bring the adapter into the fleet unless it is there; whether it was not."""
    there = uow.fleet.desired()
    if any(spec.kind is AgentKind.EXTERNAL or spec.name == FLEET_ENTRY.name for spec in there):
        return False
    uow.fleet.set_desired([FLEET_ENTRY])
    uow.emit(Event(Topic.FLEET_CHANGED))
    return True


def _server_node(uow: UnitOfWork, now: datetime, node_id: NodeId) -> ServerNode:
    node, server = uow.nodes.find(node_id, now), uow.external_nodes.find(node_id)
    assert node is not None, "it was written in this transaction"
    assert server is not None, "as above"
    return ServerNode(node, server)


def _require_public(url: str) -> None:
    """Refuse what needs no look-up to be refused; names are looked up at each connection, by whoever connects."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise not_public()
    try:
        public = is_public(parts.hostname or "")
    except ValueError:
        return  # a name
    if not public:
        raise not_public()


def _no_server(node_id: NodeId) -> NotFound:
    return NotFound("server", node_id, field="node", accepted="a node that `swarmex node external add` made")
