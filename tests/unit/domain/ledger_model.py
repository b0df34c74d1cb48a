"""The ledger told a second time, as a list of facts: slow and plain, to judge the fast one by."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from backend.domain.ids import HoldId, LedgerAccountId, TransferId
from backend.domain.ledger import (
    WORLD_ID,
    Capture,
    Expire,
    Linked,
    Operation,
    Post,
    Raise,
    Release,
    Reserve,
    Reverse,
    Transfer,
    TransferKind,
)

ORDER = (
    "unknown_hold",
    "unknown_transfer",
    "hold_resolved",
    "already_reversed",
    "hold_exceeded",
    "hold_not_due",
    "not_reversible",
    "insufficient_funds",
)


@dataclass(frozen=True)
class Moved:
    """A transfer, out of a hold or not."""

    transfer: Transfer


@dataclass(frozen=True)
class SetAside:
    """More for a hold, the first time or later."""

    hold: HoldId
    account: LedgerAccountId
    nano: int
    due: datetime


@dataclass(frozen=True)
class GivenBack:
    """Less for a hold, without a transfer."""

    hold: HoldId
    nano: int


Fact = Moved | SetAside | GivenBack


@dataclass
class Model:
    """Facts in their order; every figure is added up from all of them, each time that it is asked for."""

    facts: list[Fact] = field(default_factory=list)
    earlier: frozenset[TransferId] = frozenset()  # transfers of batches before this one

    def tell(self, batch: list[Operation | Linked]) -> list[str | None]:
        """What should become of each operation of a batch: None, or the code of its error."""
        self.earlier = frozenset(moved.id for moved in self.transfers())
        return [self._one(operation) for operation in batch]

    def transfers(self) -> list[Transfer]:
        """All that was moved, oldest first."""
        return [fact.transfer for fact in self.facts if isinstance(fact, Moved)]

    def holds(self) -> list[HoldId]:
        """Every hold there was."""
        return list(dict.fromkeys(fact.hold for fact in self.facts if isinstance(fact, SetAside)))

    def holder(self, hold: HoldId | None) -> LedgerAccountId | None:
        """Whose money a hold is; None if there is no such hold."""
        return next((fact.account for fact in self._about(hold) if isinstance(fact, SetAside)), None)

    def due(self, hold: HoldId) -> datetime:
        """When a hold may expire."""
        return next(fact.due for fact in self._about(hold) if isinstance(fact, SetAside))

    def set_aside(self, hold: HoldId | None) -> int:
        """All that was ever set aside for a hold."""
        return sum(fact.nano for fact in self._about(hold) if isinstance(fact, SetAside))

    def captured(self, hold: HoldId | None) -> int:
        """All that was moved out of it."""
        return sum(fact.transfer.amount_nano for fact in self._about(hold) if isinstance(fact, Moved))

    def given_back(self, hold: HoldId | None) -> int:
        """All that was released."""
        return sum(fact.nano for fact in self._about(hold) if isinstance(fact, GivenBack))

    def left(self, hold: HoldId | None) -> int:
        """What can still be captured or released."""
        return self.set_aside(hold) - self.captured(hold) - self.given_back(hold)

    def posted(self, account: LedgerAccountId) -> int:
        """What came in less what went out."""
        moved = self.transfers()
        return sum(m.amount_nano for m in moved if m.credit == account) - sum(
            m.amount_nano for m in moved if m.debit == account
        )

    def reserved(self, account: LedgerAccountId) -> int:
        """What its holds have left."""
        return sum(self.left(hold) for hold in self.holds() if self.holder(hold) == account)

    def free(self, account: LedgerAccountId) -> int:
        """What may be spent."""
        return self.posted(account) - self.reserved(account)

    def reversed(self, transfer: TransferId | None) -> bool:
        """Whether it was undone."""
        return any(m.original_id == transfer for m in self.transfers() if m.kind is TransferKind.REVERSAL)

    def _about(self, hold: HoldId | None) -> Iterator[Fact]:
        for fact in self.facts:
            named = fact.transfer.hold_id if isinstance(fact, Moved) else fact.hold
            if hold is not None and named == hold:
                yield fact

    def _one(self, operation: Operation | Linked) -> str | None:
        if isinstance(operation, Linked):
            before = list(self.facts)
            for part in operation.operations:
                if error := self._one(part):
                    self.facts = before
                    return error
            return None
        faults = set(self._faults(operation))
        if not faults:
            self._note(operation)
        return min(faults, key=ORDER.index, default=None)

    def _faults(self, operation: Operation) -> Iterator[str]:
        """Everything that speaks against an operation, in no order."""
        match operation:
            case Post(moved):
                yield from self._lack(moved.debit, moved.amount_nano)
            case Reserve(hold, account, nano):
                if self.holder(hold):
                    yield "hold_resolved"
                yield from self._lack(account, nano)
            case Raise(hold, nano):
                yield from self._ended(hold)
                if holder := self.holder(hold):
                    yield from self._lack(holder, nano)
            case Capture(moved):
                yield from self._ended(moved.hold_id)
                if self.holder(moved.hold_id) != moved.debit:
                    yield "unknown_hold"
                if self.left(moved.hold_id) < moved.amount_nano:
                    yield "hold_exceeded"
            case Release(hold, _, nano):
                yield from self._ended(hold)
                if nano is not None and self.left(hold) < nano:
                    yield "hold_exceeded"
            case Expire(hold, now):
                yield from self._ended(hold)
                if self.holder(hold) and now < self.due(hold):
                    yield "hold_not_due"
            case Reverse(moved):
                if moved.original_id not in self.earlier:
                    yield "unknown_transfer"
                if self.reversed(moved.original_id):
                    yield "already_reversed"
                if any(m.id == moved.original_id and m.kind is TransferKind.REVERSAL for m in self.transfers()):
                    yield "not_reversible"
                yield from self._lack(moved.debit, moved.amount_nano)

    def _ended(self, hold: HoldId | None) -> Iterator[str]:
        if self.holder(hold) is None:
            yield "unknown_hold"
        if self.left(hold) == 0:
            yield "hold_resolved"

    def _lack(self, account: LedgerAccountId, nano: int) -> Iterator[str]:
        if account != WORLD_ID and self.free(account) < nano:
            yield "insufficient_funds"

    def _note(self, operation: Operation) -> None:
        match operation:
            case Post(moved) | Capture(moved) | Reverse(moved):
                self.facts.append(Moved(moved))
            case Reserve(hold, account, nano, due):
                self.facts.append(SetAside(hold, account, nano, due))
            case Raise(hold, nano):
                first = next(fact for fact in self._about(hold) if isinstance(fact, SetAside))
                self.facts.append(replace(first, nano=nano))
            case Release(hold, _, nano):
                self.facts.append(GivenBack(hold, self.left(hold) if nano is None else nano))
            case Expire(hold):
                self.facts.append(GivenBack(hold, self.left(hold)))
