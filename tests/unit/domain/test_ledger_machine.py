"""Any sequence of operations, alone, in batches and in groups, repeated ones included, against an independent model."""

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    CREDITS_ID,
    FEES_ID,
    WORLD_ID,
    Capture,
    Expire,
    Hold,
    HoldState,
    Linked,
    Operation,
    Post,
    Raise,
    Release,
    Reserve,
    Reverse,
    Transfer,
    TransferKind,
    mirror,
)
from tests.unit.domain.ledger_model import Model
from tests.unit.domain.ledgers import (
    EARNINGS,
    EXPIRES_AT,
    SECOND_WALLET,
    WALLET,
    WITHHELD,
    Ledger,
    codes,
    hold_id,
    transfer,
    transfer_id,
)

WALLETS = [WALLET, SECOND_WALLET]
HOLDERS = [WALLET, SECOND_WALLET, EARNINGS]
# What happens without a hold: refunds, an SLA's holding back and giving, the market's own money.
ROUTES = [
    (FEES_ID, CREDITS_ID),
    (WORLD_ID, CREDITS_ID),
    (CREDITS_ID, WALLET),
    (EARNINGS, WITHHELD),
    (WITHHELD, EARNINGS),
    (WITHHELD, WALLET),
    (WALLET, EARNINGS),
]
amounts = st.integers(1, 40)
minutes = st.integers(0, 3).map(lambda number: EXPIRES_AT + timedelta(minutes=number))


