"""How a machine of somebody else becomes a node: with a token, once; from then on by a key of its own."""

import hashlib
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from backend.domain.access import Principal
from backend.domain.errors import Conflict, NotFound, Unauthenticated
from backend.domain.events import Event, Topic
from backend.domain.ids import AccountId, KeyId, NodeId
from backend.domain.joining import (
    OPEN_TOKENS_MAX,
    Hardware,
    NodePrincipal,
    TokenWish,
    check_token,
    expiry,
    is_remote,
    remote_queue,
)
from backend.domain.machines import check_hardware
from backend.domain.nodes import NodeSpec, check_node
from backend.services.accounts import find_account
from backend.services.api_keys import CHANGED_KEYS
from backend.services.log import record
from backend.services.nodes import add_node, owned_node
from backend.storage.ids import new_id
from backend.storage.joining import JoinToken
from backend.storage.nodes import Node
from backend.storage.unit_of_work import UnitOfWork

TOKEN_PREFIX = "swj_"  # noqa: S105  # a prefix, not a secret
NODE_KEY_PREFIX = "swn_"
SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at the only moment when its secret is known."""

    token: JoinToken
    secret: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A node that has just joined, with the key that it shows from now on; it is told this once."""

    node: Node
    key_id: KeyId
    secret: str


def create_token(
    uow: UnitOfWork, now: datetime, account_id: AccountId, wish: TokenWish, principal: Principal | None = None
) -> NewToken:
    """Make a token with which one machine may join as a node of the account, once, before it expires.

    Raises Invalid, NotFound for the account, or Conflict(`too_many_tokens`) while OPEN_TOKENS_MAX are open.
    """
    check_token(wish)
    with uow:
        made = _make_token(uow, now, account_id, wish, None, principal)
        uow.commit()
    return made


def create_token_for(uow: UnitOfWork, now: datetime, node_id: NodeId, life: timedelta, actor: Principal) -> NewToken:
    """Make a token with which a machine may go on as a remote node whose key was lost or revoked.

    Raises NotFound, Conflict(`node_not_remote`) for one that never joined, and what `create_token` raises.
    """
    with uow:
        node = owned_node(uow, now, node_id, actor)
        if not is_remote(node.queue) or uow.external_nodes.was_one(node_id):
            raise Conflict(
                f"node {node.name} did not join from afar",
                code="node_not_remote",
                field="node",
                accepted="a node that `swarmex node join` made",
            )
        wish = check_token(TokenWish(node.resource_class, node.region, node.slots, node.name, life))
        made = _make_token(uow, now, node.account_id, wish, node_id, actor)
        uow.commit()
    return made


def _make_token(
    uow: UnitOfWork,
    now: datetime,
    account_id: AccountId,
    wish: TokenWish,
    node_id: NodeId | None,
    principal: Principal | None,
) -> NewToken:
    secret = TOKEN_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    find_account(uow, account_id)
    if uow.joining.lock_open(account_id, now) >= OPEN_TOKENS_MAX:
        raise Conflict(
            f"{OPEN_TOKENS_MAX} tokens are open",
            code="too_many_tokens",
            field="account",
            accepted="one more when one is used, revoked or has expired",
        )
    token = JoinToken(
        id=new_id(),
        account_id=account_id,
        name=wish.name,
        resource_class=wish.resource_class,
        region=wish.region,
        slots_max=wish.slots_max,
        created_at=now,
        expires_at=expiry(now, wish),
        node_id=node_id,
    )
    uow.joining.add_token(token, _digest(secret))
    details = {"account": account_id, "expires_at": token.expires_at.isoformat(), "node": node_id}
    record(uow, now, principal, "node.token", f"token {token.id}", **details)
    return NewToken(token, secret)


def list_tokens(uow: UnitOfWork, now: datetime, account_id: AccountId | None) -> list[JoinToken]:
    """Open tokens of an account, or of everybody; without their secrets, which nobody knows."""
    with uow:
        return uow.joining.open_tokens(account_id, now)


def revoke_token(uow: UnitOfWork, now: datetime, token_id: UUID, actor: Principal) -> None:
    """Let an unused token of the actor's (admins: of anybody's) open nothing from now on. Raises NotFound."""
    with uow:
        token = uow.joining.find_token(token_id)
        if token is None:
            raise NotFound("join token", token_id)
        actor.require_owner(token.account_id, "join token", token_id)
        uow.joining.forget_token(token_id)
        record(uow, now, actor, "node.revoke_token", f"token {token_id}", account=token.account_id)
        uow.commit()


