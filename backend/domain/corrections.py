"""Corrections: what was charged is never changed, it is reversed whole and, for a smaller amount, charged anew."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from backend.domain.errors import InsufficientFunds, Invalid
from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import Linked, Post, Reverse, Transfer, TransferKind, mirror
from backend.domain.money import fee_nano, format_credits, round_up

REASON_CHARS_MAX = 500
_KINDS = (TransferKind.CHARGE, TransferKind.FEE)


class PayeeShort(InsufficientFunds):
    """Whoever was paid has less left than is to be given back; the market may pay instead."""

    code = "payee_short_of_funds"

    def __init__(self, error: InsufficientFunds) -> None:
        super().__init__(error.account, error.asked_nano, error.available_nano)
        self.field = "from_fund"
        self.accepted = "true: then the market's credits fund pays the buyer, and the payee keeps what it got"


class FundShort(InsufficientFunds):
    """The credits fund has less than it is asked for."""

    code = "fund_short"

    def __init__(self, error: InsufficientFunds) -> None:
        super().__init__(error.account, error.asked_nano, error.available_nano)
        self.field = "amount"
        self.accepted = f"at most {format_credits(error.available_nano)} credits, unless the fund is filled first"


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment that still stands: the provider's charge and the market's fee on it, or one of the two."""

    charge: Transfer | None
    fee: Transfer | None

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """Those of the two that there are."""
        return tuple(transfer for transfer in (self.charge, self.fee) if transfer)

    @property
    def amount_nano(self) -> int:
        """Charge and fee together."""
        return sum(transfer.amount_nano for transfer in self.transfers)


def paid(transfers: Iterable[Transfer]) -> list[Paid]:
    """What still stands of charges and fees, given all transfers of their orders or holds, oldest first.

    A fee belongs to the charge that was captured from the same hold directly before it; what was replaced is followed
    to what stands in its place, what was reversed is left out.
    """
    known = list(transfers)
    reversed_ids = {t.original_id for t in known if t.kind is TransferKind.REVERSAL}
    successors = {t.original_id: t for t in known if t.kind in _KINDS and t.original_id}

    def standing(transfer: Transfer | None) -> Transfer | None:
        while transfer and transfer.id in successors:
            transfer = successors[transfer.id]
        return None if transfer is None or transfer.id in reversed_ids else transfer

    pairs = [Paid(standing(charge), standing(fee)) for charge, fee in _captured(known)]
    return [pair for pair in pairs if pair.transfers]


def standing_nano(transfers: Iterable[Transfer]) -> int:
    """What a buyer paid for an order and did not get back, given all transfers of the order, oldest first."""
    known = list(transfers)
    reversed_ids = {t.original_id for t in known if t.kind is TransferKind.REVERSAL}
    refunded = sum(t.amount_nano for t in known if t.kind is TransferKind.REFUND and t.id not in reversed_ids)
    return sum(pair.amount_nano for pair in paid(known)) - refunded


def _captured(transfers: Iterable[Transfer]) -> list[tuple[Transfer | None, Transfer | None]]:
    """Charges with their fees as they left their holds."""
    pairs: list[tuple[Transfer | None, Transfer | None]] = []
    without_fee: dict[HoldId, int] = {}  # place in `pairs` of a hold's last charge, until its fee has come
    for transfer in transfers:
        if transfer.hold_id is None or transfer.kind not in _KINDS:
            continue
        place = without_fee.pop(transfer.hold_id, None)
        if transfer.kind is TransferKind.CHARGE:
            without_fee[transfer.hold_id] = len(pairs)
            pairs.append((transfer, None))
        elif place is None:
            pairs.append((None, transfer))
        else:
            pairs[place] = (pairs[place][0], transfer)
    return pairs


def correction(
    pair: Paid, amount_nano: int, fee_ppm: int | None, new_id: Callable[[], TransferId]
) -> tuple[Linked, Linked]:
    """What makes a payment `amount_nano` in all, less than it is: all of it or nothing, in two orders.

    What changes is reversed, and charged anew with `original_id` if anything is left of it; without `fee_ppm` the fee
    keeps its share. The second order charges first: it needs the buyer to have the money instead of the payee.
    """
    total = pair.amount_nano
    if pair.charge is None:
        fee = amount_nano
    elif pair.fee is None:
        fee = 0
    elif fee_ppm is not None:
        fee = fee_nano(amount_nano, fee_ppm)
    else:
        fee = round_up(amount_nano * pair.fee.amount_nano, total)
    undone: list[Reverse | Post] = []
    anew: list[Reverse | Post] = []
    for transfer, amount in ((pair.charge, amount_nano - fee), (pair.fee, fee)):
        if transfer is None or transfer.amount_nano == amount:
            continue
        undone.append(Reverse(mirror(transfer, new_id())))
        if amount:
            anew.append(Post(replace(transfer, id=new_id(), amount_nano=amount, hold_id=None, original_id=transfer.id)))
    return Linked((*undone, *anew)), Linked((*anew, *undone))


def charges_by_payee(pairs: Sequence[Paid]) -> dict[LedgerAccountId, int]:
    """What each provider's earnings got of payments, fees left out."""
    owed: dict[LedgerAccountId, int] = {}
    for pair in pairs:
        if pair.charge:
            owed[pair.charge.credit] = owed.get(pair.charge.credit, 0) + pair.charge.amount_nano
    return owed


def check_reason(reason: str, field: str = "reason") -> str:
    """`reason` if it says something; raises Invalid(`invalid_<field>`)."""
    if not (reason.strip() and len(reason) <= REASON_CHARS_MAX and reason.isprintable()):
        raise Invalid(
            f"the {field} cannot be used",
            code=f"invalid_{field}",
            field=field,
            accepted=f"1 to {REASON_CHARS_MAX} printable characters",
        )
    return reason
