"""Trust: evidence is recorded where it is found, and scores follow from it; what it is worth is `domain/trust.py`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from backend.domain.access import Principal, Role
from backend.domain.errors import NotFound
from backend.domain.ids import AccountId, NodeId, OrderId
from backend.domain.trust import TRUST_KEPT, Evidence, Explanation, explain, lower_bounds_ppm
from backend.storage.order_rows import Order
from backend.storage.trust import Found, Standing
from backend.storage.unit_of_work import UnitOfWork
from backend.storage.work_rows import Lapsed

FRESH = timedelta(seconds=60)  # evidence so new gets its node a new score at once; the rest waits for its turn
FRESH_NODES_MAX = 200
AGED_NODES_MAX = 50  # at a time, in turn: scores change in hours by age alone
MERGED_MAX = 1_000
FORGOTTEN_MAX = 10_000
# What is older is one row a node, buyer, kind and hour; later a day: 70 rows of each at most until it is forgotten.
HOURS_AFTER, HOURS_UNTIL = timedelta(minutes=2), timedelta(hours=3)
DAYS_AFTER, DAYS_UNTIL = timedelta(days=2), timedelta(days=4)


class Ran(Protocol):
    """What a node is paid for: an item, or whatever else knows its order and node."""

    @property
    def order_id(self) -> OrderId:
        """The order that it was for."""

    @property
    def node_id(self) -> NodeId:
        """Where it ran."""


@dataclass(frozen=True, slots=True)
class Rescored:
    """How many nodes were looked at, how many scores changed, and where the next turn goes on: None begins anew."""

    nodes: int
    changed: int
    after: NodeId | None


@dataclass(frozen=True, slots=True)
class TrustView:
    """A node's score as matching knows it; why it is so only for its owner and admins."""

    standing: Standing
    explanation: Explanation | None


def served(uow: UnitOfWork, now: datetime, ran: Iterable[Ran], orders: Mapping[OrderId, Order]) -> None:
    """Remember what is settled in the caller's unit of work, for the nodes that ran it."""
    counts = Counter((one.node_id, orders[one.order_id].account_id) for one in ran)
    uow.trust.record([Found(node, buyer, Evidence.SERVED, count) for (node, buyer), count in counts.items()], now)


def lapsed(uow: UnitOfWork, now: datetime, lapses: Iterable[Lapsed]) -> None:
    """Remember claims that ran out in the caller's unit of work, against the nodes that held them."""
    uow.trust.record([Found(lapse.node_id, lapse.account_id, Evidence.LAPSED, lapse.items) for lapse in lapses], now)


def lost_nodes(uow: UnitOfWork, now: datetime, found: Iterable[tuple[Order, Iterable[NodeId]]]) -> None:
    """Remember orders that the caller's unit of work takes off nodes which fell silent, against those nodes."""
    counts = Counter((node, order.account_id) for order, nodes in found for node in set(nodes))
    uow.trust.record([Found(node, buyer, Evidence.LOST, count) for (node, buyer), count in counts.items()], now)


def rescore(uow: UnitOfWork, now: datetime, after: NodeId | None = None) -> Rescored:
    """Compute the scores of nodes with new evidence, and of the next ones in turn whose evidence has aged."""
    with uow:
        turn = uow.trust.page(after, AGED_NODES_MAX)
        nodes = sorted({*uow.trust.found_since(now - FRESH, FRESH_NODES_MAX), *turn})
        histories = uow.trust.histories(nodes, now - TRUST_KEPT, "day")
        scores = lower_bounds_ppm([histories[node] for node in nodes], now)
        changed = uow.trust.write_scores(dict(zip(nodes, scores, strict=True)))
        uow.commit()
    return Rescored(len(nodes), changed, turn[-1] if len(turn) == AGED_NODES_MAX else None)


def tidy(uow: UnitOfWork, now: datetime) -> bool:
    """Merge evidence that is alike and forget what is worth nothing any more; returns whether more may be left."""
    with uow:
        hours = uow.trust.merge("hour", now - HOURS_UNTIL, now - HOURS_AFTER, MERGED_MAX)
        days = uow.trust.merge("day", now - DAYS_UNTIL, now - DAYS_AFTER, MERGED_MAX)
        forgotten = uow.trust.forget_before(now - TRUST_KEPT, FORGOTTEN_MAX)
        uow.commit()
    return MERGED_MAX in (hours, days) or forgotten == FORGOTTEN_MAX


def show_trust(uow: UnitOfWork, now: datetime, node_id: NodeId, principal: Principal) -> TrustView:
    """A node's score, for everybody, and what it is made of by now, for whoever owns it; raises NotFound."""
    with uow:
        standing = uow.trust.standing(node_id)
        if standing is None:
            raise NotFound("node", node_id)
        if principal.role is not Role.ADMIN and principal.account_id != standing.account_id:
            return TrustView(standing, None)
        events = uow.trust.histories([node_id], now - TRUST_KEPT)[node_id]
    return TrustView(standing, explain(events, now))


def list_trust(uow: UnitOfWork, account: AccountId | None) -> list[Standing]:
    """The scores of an account's nodes, or of everybody's, the most trusted first."""
    with uow:
        return uow.trust.standings(account)
