"""Keys that private orders are sealed to: shown by agents, proven by what they open, verified or revoked by operators.

Nothing that is sealed to them is ever opened here, and of their other halves nothing is known.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Invalid, NotFound
from backend.domain.ids import AccountId, AgentId, NodeId, SealingKeyId
from backend.domain.joining import NodePrincipal
from backend.domain.sealing_keys import (
    CHALLENGE_BYTES,
    CHALLENGE_KEPT,
    HeldKey,
    KeyStanding,
    KeyState,
    SealingKey,
    check_verifiable,
)
from backend.domain.tiers import ResourceClass, parse_tier
from backend.domain.work import ModelRef
from backend.services.log import record
from backend.services.models import choose
from backend.storage.sealing_keys import Challenge
from backend.storage.unit_of_work import UnitOfWork

CHALLENGES_MAX = 200  # in one transaction: each is half a millisecond's work
LIST_MAX = 1_000
SERVING_MAX = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """What an order for a model can be sealed to now."""

    model: ModelRef
    keys: list[SealingKey]


def serving(
    uow: UnitOfWork,
    now: datetime,
    model: str,
    version: int | None = None,
    tier: str | None = None,
    region: str | None = None,
) -> Serving:
    """Verified keys of living nodes, and the model as an order of it must name it; raises Invalid or NotFound."""
    with uow:
        classes: Sequence[str] = list(ResourceClass)
        if tier is not None:
            classes = uow.tiers.current(now)[parse_tier(tier)].classes
        found = choose(uow.models.versions({model}), model, version)
        return Serving(found.ref, uow.sealing_keys.serving(classes, region, now, SERVING_MAX))


def list_keys(
    uow: UnitOfWork,
    account: AccountId | None,
    node: NodeId | None = None,
    *,
    ended: bool = False,
    limit: int = 200,
) -> list[SealingKey]:
    """Keys of an account's nodes, or of everybody's, by node, the newest first; `ended` ones as well."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    with uow:
        return uow.sealing_keys.of_account(account, node, ended=ended, limit=limit)


def find_key(uow: UnitOfWork, key_id: SealingKeyId) -> SealingKey:
    """The key of that id; raises NotFound."""
    with uow:
        return _found(uow, key_id)


def verify(uow: UnitOfWork, now: datetime, principal: Principal, key_id: SealingKeyId, fingerprint: str) -> SealingKey:
    """Let a proven key serve, as its node's only one, on the word of an operator who was told its fingerprint.

    Admins only. Raises NotFound, Invalid, or Conflict(`fingerprint_differs`, `key_not_proven`).
    """
    principal.require(Role.ADMIN)
    with uow:
        key = _found(uow, key_id, for_update=True)
        check_verifiable(key, fingerprint)
        replaced = uow.sealing_keys.verify(key, now)
        told = {"replaced": [str(one) for one in replaced]} if replaced else {}
        _tell(uow, now, principal, "sealing_key.verify", key, **told)
        key = _found(uow, key_id)
        uow.commit()
    return key


def revoke(uow: UnitOfWork, now: datetime, principal: Principal, key_id: SealingKeyId) -> SealingKey:
    """End a key: nothing that is sealed to it is given to its node any more, from this moment on. Admins only.

    Raises NotFound, or Conflict(`key_ended`).
    """
    principal.require(Role.ADMIN)
    with uow:
        key = _found(uow, key_id, for_update=True)
        if not uow.sealing_keys.revoke([key_id], now):
            raise Conflict(f"the key is {key.state}", code="key_ended", field="key", accepted="one that has not ended")
        _tell(uow, now, principal, "sealing_key.revoke", key, was=key.state)
        key = _found(uow, key_id)
        uow.commit()
    return key


def issue_challenges(uow: UnitOfWork, now: datetime) -> int:
    """Seal something random to each key that was registered lately, for its agent to open; returns how many."""
    with uow:
        waiting = uow.sealing_keys.lock_unchallenged(now - CHALLENGE_KEPT, CHALLENGES_MAX)
        if not waiting:
            return 0
        _challenge(uow, now, waiting)
        uow.commit()
    return len(waiting)


def show(
    uow: UnitOfWork, now: datetime, node: NodePrincipal, agent_id: AgentId, public: bytes | None, answer: bytes | None
) -> KeyStanding:
    """What an agent of a remote node has of its key; its challenge, if one is open, is in the answer.

    Raises NotFound for an agent that is not the node's.
    """
    held = [] if public is None else [HeldKey(node.node_id, public, answer)]
    with uow:
        if agent_id not in uow.node_work.agents(node.queue):
            raise NotFound("agent", agent_id, accepted="an agent of this node that has beaten")
        [standing] = uow.sealing_keys.show(agent_id, held)
        if standing.state is KeyState.REGISTERED and standing.challenge is None:
            _challenge(uow, now, uow.sealing_keys.lock_unchallenged(now - CHALLENGE_KEPT, CHALLENGES_MAX))
            [standing] = uow.sealing_keys.show(agent_id, held)
        uow.commit()
    return standing


def _challenge(uow: UnitOfWork, now: datetime, keys: Sequence[tuple[SealingKeyId, bytes]]) -> None:
    from backend.domain.private_sealing import seal_to  # its library is slow to import, and seldom needed

    challenges, unusable = [], []
    for key_id, public in keys:
        answer = secrets.token_bytes(CHALLENGE_BYTES)
        try:
            challenges.append(Challenge(key_id, seal_to(public, answer), hashlib.sha256(answer).digest()))
        except Invalid:  # a point that nobody has the other half of
            unusable.append(key_id)
    uow.sealing_keys.challenge(challenges, now)
    if unusable:
        uow.sealing_keys.revoke(unusable, now)
        log.warning("sealing_key.unusable", keys=[str(key_id) for key_id in unusable])


def _tell(
    uow: UnitOfWork, now: datetime, principal: Principal, action: str, key: SealingKey, **details: object
) -> None:
    facts = {"node": key.node_id, "node_name": key.node_name, "fingerprint": key.fingerprint, **details}
    record(uow, now, principal, action, f"sealing_key {key.id}", **facts)


def _found(uow: UnitOfWork, key_id: SealingKeyId, *, for_update: bool = False) -> SealingKey:
    key = uow.sealing_keys.find(key_id, for_update=for_update)
    if key is None:
        raise NotFound("sealing key", key_id)
    return key
