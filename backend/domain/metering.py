"""Metering: usage that other systems report, and what it costs at the price of its time."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from backend.domain.errors import Invalid
from backend.domain.ids import AccountId, TransferId, UsageId
from backend.domain.ledger import Linked, Post, Reverse, Transfer, mirror
from backend.domain.money import AMOUNT_NANO_MAX, format_credits, round_up

MICRO = 1_000_000  # quantities have six decimals
PRICES_FROM = datetime(1970, 1, 1, tzinfo=UTC)  # a meter's first price begins here: no usage is ever without one
PRICES_MAX = 1_000  # versions of one meter
METERS_MAX = 1_000
UNIT_CHARS_MAX = 40

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


class UsageState(StrEnum):
    """`unpaid` until the account has funds and budget for it; `void` when it, or its charge, was taken back."""

    CHARGED = "charged"
    UNPAID = "unpaid"
    FREE = "free"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Meter:
    """What is counted, by the CloudEvents type that reports it; without a provider the market earns it, as a fee."""

    name: str
    unit: str
    provider_id: AccountId | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MeterPrice:
    """What a unit costs in nano-credits from a moment on, until another version begins."""

    meter: str
    version: int
    nano_per_unit: int
    valid_from: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """The time in which one version of a price is the valid one; without `until` it has no end yet."""

    price: MeterPrice
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Usage:
    """An event and what it costs: `quantity_micro` millionths of a unit, at one version of the price.

    What is captured for it comes from the hold of the same id; `transfer_id` is the charge that stands for it now, or
    the last one that did.
    """

    id: UsageId
    source: str
    event_id: str
    digest: bytes
    meter: str
    account_id: AccountId
    quantity_micro: int
    occurred_at: datetime
    received_at: datetime
    price_version: int
    amount_nano: int
    state: UsageState
    transfer_id: TransferId | None = None


def spans(prices: Iterable[MeterPrice]) -> list[Span]:
    """When each price is valid, in order; of versions that begin at once, the later one counts."""
    by_start = {p.valid_from: p for p in sorted(prices, key=lambda p: (p.valid_from, p.version))}
    valid = list(by_start.values())
    ends = [price.valid_from for price in valid[1:]]
    return [Span(price, until) for price, until in zip(valid, [*ends, None], strict=True)]


def price_at(valid: Sequence[Span], moment: datetime) -> MeterPrice:
    """The price of a moment; every meter's first price begins before any usage."""
    return valid[bisect_right(valid, moment, key=lambda span: span.price.valid_from) - 1].price


def cost_nano(nano_per_unit: int, quantity_micro: int) -> int:
    """What a quantity costs, rounded up to the nano; raises Invalid(`invalid_amount`) above what can be moved."""
    amount = round_up(nano_per_unit * quantity_micro, MICRO)
    if amount > AMOUNT_NANO_MAX:
        raise Invalid(
            "this usage costs more than can be charged at once",
            code="invalid_amount",
            field="data.quantity",
            accepted=f"a cost of at most {format_credits(AMOUNT_NANO_MAX)} credits",
        )
    return amount


def rated(usage: Usage, price: MeterPrice) -> Usage:
    """The usage at a price: unpaid if it costs something, unless a charge of it can be corrected.

    Raises Invalid(`invalid_amount`).
    """
    amount = cost_nano(price.nano_per_unit, usage.quantity_micro)
    if not amount:
        state = UsageState.FREE
    elif usage.transfer_id:
        state = UsageState.CHARGED
    else:
        state = UsageState.UNPAID
    return replace(usage, price_version=price.version, amount_nano=amount, state=state)


def corrections(
    before: Usage, amount_nano: int, posted: Transfer, reversal_id: TransferId, charge_id: TransferId
) -> list[Linked]:
    """How the charge that was posted last for usage becomes `amount_nano`: ways of which one suffices, none if it is.

    What stands is reversed, and if anything is left of it charged in its place, all or none. The first way needs the
    payee to still have what it got, the second the payer to have both amounts.
    """
    stands = before.state is UsageState.CHARGED
    if amount_nano == (posted.amount_nano if stands else 0):
        return []
    reversal = Reverse(mirror(posted, reversal_id))
    charge = Post(replace(posted, id=charge_id, amount_nano=amount_nano, hold_id=None, original_id=posted.id))
    if not amount_nano:
        return [Linked((reversal,))]
    return [Linked((reversal, charge)), Linked((charge, reversal))] if stands else [Linked((charge,))]


def check_meter(name: str, unit: str) -> None:
    """Raise Invalid for a name or a unit that a meter cannot have."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name[:60]!r} cannot be a meter",
            code="invalid_name",
            field="name",
            accepted="1 to 128 of A-Z a-z 0-9 . _ -, starting with a letter or digit, as in storage.gb_hours",
        )
    if not (unit.strip() and len(unit) <= UNIT_CHARS_MAX and unit.isprintable()):
        raise Invalid(
            "the unit cannot be used",
            code="invalid_unit",
            field="unit",
            accepted=f"1 to {UNIT_CHARS_MAX} printable characters, as in GB hours",
        )


def check_price(nano_per_unit: int, valid_from: datetime) -> None:
    """Raise Invalid for a price or a beginning that cannot be."""
    if not 0 <= nano_per_unit <= AMOUNT_NANO_MAX:
        raise Invalid(
            f"{nano_per_unit} nano-credits is no price",
            code="invalid_amount",
            field="price",
            accepted=f"0 to {format_credits(AMOUNT_NANO_MAX)} credits a unit",
        )
    if valid_from < PRICES_FROM:
        raise Invalid(
            f"{valid_from.isoformat()} is before all usage",
            code="invalid_valid_from",
            field="valid_from",
            accepted=f"a time from {PRICES_FROM.isoformat()} on, or none for from now on",
        )
