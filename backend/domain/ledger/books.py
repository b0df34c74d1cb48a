"""Double entry as a pure function: operations in, new balances, holds and transfers out, one outcome per operation.

A *transfer* moves money between two accounts and is never changed. A *hold* reserves money on one account until it is
captured (by transfers that name it) or released; it resolves exactly once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from backend.domain.errors import Conflict, HoldExceeded, HoldResolved, Invalid, NotFound, SwarmexError
from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger.checks import check_amount, check_funds, check_reversal, check_sizes
from backend.domain.ledger.drafts import BalanceDraft, HoldDraft, Undo
from backend.domain.ledger.operations import (
    Capture,
    Expire,
    Linked,
    Operation,
    Post,
    Raise,
    Release,
    Reserve,
    Reverse,
)
from backend.domain.ledger.records import Balance, Hold, HoldState, Posted, Transfer

# Looked up once: an enumeration's members are slow to reach, and these are asked for by each operation.
_PENDING, _POSTED, _EXPIRED = HoldState.PENDING, HoldState.POSTED, HoldState.EXPIRED


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch did: an outcome per operation (None: done), and every row that is new or changed."""

    outcomes: tuple[SwarmexError | None, ...]
    balances: tuple[Balance, ...]
    new_holds: tuple[Hold, ...]
    changed_holds: tuple[Hold, ...]
    transfers: tuple[Transfer, ...]


def apply(
    operations: Sequence[Operation | Linked],
    balances: Mapping[LedgerAccountId, Balance],
    holds: Mapping[HoldId, Hold] | None = None,
    posted: Mapping[TransferId, Posted] | None = None,
) -> Applied:
    """Apply operations in order; one that cannot be is reported in its place and leaves nothing behind.

    `balances`, `holds` and `posted` hold every account, hold and earlier transfer that the operations name, as locked
    by the caller. Errors come in this order: bad amount or parties; unknown account, hold or transfer; hold resolved
    or transfer reversed before; hold exceeded or not due, transfer not reversible so; balance or hold too large;
    insufficient funds.
    """
    books = Books(balances, holds, posted)
    return books.applied([books.attempt(operation) for operation in operations])


