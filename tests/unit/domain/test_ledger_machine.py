"""Any sequence of deposits, holds, captures and releases, repeated ones included, against an independent model."""

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backend.domain.ids import HoldId, LedgerAccountId
from backend.domain.ledger import WORLD_ID, Capture, Hold, HoldState, Operation, Post, Release, Reserve
from tests.unit.domain.ledgers import (
    EARNINGS,
    SECOND_WALLET,
    WALLET,
    Ledger,
    capture,
    deposit,
    hold_id,
    release,
    reserve,
    transfer,
)

wallets = st.sampled_from([WALLET, SECOND_WALLET])
amounts = st.integers(1, 100)
hold_numbers = st.integers(1, 4)


class Books(RuleBasedStateMachine):
    """The model knows what is free on each account and what is left of each hold, and foretells every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.free: Counter[LedgerAccountId] = Counter()
        self.left: dict[HoldId, int] = {}
        self.holder: dict[HoldId, LedgerAccountId] = {}
        self.done: list[Operation] = []
        self.resolved: dict[HoldId, Hold] = {}

    @rule(wallet=wallets, amount=amounts)
    def deposit(self, wallet: LedgerAccountId, amount: int) -> None:
        self.do(deposit(amount, wallet))

    @rule(wallet=wallets, amount=amounts)
    def pay(self, wallet: LedgerAccountId, amount: int) -> None:
        self.do(Post(transfer(amount, wallet, EARNINGS)))

    @rule(wallet=wallets, number=hold_numbers, amount=amounts)
    def reserve(self, wallet: LedgerAccountId, number: int, amount: int) -> None:
        self.do(reserve(number, amount, wallet))

    @rule(number=hold_numbers, amount=amounts)
    def capture(self, number: int, amount: int) -> None:
        self.do(capture(number, amount, debit=self.holder.get(hold_id(number), WALLET)))

    @precondition(lambda self: any(self.left.values()))
    @rule(data=st.data(), over=st.integers(-3, 1))
    def capture_about_all(self, data: st.DataObject, over: int) -> None:
        hold = data.draw(st.sampled_from([hold for hold, left in self.left.items() if left]))
        self.do(capture(hold.int, max(1, self.left[hold] + over), debit=self.holder[hold]))

    @rule(number=hold_numbers, unused_as=st.sampled_from([HoldState.VOIDED, HoldState.EXPIRED]))
    def release(self, number: int, unused_as: HoldState) -> None:
        self.do(release(number, unused_as))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.do(data.draw(st.sampled_from(self.done)))

    def do(self, operation: Operation) -> None:
        before = dict(self.ledger.balances)
        possible = self.foretell(operation)
        (error,) = self.ledger.do(operation).outcomes
        assert (error is None) == possible
        if error:
            assert self.ledger.balances == before
        self.done.append(operation)

    def foretell(self, operation: Operation) -> bool:
        match operation:
            case Post(moved):
                if moved.debit != WORLD_ID and self.free[moved.debit] < moved.amount_nano:
                    return False
                self.free[moved.debit] -= moved.amount_nano
                self.free[moved.credit] += moved.amount_nano
            case Reserve(hold, account, amount):
                if hold in self.left or self.free[account] < amount:
                    return False
                self.free[account] -= amount
                self.left[hold], self.holder[hold] = amount, account
            case Capture(moved):
                if moved.hold_id is None or self.left.get(moved.hold_id, 0) < moved.amount_nano:
                    return False
                self.left[moved.hold_id] -= moved.amount_nano
                self.free[moved.credit] += moved.amount_nano
            case Release(hold):
                if not self.left.get(hold):
                    return False
                self.free[self.holder[hold]] += self.left[hold]
                self.left[hold] = 0
        return True

    @invariant()
    def balances_are_what_the_model_says_and_add_up_to_nothing(self) -> None:
        balances = self.ledger.balances
        assert sum(balance.posted_nano for balance in balances.values()) == 0
        assert {account: balance.available_nano for account, balance in balances.items()} == {
            account: self.free[account] for account in balances
        }
        assert all(balance.available_nano >= 0 for account, balance in balances.items() if account != WORLD_ID)

    @invariant()
    def every_balance_can_be_recomputed_from_transfers_and_holds(self) -> None:
        posted: Counter[LedgerAccountId] = Counter()
        for moved in self.ledger.transfers:
            posted[moved.debit] -= moved.amount_nano
            posted[moved.credit] += moved.amount_nano
        reserved: Counter[LedgerAccountId] = Counter()
        for hold in self.ledger.holds.values():
            reserved[hold.account] += hold.left_nano
        for account, balance in self.ledger.balances.items():
            assert (balance.posted_nano, balance.reserved_nano) == (posted[account], reserved[account])

    @invariant()
    def no_hold_gives_more_than_it_holds(self) -> None:
        captured: Counter[HoldId | None] = Counter()
        for moved in self.ledger.transfers:
            captured[moved.hold_id] += moved.amount_nano
        for hold in self.ledger.holds.values():
            assert hold.captured_nano == captured[hold.id]
            assert hold.captured_nano + hold.released_nano <= hold.amount_nano
            assert hold.left_nano == self.left[hold.id]
            assert (hold.state is HoldState.PENDING) == (hold.left_nano > 0)
            assert hold.captured_nano > 0 or hold.state is not HoldState.POSTED

    @invariant()
    def a_resolved_hold_stays_as_it_is(self) -> None:
        for hold in self.ledger.holds.values():
            if hold.state is not HoldState.PENDING:
                assert self.resolved.setdefault(hold.id, hold) == hold


TestBooks: Any = Books.TestCase
TestBooks.settings = settings(max_examples=60, stateful_step_count=40)
