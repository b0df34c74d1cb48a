"""Locked rows while operations work on them: figures that change in place, records again only at the end.

A batch touches the same wallet and the same hold many times over; a new frozen record each time was half of its cost.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from backend.domain.ids import HoldId
from backend.domain.ledger.records import Balance, Hold, HoldState

Undo = Callable[[], object]


class BalanceDraft:
    """A balance on its way to new figures."""

    __slots__ = ("before", "posted_nano", "reserved_nano")

    def __init__(self, before: Balance) -> None:
        self.before = before
        self.posted_nano = before.posted_nano
        self.reserved_nano = before.reserved_nano

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        before = self.before
        return self.posted_nano != before.posted_nano or self.reserved_nano != before.reserved_nano

    def record(self) -> Balance:
        """The balance as it is now."""
        return Balance(self.before.account, self.before.kind, self.posted_nano, self.reserved_nano)

    def undo(self) -> Undo:
        """What puts the figures of this moment back."""
        return partial(self._set, self.posted_nano, self.reserved_nano)

    def _set(self, posted_nano: int, reserved_nano: int) -> None:
        self.posted_nano, self.reserved_nano = posted_nano, reserved_nano


class HoldDraft:
    """A hold on its way to new figures; without `before` it is a new one."""

    __slots__ = ("amount_nano", "balance", "before", "captured_nano", "expires_at", "id", "released_nano", "state")

    def __init__(
        self, id: HoldId, balance: BalanceDraft, amount_nano: int, expires_at: datetime, before: Hold | None = None
    ) -> None:
        self.id = id
        self.balance = balance
        self.amount_nano = amount_nano
        self.captured_nano = before.captured_nano if before else 0
        self.released_nano = before.released_nano if before else 0
        self.state = before.state if before else HoldState.PENDING
        self.expires_at = expires_at
        self.before = before

    @property
    def left_nano(self) -> int:
        """What can still be captured or released."""
        return self.amount_nano - self.captured_nano - self.released_nano

    def record(self) -> Hold:
        """The hold as it is now."""
        return Hold(
            self.id,
            self.balance.before.account,
            self.amount_nano,
            self.captured_nano,
            self.released_nano,
            self.state,
            self.expires_at,
        )

    def undo(self) -> Undo:
        """What puts the figures of this moment back."""
        return partial(self._set, self.amount_nano, self.captured_nano, self.released_nano, self.state)

    def _set(self, amount_nano: int, captured_nano: int, released_nano: int, state: HoldState) -> None:
        self.amount_nano, self.captured_nano, self.released_nano = amount_nano, captured_nano, released_nano
        self.state = state