class Books:
    """Locked rows on which operations are tried one after the other, and what becomes of them."""

    def __init__(
        self,
        balances: Mapping[LedgerAccountId, Balance],
        holds: Mapping[HoldId, Hold] | None = None,
        posted: Mapping[TransferId, Posted] | None = None,
    ) -> None:
        self._known_balances = balances
        self._known_holds = holds or {}
        self._known_posted = posted or {}
        self._balances: dict[LedgerAccountId, BalanceDraft] = {}  # those that were looked at
        self._holds: dict[HoldId, HoldDraft] = {}
        self._reversed: set[TransferId] = set()
        self._transfers: list[Transfer] = []
        self._undo: list[Undo] | None = None  # inside a group: what takes its changes back, in their order

    def attempt(self, operation: Operation | Linked) -> SwarmexError | None:
        """Do it, or say why it cannot be; then nothing has changed."""
        try:
            _DO[type(operation)](self, operation)
        except SwarmexError as error:
            return error
        return None

    def do(self, operation: Operation | Linked) -> None:
        """Do it; raises why it cannot be, and then nothing has changed."""
        _DO[type(operation)](self, operation)

    def applied(self, outcomes: Sequence[SwarmexError | None]) -> Applied:
        """Every row that is new or changed, with the outcomes that the caller collected."""
        holds = self._holds.values()
        changed = [(draft.before, draft.record()) for draft in holds if draft.before is not None]
        return Applied(
            outcomes=tuple(outcomes),
            balances=tuple([draft.record() for draft in self._balances.values() if draft.changed]),
            new_holds=tuple([draft.record() for draft in holds if draft.before is None]),
            changed_holds=tuple([after for before, after in changed if after != before]),
            transfers=tuple(self._transfers),
        )

    def _post(self, operation: Post) -> None:
        transfer = operation.transfer
        amount = transfer.amount_nano
        check_amount(amount)
        debit, credit = self._parties(transfer)
        check_sizes(debit, credit, amount)
        check_funds(debit, amount)
        self._move(debit, credit, transfer, 0)

    def _reserve(self, operation: Reserve) -> None:
        amount, hold_id = operation.amount_nano, operation.hold_id
        check_amount(amount)
        balance = self._balance(operation.account)
        known = self._holds.get(hold_id) or self._known_holds.get(hold_id)
        if known is not None:
            raise HoldResolved(hold_id, known.state)
        check_funds(balance, amount)
        self._holds[hold_id] = HoldDraft(hold_id, balance, amount, operation.expires_at)
        if self._undo is not None:
            self._undo.append(partial(self._holds.pop, hold_id))
        self._set_aside(balance, amount)

    def _raise(self, operation: Raise) -> None:
        by = operation.by_nano
        check_amount(by)
        hold = self._pending(operation.hold_id)
        check_amount(hold.amount_nano + by)
        check_funds(hold.balance, by)
        self._keep(hold)
        hold.amount_nano += by
        self._set_aside(hold.balance, by)

    def _capture(self, operation: Capture) -> None:
        transfer = operation.transfer
        amount = transfer.amount_nano
        check_amount(amount)
        debit, credit = self._parties(transfer)
        hold = self._pending(transfer.hold_id, debit)
        left = hold.left_nano
        if amount > left:
            raise HoldExceeded(hold.id, amount, left)
        self._keep(hold)
        hold.captured_nano += amount
        if amount == left:
            hold.state = _POSTED
        self._move(debit, credit, transfer, amount)

    def _release(self, operation: Release) -> None:
        amount = operation.amount_nano
        if amount is not None:
            check_amount(amount)
        self._give_back(self._pending(operation.hold_id), amount, operation.unused_as)

    def _expire(self, operation: Expire) -> None:
        hold = self._pending(operation.hold_id)
        if operation.now < hold.expires_at:
            raise Conflict(f"hold {hold.id} lasts until {hold.expires_at.isoformat()}", code="hold_not_due")
        self._give_back(hold, None, _EXPIRED)

    def _reverse(self, operation: Reverse) -> None:
        transfer = operation.transfer
        original_id, amount = transfer.original_id, transfer.amount_nano
        check_amount(amount)
        debit, credit = self._parties(transfer)
        posted = self._known_posted.get(original_id) if original_id else None
        if original_id is None or posted is None:
            raise NotFound("transfer", original_id)
        if posted.reversed or original_id in self._reversed:
            raise Conflict(f"transfer {original_id} was reversed before", code="already_reversed", field="transfer")
        check_reversal(transfer, posted.transfer)
        check_sizes(debit, credit, amount)
        check_funds(debit, amount)
        self._reversed.add(original_id)
        if self._undo is not None:
            self._undo.append(partial(self._reversed.remove, original_id))
        self._move(debit, credit, transfer, 0)

    def _do_all(self, group: Linked) -> None:
        """One after the other; if one cannot be done, what those before it changed is taken back."""
        self._undo = []
        try:
            for operation in group.operations:
                self.do(operation)
        except SwarmexError:
            for undo in reversed(self._undo):
                undo()
            raise
        finally:
            self._undo = None

    def _move(self, debit: BalanceDraft, credit: BalanceDraft, transfer: Transfer, held_nano: int) -> None:
        if self._undo is not None:
            self._undo += (debit.undo(), credit.undo(), self._transfers.pop)
        amount = transfer.amount_nano
        debit.posted_nano -= amount
        debit.reserved_nano -= held_nano
        credit.posted_nano += amount
        self._transfers.append(transfer)

    def _set_aside(self, balance: BalanceDraft, by_nano: int) -> None:
        if self._undo is not None:
            self._undo.append(balance.undo())
        balance.reserved_nano += by_nano

    def _give_back(self, hold: HoldDraft, amount_nano: int | None, unused_as: HoldState) -> None:
        left = hold.left_nano
        amount = left if amount_nano is None else amount_nano
        if amount > left:
            raise HoldExceeded(hold.id, amount, left)
        self._keep(hold)
        hold.released_nano += amount
        if amount == left:
            hold.state = _POSTED if hold.captured_nano else unused_as
        self._set_aside(hold.balance, -amount)

    def _keep(self, hold: HoldDraft) -> None:
        """Before a hold is changed: a group may have to take that back."""
        if self._undo is not None:
            self._undo.append(hold.undo())

    def _parties(self, transfer: Transfer) -> tuple[BalanceDraft, BalanceDraft]:
        if transfer.debit == transfer.credit:
            raise Invalid("a transfer needs two different accounts", code="same_account", field="credit")
        return self._balance(transfer.debit), self._balance(transfer.credit)

    def _balance(self, account: LedgerAccountId) -> BalanceDraft:
        draft = self._balances.get(account)
        if draft is None:
            balance = self._known_balances.get(account)
            if balance is None:
                raise NotFound("ledger account", account)
            draft = self._balances[account] = BalanceDraft(balance)
        return draft

    def _pending(self, hold_id: HoldId | None, of: BalanceDraft | None = None) -> HoldDraft:
        """A hold that is not resolved yet, of one account if that is named."""
        draft = self._holds.get(hold_id) if hold_id else None
        if draft is None:
            hold = self._known_holds.get(hold_id) if hold_id else None
            if hold is None or (of is not None and hold.account != of.before.account):
                raise NotFound("hold", hold_id)
            draft = HoldDraft(hold.id, self._balance(hold.account), hold.amount_nano, hold.expires_at, hold)
            self._holds[hold.id] = draft
        elif of is not None and draft.balance is not of:
            raise NotFound("hold", hold_id)
        if draft.state is not _PENDING:
            raise HoldResolved(draft.id, draft.state)
        return draft


_DO: dict[type, Callable[[Books, Any], None]] = {
    Post: Books._post,
    Reserve: Books._reserve,
    Raise: Books._raise,
    Capture: Books._capture,
    Release: Books._release,
    Expire: Books._expire,
    Reverse: Books._reverse,
    Linked: Books._do_all,
}
