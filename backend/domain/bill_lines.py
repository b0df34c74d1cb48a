"""Lines of a document: what a wallet moved, grouped by what it was for, in nano-credits and in cents."""

from collections.abc import Iterable
from dataclasses import dataclass

from backend.domain.billing import CHARGES, MICRO, Line, cents_of
from backend.domain.ids import TransferId

USAGE, OTHER, CORRECTION, SLA_CREDIT, REFUND, REVERSAL = (
    "usage",
    "other",
    "correction",
    "sla_credit",
    "refund",
    "reversal",
)
_LAST_KINDS = (USAGE, OTHER, CORRECTION, SLA_CREDIT, REFUND, REVERSAL)  # below the kinds of workload, in this order
_UNNAMED = {
    OTHER: "Other charges",
    USAGE: "Metered usage",
    CORRECTION: "Corrections",
    SLA_CREDIT: "Credit for missed service levels",
    REFUND: "Refund",
}


@dataclass(frozen=True, slots=True)
class Movement:
    """All that a wallet moved for one reason; of a late reversal, that one transfer.

    `kind` is the kind of workload, or one of those above; `charges` counts transfers, `quantity_micro` is in millionths
    of `unit`: slot-seconds of a workload, a meter's own unit of usage. `shared` are orders that were charged in other
    periods as well, so that nobody can say how many of their seconds this one pays for.
    """

    kind: str
    amount_nano: int
    workload: str | None = None
    tier: str | None = None
    model: str | None = None
    meter: str | None = None
    charges: int = 0
    quantity_micro: int | None = None
    unit: str | None = None
    transfer_id: TransferId | None = None
    original_id: TransferId | None = None
    shared: bool = False


def lines_of(movements: Iterable[Movement], carried_in_nano: int) -> list[Line]:
    """The lines of a document: cents rounded from the running sum, so that they add up to the document's cents."""
    lines: list[Line] = []
    running = carried_in_nano
    billed_cents = 0
    for movement in sorted(movements, key=_place):
        running += movement.amount_nano
        cents = cents_of(running) - billed_cents
        billed_cents += cents
        quantity, unit = _quantity(movement)
        lines.append(
            Line(
                len(lines) + 1,
                movement.kind,
                movement.tier,
                describe(movement),
                quantity,
                unit,
                movement.amount_nano,
                cents,
                movement.transfer_id,
            )
        )
    return lines


def describe(movement: Movement) -> str:
    """A movement in words."""
    if movement.transfer_id:
        return f"{_subject(movement) or 'Charge'}: transfer {movement.original_id} reversed by {movement.transfer_id}"
    subject = _subject(movement)
    name = _UNNAMED.get(movement.kind)
    words = f"{name}: {subject}" if name and subject else name or subject or movement.kind
    return f"{words}, in orders that another period shares" if movement.shared else words


def _subject(movement: Movement) -> str:
    """What was bought."""
    if movement.meter:
        return movement.meter
    words = (movement.workload or "").replace("_", " ").capitalize()
    return f"{words} with {movement.model}" if words and movement.model else words


def _quantity(movement: Movement) -> tuple[int | None, str | None]:
    """What is counted on a line: slot-seconds or the meter's unit where known, else charges; nothing of corrections."""
    if movement.quantity_micro is not None:
        return movement.quantity_micro, movement.unit
    if movement.charges:
        return movement.charges * MICRO, CHARGES
    return None, None


def _place(movement: Movement) -> tuple[int, str, str, str, str, str, bool, str]:
    return (
        _LAST_KINDS.index(movement.kind) + 1 if movement.kind in _LAST_KINDS else 0,
        movement.kind,
        movement.workload or "",
        movement.tier or "",
        movement.model or "",
        movement.meter or "",
        movement.shared or movement.quantity_micro is None,
        str(movement.transfer_id or ""),
    )