def join(uow: UnitOfWork, now: datetime, secret: str, machine: NodeSpec) -> Joined:
    """Register the machine as the token says, and use the token up.

    The token decides class, region and, if it has one, the name; the machine has at most its slots. Raises Invalid,
    Unauthenticated(`join_token_refused`) for a token that is forged, used or expired alike, or
    Conflict(`node_exists`), after which the token is still good.
    """
    key_id = KeyId(new_id())
    key = NODE_KEY_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    with uow:
        token = uow.joining.spend(_digest(secret), now)
        if token is None:
            raise Unauthenticated(
                "the token opens nothing: it is unknown, used or expired",
                code="join_token_refused",
                field="token",
                accepted="a token that `swarmex node token create` printed within its time, once",
            )
        node = _again(uow, now, token.node_id) if token.node_id else _added(uow, now, token, machine)
        uow.joining.became(token.id, node.id)
        uow.joining.add_key(key_id, node.id, _digest(key), now)
        as_node = NodePrincipal(key_id, token.account_id, node.id, node.queue)
        details = {"account": token.account_id, "name": node.name, "token": token.id}
        record(uow, now, as_node.owner, "node.join", f"node {node.id}", **details)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        uow.commit()
    return Joined(node, key_id, key)


def _added(uow: UnitOfWork, now: datetime, token: JoinToken, machine: NodeSpec) -> Node:
    node_id = NodeId(new_id())
    spec = replace(
        machine,
        name=token.name or machine.name,
        resource_class=token.resource_class,
        region=token.region,
        slots=min(machine.slots, token.slots_max),
        pool=None,
    )
    return add_node(uow, now, node_id, token.account_id, check_node(spec), remote_queue(node_id))


def _again(uow: UnitOfWork, now: datetime, node_id: NodeId) -> Node:
    """The node as it is: its hardware and slots stay as stated, its keys until now open nothing any more."""
    uow.joining.revoke_keys(node_id, now)
    node = uow.nodes.find(node_id, now)
    assert node is not None, "nodes are never deleted, and the token refers to it"
    return node


def report_hardware(uow: UnitOfWork, now: datetime, as_node: NodePrincipal, found: Hardware) -> Node:
    """Keep what a node finds on itself when it starts: machines get other parts. Raises Invalid."""
    with uow:
        node = owned_node(uow, now, as_node.node_id, as_node.owner)
        known = Hardware(node.cores, node.memory_mb, node.gpu_model, node.gpu_memory_mb, node.accelerators)
        check_hardware(**asdict(found), residency=node.residency, latency_ms=node.latency_ms)
        if found != known:
            uow.joining.set_hardware(node.id, found)
            record(uow, now, as_node.owner, "node.hardware", f"node {node.id}", before=asdict(known), **asdict(found))
            uow.emit(Event(Topic.OFFERS_CHANGED))
            node = owned_node(uow, now, node.id, as_node.owner)
        uow.commit()
    return node


def authenticate_node(uow: UnitOfWork, secret: str) -> NodePrincipal:
    """Which node a key speaks for; raises Unauthenticated."""
    with uow:
        node = uow.joining.node_of_key(_digest(secret))
    if node is None:
        raise Unauthenticated("the node's key is unknown or revoked", field="Authorization", accepted="Bearer swn_…")
    return node


def revoke_node_keys(uow: UnitOfWork, now: datetime, node_id: NodeId, actor: Principal) -> int:
    """End every key of a node of the actor's (admins: of anybody's); returns how many. Raises NotFound.

    Its agents' next message is refused; what they hold lapses and runs elsewhere. Its offer is withdrawn.
    """
    with uow:
        owned_node(uow, now, node_id, actor)
        revoked = uow.joining.revoke_keys(node_id, now)
        uow.offers.withdraw(node_id)
        uow.changes.bump(CHANGED_KEYS)
        uow.emit(Event(Topic.KEYS_CHANGED))
        uow.emit(Event(Topic.OFFERS_CHANGED))
        record(uow, now, actor, "node.revoke_key", f"node {node_id}", keys=revoked)
        uow.commit()
    return revoked


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
