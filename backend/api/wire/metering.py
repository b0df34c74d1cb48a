"""Meters, prices and usage on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer, CreditsOrZero, Id, Text, Wire
from backend.api.wire.errors import Problem
from backend.api.wire.ledger import Moment, Reason
from backend.domain import metering
from backend.domain.billing import format_quantity
from backend.domain.errors import SwarmexError
from backend.domain.money import format_credits
from backend.services import metering as service
from backend.services import rating
from backend.services.meters import MeterView


class NewMeter(Wire):
    """Something to count: its name is the `type` of the events that report it."""

    name: Text = Field(examples=["storage.gb_hours"])
    unit: Text = Field(examples=["GB hours"])
    price: CreditsOrZero
    provider: Id | None = Field(default=None, description="The account that earns; the market itself, unless given.")


class Meter(Answer):
    """What is counted, and its price now."""

    name: str
    unit: str
    price: Amount
    version: int
    provider: UUID | None
    created_at: datetime

    @classmethod
    def of(cls, view: MeterView) -> Self:
        """The wire form of a meter."""
        return cls(
            name=view.meter.name,
            unit=view.meter.unit,
            price=format_credits(view.price.nano_per_unit),
            version=view.price.version,
            provider=view.meter.provider_id,
            created_at=view.meter.created_at,
        )


class NewPrice(Wire):
    """What a unit costs from a moment on, now unless given; usage since then is rated anew."""

    price: CreditsOrZero
    valid_from: Moment | None = None


class MeterPrice(Answer):
    """A version of a meter's price."""

    meter: str
    version: int
    price: Amount
    valid_from: datetime
    created_at: datetime

    @classmethod
    def of(cls, price: metering.MeterPrice) -> Self:
        """The wire form of a version."""
        return cls(
            meter=price.meter,
            version=price.version,
            price=format_credits(price.nano_per_unit),
            valid_from=price.valid_from,
            created_at=price.created_at,
        )


class Left(Answer):
    """Usage that stays as it was, and the code why."""

    usage: UUID
    code: str


class Rerated(Answer):
    """What a price changed; with `continue_from`, there is more: go on by `rerate` with `since`."""

    corrected: int
    left_count: int
    left: list[Left]
    continue_from: datetime | None

    @classmethod
    def of(cls, done: rating.Rerated) -> Self:
        """The wire form of what was rated anew."""
        return cls(
            corrected=done.corrected,
            left_count=done.left_count,
            left=[Left(usage=left.usage_id, code=left.code) for left in done.left],
            continue_from=done.continue_from,
        )


class SetPrice(Answer):
    """A price that was set, and what of earlier usage it changed."""

    price: MeterPrice
    rerated: Rerated


class RerateRequest(Wire):
    """From when on usage is rated anew; from the beginning, unless given."""

    since: Moment | None = None


class Void(Wire):
    """Why usage is taken back."""

    reason: Reason
    from_fund: bool = Field(default=False, description="Let the credits fund pay what the payee has not any more.")


class Usage(Answer):
    """What an account used and what it cost: unpaid until there are funds and budget for it."""

    id: UUID
    source: str
    event_id: str
    meter: str
    account: UUID
    quantity: str = Field(examples=["1.5"])
    amount: Amount
    price_version: int
    state: str
    occurred_at: datetime
    received_at: datetime
    transfer: UUID | None

    @classmethod
    def of(cls, usage: metering.Usage) -> Self:
        """The wire form of usage."""
        return cls(
            id=usage.id,
            source=usage.source,
            event_id=usage.event_id,
            meter=usage.meter,
            account=usage.account_id,
            quantity=format_quantity(usage.quantity_micro),
            amount=format_credits(usage.amount_nano),
            price_version=usage.price_version,
            state=usage.state,
            occurred_at=usage.occurred_at,
            received_at=usage.received_at,
            transfer=usage.transfer_id,
        )


class UsageList(Answer):
    """Usage, what was received last first; `next_before` continues the list, None at its end."""

    usage: list[Usage]
    next_before: UUID | None


class Outcome(Answer):
    """What became of one event: its usage (with the code why it is unpaid, when new), or its refusal."""

    index: int
    outcome: str = Field(examples=["accepted"], description="accepted, duplicate or refused")
    usage: Usage | None = None
    unpaid_code: str | None = None
    error: Problem | None = None


class Ingested(Answer):
    """One outcome per event, in order."""

    results: list[Outcome]

    @classmethod
    def of(cls, outcomes: Sequence[service.Outcome]) -> Self:
        """The wire form of the answers to events."""
        return cls(
            results=[
                Outcome(
                    index=index,
                    outcome=outcome.receipt,
                    usage=Usage.of(outcome.usage) if outcome.usage else None,
                    unpaid_code=outcome.unpaid_code,
                    error=_problem(outcome.refusal) if outcome.refusal else None,
                )
                for index, outcome in enumerate(outcomes)
            ]
        )


def _problem(refusal: SwarmexError) -> Problem:
    return Problem(code=refusal.code, message=refusal.message, field=refusal.field, accepted=refusal.accepted)
