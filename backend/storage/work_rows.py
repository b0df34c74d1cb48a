"""Work items as their rows are, and what is summed up of them."""

from dataclasses import dataclass
from datetime import datetime

from backend.domain.ids import AccountId, ItemId, NodeId, OrderId
from backend.domain.leases import ItemState
from backend.domain.records import record


@record(frozen=True, slots=True)
class NewItem:
    """A work item as an order brings it; one that is `judged` is charged only if it is accepted."""

    id: ItemId
    order_id: OrderId
    seq: int
    rows: int
    us_max: int
    inputs: bytes
    judged: bool = False


@record(frozen=True, slots=True)
class CommittedItem:
    """An item that ran, with what its charge depends on."""

    id: ItemId
    order_id: OrderId
    billed_us: int
    price_nano: int
    earns_nano: int
    provider: AccountId
    node_id: NodeId


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Items of one account whose claims ran out on a node at once."""

    node_id: NodeId
    account_id: AccountId
    items: int


@record(frozen=True, slots=True)
class Left:
    """How many items of an order are not settled yet, and how many never will be."""

    unsettled: int
    dead: int


@record(frozen=True, slots=True)
class Exposure:
    """What the unsettled items of an order may still cost: those on a lease, and all of them together.

    Items that wait cost the price of the order's dearest active lease or, without one, its limit.
    """

    worst_nano: int
    leased_nano: int
    waiting_us: int
    waiting_items: int


@dataclass(frozen=True, slots=True)
class Item:
    """An item as its owner sees it."""

    id: ItemId
    seq: int
    rows: int
    state: ItemState
    attempt: int
    node_name: str | None
    claimed_at: datetime | None
    committed_at: datetime | None
    billed_us: int | None
    charged_nano: int | None
    outputs: bytes | None
    error: str | None
