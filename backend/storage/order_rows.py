"""An order as its row is."""

from dataclasses import field
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from backend.domain.access import Spender
from backend.domain.auctions import Bid
from backend.domain.ids import AccountId, HoldId, ModelId, OrderId
from backend.domain.machines import NO_NEEDS, needs_of
from backend.domain.orders import CloseReason, OrderState, Strategy
from backend.domain.pricing import Market
from backend.domain.records import record
from backend.domain.tiers import TIERS, TierName


@record(frozen=True, slots=True)
class Order:
    """An order's row; amounts in nano-credits."""

    id: OrderId
    account_id: AccountId
    member_id: AccountId | None
    workload: str
    model_id: ModelId
    tier: TierName
    strategy: str
    resource_class: str
    region: str
    markets: list[str]
    slots: int
    limit_nano_per_slot_s: int
    worst_case_nano: int
    fee_ppm: int
    hold_id: HoldId
    state: OrderState
    reason: CloseReason | None
    charged_nano: int
    placed_at: datetime
    deadline_at: datetime
    started_at: datetime | None = None
    closed_at: datetime | None = None
    needs: dict[str, Any] = field(default_factory=dict)
    interruptible: bool = False
    sla: bool = False
    hint: dict[str, Any] | None = None
    traceparent: str | None = None
    private: bool = False

    @property
    def spender(self) -> Spender:
        """Who pays for it."""
        return Spender(self.account_id, self.member_id)

    @property
    def trace_id(self) -> str | None:
        """The trace that it belongs to."""
        return self.traceparent.split("-")[1] if self.traceparent else None

    @property
    def market(self) -> Market:
        """The market that the order is in now."""
        return Market(self.resource_class, self.region)

    def bid(self, share_ppm: int = 0) -> Bid:
        """The order as an auction sees it, with its account's dominant share before it."""
        return Bid(
            self.id,
            self.slots,
            self.limit_nano_per_slot_s,
            TIERS[self.tier].rank,
            self.placed_at,
            share_ppm,
            needs_of(self.needs) if self.needs else NO_NEEDS,
            Strategy(self.strategy),
            self.model_id,
        )


COLUMNS = ", ".join(f"o.{name}" for name in Order.__dataclass_fields__)

_FIELDS = list(Order.__dataclass_fields__)
# Looked up, not called: calling an enumeration three times per row is a third of what reading an order costs.
_TIERS, _STATES, _REASONS = ({str(member): member for member in kind} for kind in (TierName, OrderState, CloseReason))
_WIDTH, _TIER, _STATE, _REASON = len(_FIELDS), *map(_FIELDS.index, ("tier", "state", "reason"))


def order_of(row: Row[Any]) -> Order:
    """The order of a row that begins with COLUMNS."""
    values = list(row)[:_WIDTH]
    values[_TIER] = _TIERS[values[_TIER]]
    values[_STATE] = _STATES[values[_STATE]]
    values[_REASON] = values[_REASON] and _REASONS[values[_REASON]]
    return Order(*values)
