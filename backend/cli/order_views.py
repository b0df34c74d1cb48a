"""An order as people read it: what it needs, what would have matched it, and how much of it was served, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.domain.machines import NEEDS
from backend.domain.orders import CloseReason

Document = dict[str, Any]


def told(order: Document, served: Sequence[Document] = ()) -> Document:
    """The facts of an order for a table; `served` are the parts of its receipt, if it is known."""
    return {
        **order,
        "slots": _slots(order["slots"], served),
        "needs": _needs(order["needs"]),
        "would_match": _would_match(order["would_match"], order["reason"]),
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
