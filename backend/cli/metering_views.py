"""What is told of meters and usage: the same names and forms as in the HTTP API."""

from typing import TYPE_CHECKING, Any

from backend.domain.billing import format_quantity
from backend.domain.metering import MeterPrice, Usage
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.services.meters import MeterView
    from backend.services.rating import Rerated

Document = dict[str, Any]


def meter(view: "MeterView") -> Document:
    """What is counted, and its price now."""
    return {
        "name": view.meter.name,
        "unit": view.meter.unit,
        "price": format_credits(view.price.nano_per_unit),
        "version": view.price.version,
        "provider": view.meter.provider_id,
        "created_at": view.meter.created_at,
    }


def price(version: MeterPrice) -> Document:
    """A version of a meter's price."""
    return {
        "meter": version.meter,
        "version": version.version,
        "price": format_credits(version.nano_per_unit),
        "valid_from": version.valid_from,
        "created_at": version.created_at,
    }


def rerated(done: "Rerated") -> Document:
    """What was rated anew, and what was left as it was."""
    return {
        "corrected": done.corrected,
        "left_count": done.left_count,
        "left": [{"usage": left.usage_id, "code": left.code} for left in done.left],
        "continue_from": done.continue_from,
    }


def usage(found: Usage) -> Document:
    """What an account used, and what it cost."""
    return {
        "id": found.id,
        "source": found.source,
        "event_id": found.event_id,
        "meter": found.meter,
        "account": found.account_id,
        "quantity": format_quantity(found.quantity_micro),
        "amount": format_credits(found.amount_nano),
        "price_version": found.price_version,
        "state": found.state,
        "occurred_at": found.occurred_at,
        "received_at": found.received_at,
        "transfer": found.transfer_id,
    }
