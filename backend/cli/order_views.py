"""Orders, what they may cost and what they got: as in the HTTP API, and in words for people."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.domain.machines import NEEDS
from backend.domain.money import US_PER_S, format_credits
from backend.domain.orders import CloseReason

if TYPE_CHECKING:
    from backend.domain.advice import Alternative
    from backend.services.orders import Quote
    from backend.services.receipts import Receipt
    from backend.storage.leases import Served
    from backend.storage.order_rows import Order
    from backend.storage.work_rows import Item

Document = dict[str, Any]


def quote(made: "Quote") -> Document:
    """What a workload would be placed at."""
    return {
        "workload": made.workload,
        "model": made.model,
        "model_version": made.model_version,
        "tier": made.tier,
        "priority": made.priority,
        "markets": list(made.markets),
        "spot_price": format_credits(made.spot_nano_per_slot_s),
        "limit": format_credits(made.limit_nano_per_slot_s),
        "expected_seconds": made.expected_us / US_PER_S,
        "expected_cost": format_credits(made.expected_nano),
        "worst_case": format_credits(made.worst_case_nano),
        "slots_free": made.slots_free,
        "valid_until": made.valid_until,
        "explanation": made.explanation,
        "alternatives": [alternative(other) for other in made.alternatives],
    }


def alternative(other: "Alternative") -> Document:
    """A cheaper way."""
    return {
        "change": other.change,
        "market": other.market,
        "at": other.at,
        "spot_price": format_credits(other.spot_nano_per_slot_s),
        "expected_cost": format_credits(other.expected_nano),
        "saving": format_credits(other.saving_nano),
    }


def quote_told(document: Document) -> Document:
    """A quote as people read it: its alternatives as sentences."""
    ways = [
        f"{way['market']} {_moment(way['at'])} should cost {way['expected_cost']}, {way['saving']} less"
        for way in document["alternatives"]
    ]
    return {**document, "alternatives": "; ".join(ways) or None}


def _moment(at: datetime | None) -> str:
    return "now" if at is None else f"from {at:%Y-%m-%d %H:%M} on"


def order(found: "Order") -> Document:
    """An order."""
    return {
        "id": found.id,
        "account": found.account_id,
        "workload": found.workload,
        "model_id": found.model_id,
        "tier": found.tier,
        "priority": found.strategy,
        "resource_class": found.resource_class,
        "region": found.region,
        "slots": found.slots,
        "limit": format_credits(found.limit_nano_per_slot_s),
        "worst_case": format_credits(found.worst_case_nano),
        "charged": format_credits(found.charged_nano),
        "state": found.state,
        "reason": found.reason,
        "placed_at": found.placed_at,
        "deadline_at": found.deadline_at,
        "started_at": found.started_at,
        "closed_at": found.closed_at,
        "needs": found.needs,
        "interruptible": found.interruptible,
        "sla_required": found.sla,
        "private": found.private,
        "would_match": found.hint,
    }


def receipt(made: "Receipt") -> Document:
    """What an order got for its money."""
    return {
        "order": order(made.order),
        "model": made.model,
        "model_version": made.model_version,
        "held": format_credits(made.held_nano),
        "charged": format_credits(made.charged_nano),
        "fee": format_credits(made.fee_nano),
        "released": format_credits(made.released_nano),
        "given_back": format_credits(made.given_back_nano),
        "served": [_part(served) for served in made.served],
        "transfers": [
            {"id": transfer.id, "kind": transfer.kind, "amount": format_credits(transfer.amount_nano)}
            for transfer in made.transfers
        ],
    }


def _part(served: "Served") -> Document:
    return {
        "lease": served.lease_id,
        "node": served.node_name,
        "node_id": served.node_id,
        "resource_class": served.resource_class,
        "region": served.region,
        "slots": served.slots,
        "price": format_credits(served.price_nano_per_slot_s),
        "state": served.state,
        "items": served.items,
        "billed_seconds": served.billed_us / US_PER_S,
        "charged": format_credits(served.charged_nano),
        "leave_at": served.leave_at,
    }


def result(item: "Item") -> Document:
    """One request of an order, with its response once it ran."""
    import orjson

    return {
        "id": item.id,
        "index": item.seq,
        "rows": item.rows,
        "state": item.state,
        "attempt": item.attempt,
        "node": item.node_name,
        "committed_at": item.committed_at,
        "billed_seconds": None if item.billed_us is None else item.billed_us / US_PER_S,
        "charged": None if item.charged_nano is None else format_credits(item.charged_nano),
        "error": item.error,
        "response": None if item.outputs is None else orjson.loads(item.outputs),
    }


def told(document: Document, served: Sequence[Document] = ()) -> Document:
    """An order's document for a table; `served` are the parts of its receipt, if it is known."""
    return {
        **document,
        "slots": _slots(document["slots"], served),
        "needs": _needs(document["needs"]),
        "would_match": _would_match(document["would_match"], document["reason"]),
    }


def _slots(asked: int, served: Sequence[Document]) -> object:
    """Slots, of which there may be fewer than were asked for: those that it has, or had if it has none any more."""
    held = [part for part in served if part["state"] == "active"] or served
    got = sum(part["slots"] for part in held)
    return f"{got} of {asked} slots" if 0 < got < asked else asked


def _needs(needs: Mapping[str, Any]) -> str | None:
    """Needs as they may be typed: gpu_memory_mb 40960; residency de, fr; spread."""
    return "; ".join(_need(name, value) for name, value in sorted(needs.items(), key=_place)) or None


def _place(need: tuple[str, object]) -> int:
    """Where a need stands among all: the database keeps no order of its own."""
    return NEEDS.index(need[0])


def _need(name: str, value: object) -> str:
    if value is True:
        return name
    return f"{name} {', '.join(map(str, value)) if isinstance(value, list) else value}"


def _would_match(hint: Mapping[str, Any] | None, reason: str | None) -> str | None:
    """The limit to reach or exceed, or what no free node had."""
    if not hint:
        return None
    from backend.domain.placement import Shortfall

    parts = [Shortfall(**short).told for short in hint.get("needs", ())]
    if "limit" in hint:
        parts.append(
            f"a limit above {hint['limit']}" if reason == CloseReason.OUTBID else f"a limit of {hint['limit']}"
        )
    return "; ".join(parts)