class Books(RuleBasedStateMachine):
    """Operations are collected and sent as one batch; the model foretells what becomes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.model = Model()
        self.group: list[Operation] | None = None
        self.batch: list[Operation | Linked] = []
        self.done: list[Operation] = []
        self.asked: list[HoldId] = []
        self.resolved: dict[HoldId, Hold] = {}
        self.numbers = iter(range(1, 10_000))

    @initialize()
    def open(self) -> None:
        moves = [(200, WORLD_ID, WALLET), (100, WORLD_ID, SECOND_WALLET), (60, WALLET, EARNINGS)]
        self.batch = [Post(self.moved(*move)) for move in moves]
        self.send()

    @rule(wallet=st.sampled_from(WALLETS), nano=amounts)
    def deposit(self, wallet: LedgerAccountId, nano: int) -> None:
        self.add(Post(self.moved(nano, WORLD_ID, wallet)))

    @rule(route=st.sampled_from(ROUTES), nano=amounts)
    def move(self, route: tuple[LedgerAccountId, LedgerAccountId], nano: int) -> None:
        self.add(Post(self.moved(nano, *route)))

    @rule(account=st.sampled_from(HOLDERS), nano=amounts, due=minutes)
    def reserve(self, account: LedgerAccountId, nano: int, due: datetime) -> None:
        hold = hold_id(next(self.numbers))
        self.asked.append(hold)
        self.add(Reserve(hold, account, nano, due))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), nano=amounts)
    def raise_hold(self, data: st.DataObject, nano: int) -> None:
        self.add(Raise(self.hold(data), nano))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), nano=amounts, as_fee=st.booleans())
    def capture(self, data: st.DataObject, nano: int, as_fee: bool) -> None:
        self.add(self.captured(self.hold(data), nano, as_fee))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), over=st.integers(-3, 1))
    def capture_about_all(self, data: st.DataObject, over: int) -> None:
        hold = self.hold(data)
        self.add(self.captured(hold, max(1, self.model.left(hold) + over), as_fee=False))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), nano=amounts, thief=st.sampled_from(HOLDERS))
    def capture_from_any_account(self, data: st.DataObject, nano: int, thief: LedgerAccountId) -> None:
        self.add(Capture(self.moved(nano, thief, WITHHELD, self.hold(data))))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), nano=amounts)
    def release_a_part(self, data: st.DataObject, nano: int) -> None:
        self.add(Release(self.hold(data), amount_nano=nano))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        self.add(Release(self.hold(data)))

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), now=minutes)
    def expire(self, data: st.DataObject, now: datetime) -> None:
        self.add(Expire(self.hold(data), now))

    @precondition(lambda self: self.ledger.transfers)
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        self.add(Reverse(mirror(data.draw(st.sampled_from(self.ledger.transfers)), self.number())))

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """The same again; what moves money comes under a new id, as from a caller who forgot that he had asked."""
        operation = data.draw(st.sampled_from(self.done))
        if isinstance(operation, Post | Capture | Reverse):
            operation = replace(operation, transfer=replace(operation.transfer, id=self.number()))
        self.add(operation)

    @precondition(lambda self: self.group is None)
    @rule()
    def begin_group(self) -> None:
        self.group = []

    @rule()
    def send(self) -> None:
        """End the group if one is open, and apply all that was collected."""
        batch = self.batch + ([Linked(tuple(self.group))] if self.group is not None else [])
        self.batch, self.group = [], None
        note(f"sent {batch}")
        assert codes(self.ledger.do(*batch)) == self.model.tell(batch)

    def add(self, operation: Operation) -> None:
        self.done.append(operation)
        if self.group is not None:
            self.group.append(operation)
        else:
            self.batch.append(operation)

    def hold(self, data: st.DataObject) -> HoldId:
        """One that was asked for, and more often than not one that is pending."""
        pending = [hold for hold in self.model.holds() if self.model.left(hold)]
        return data.draw(st.sampled_from(2 * pending + self.asked))

    def number(self) -> TransferId:
        return transfer_id(next(self.numbers))

    def moved(self, nano: int, debit: LedgerAccountId, credit: LedgerAccountId, hold: HoldId | None = None) -> Transfer:
        return replace(transfer(nano, debit, credit, hold), id=self.number())

    def captured(self, hold: HoldId, nano: int, as_fee: bool) -> Capture:
        """From earnings it is a payout."""
        holder = self.model.holder(hold) or WALLET
        to = WORLD_ID if holder == EARNINGS else FEES_ID if as_fee else EARNINGS
        return Capture(self.moved(nano, holder, to, hold))

    def teardown(self) -> None:
        self.send()
        self.balances_are_what_the_model_says_and_only_the_world_owes()

    @invariant()
    def balances_are_what_the_model_says_and_only_the_world_owes(self) -> None:
        balances = self.ledger.balances
        assert sum(balance.posted_nano for balance in balances.values()) == 0
        for account, balance in balances.items():
            assert (balance.posted_nano, balance.reserved_nano) == (
                self.model.posted(account),
                self.model.reserved(account),
            )
            assert balance.reserved_nano >= 0
            assert balance.available_nano >= 0 or account == WORLD_ID

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
        assert list(self.ledger.holds) == self.model.holds()
        for hold in self.ledger.holds.values():
            assert (hold.amount_nano, hold.captured_nano, hold.released_nano) == (
                self.model.set_aside(hold.id),
                self.model.captured(hold.id),
                self.model.given_back(hold.id),
            )
            assert hold.captured_nano + hold.released_nano <= hold.amount_nano
            assert (hold.state is HoldState.PENDING) == (hold.left_nano > 0)
            assert hold.state is HoldState.PENDING or (hold.state is HoldState.POSTED) == (hold.captured_nano > 0)

    @invariant()
    def a_resolved_hold_stays_as_it_is(self) -> None:
        for hold in self.ledger.holds.values():
            if hold.state is not HoldState.PENDING:
                assert self.resolved.setdefault(hold.id, hold) == hold

    @invariant()
    def transfers_are_those_of_the_model_and_none_is_reversed_twice(self) -> None:
        assert self.ledger.transfers == self.model.transfers()
        undone = Counter(m.original_id for m in self.ledger.transfers if m.kind is TransferKind.REVERSAL)
        assert set(undone.values()) <= {1}


TestBooks: Any = Books.TestCase
TestBooks.settings = settings(max_examples=75, stateful_step_count=60)
