"""Allowances: money that is held already, from which a gateway pays requests without asking anybody.

A gateway draws on an allowance in memory, and reports what it used in numbered reports; the coordinator takes each
number once. Pure: the hold itself and its captures are the ledger's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from backend.domain.budgets import Budget, BudgetMode, BudgetPeriod
from backend.domain.ids import AccountId, LeaseId, OrderId
from backend.domain.money import charge_nano
from backend.domain.tiers import TierName

BLOCK_REQUESTS = 500  # worst cases that are held at once, so that a hold is made or raised once in so many requests
REPORT_S = 1.0  # how often a gateway reports: what one that crashes has not told yet is never charged
USED_FOR_S_MAX = 3_600  # then the next allowance begins, so that it counts for the budgets of its own time
GATEWAY_LOST_S = 15.0  # a gateway that was not heard of for so long holds nobody's money and no slot any more
GATEWAY_TRUSTED_S = 5.0  # and one that was not answered for so long serves nobody, well before that

# Whom pooled leases belong to: nobody has a key to it, and its name is none that an account can be opened under.
POOL_ID = AccountId(UUID("00000000-0000-7000-8000-000000000010"))
POOL_NAME = "(pooled leases)"


@dataclass(frozen=True, slots=True)
class Used:
    """What requests on one lease came to: how many, their billed microseconds, what they cost and what was earned."""

    lease_id: LeaseId
    requests: int
    busy_us: int
    paid_nano: int
    earned_nano: int

    def plus(self, other: "Used") -> "Used":
        """Both together; of the same lease."""
        return Used(
            self.lease_id,
            self.requests + other.requests,
            self.busy_us + other.busy_us,
            self.paid_nano + other.paid_nano,
            self.earned_nano + other.earned_nano,
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What an allowance was used for since the report before; with the last one the rest of it is given back."""

    order_id: OrderId
    seq: int
    used: tuple[Used, ...]
    last: bool = False

    @property
    def paid_nano(self) -> int:
        """What it charges altogether."""
        return sum(used.paid_nano for used in self.used)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the coordinator knows of an allowance: whether it is open, the last number taken, and what its hold has."""

    is_open: bool
    seq: int
    left_nano: int


class Verdict(StrEnum):
    """What becomes of a report."""

    TAKEN = "taken"
    KNOWN = "known"  # it was taken before, and is not charged again
    ENDED = "ended"  # the allowance is closed: what was used is nobody's debt
    LATER = "later"  # others work on it: to be sent again as it is


def judge(standing: Standing | None, report: Report) -> Verdict:
    """Whether a report is charged: each number once, in turn, and never more than is held."""
    if standing is None:
        return Verdict.ENDED
    if report.seq <= standing.seq:
        return Verdict.KNOWN
    if not standing.is_open or report.seq != standing.seq + 1 or report.paid_nano > standing.left_nano:
        return Verdict.ENDED
    return Verdict.TAKEN


class Purse:
    """A gateway's side of one allowance; for one event loop, so without locks.

    What is held = what was used + what is under way + what is free, at any time.
    """

    __slots__ = ("_block_nano", "_gathered", "_sent", "_seq", "held_nano", "order_id", "under_way_nano", "used_nano")

    def __init__(self, order_id: OrderId, held_nano: int) -> None:
        self.order_id = order_id
        self.held_nano = self._block_nano = held_nano
        self.used_nano = 0
        self.under_way_nano = 0
        self._gathered: dict[LeaseId, Used] = {}
        self._sent: Report | None = None
        self._seq = 0

    @property
    def free_nano(self) -> int:
        """What a new request may cost at most."""
        return self.held_nano - self.used_nano - self.under_way_nano

    @property
    def is_low(self) -> bool:
        """Whether half of the last block is gone, so that the next is held."""
        return self.free_nano * 2 < self._block_nano

    def draw(self, most_nano: int) -> "Draw | None":
        """Set aside what a request may cost at most; None if there is not so much."""
        if most_nano > self.free_nano:
            return None
        self.under_way_nano += most_nano
        return Draw(self, most_nano)

    def raised(self, by_nano: int) -> None:
        """So much more is held."""
        self.held_nano += by_nano
        self._block_nano = by_nano

    def report(self, *, last: bool = False) -> Report | None:
        """What to tell the coordinator; until it has answered, the same again. None: there is nothing new.

        The last one is asked for when no request is under way.
        """
        if self._sent is None and (self._gathered or last):
            self._seq += 1
            self._sent = Report(self.order_id, self._seq, tuple(self._gathered.values()), last)
            self._gathered = {}
        return self._sent

    def answered(self, report: Report) -> None:
        """The coordinator has taken it, or had before."""
        if self._sent is report:
            self._sent = None

    def gather(self, most_nano: int, used: Used | None) -> None:
        """A request is over; for draws only."""
        self.under_way_nano -= most_nano
        if used:
            self.used_nano += used.paid_nano
            before = self._gathered.get(used.lease_id)
            self._gathered[used.lease_id] = before.plus(used) if before else used


class Draw:
    """What one request may cost at most, set aside until it is over: settled or given back, once."""

    __slots__ = ("_purse", "most_nano")

    def __init__(self, purse: Purse, most_nano: int) -> None:
        self._purse: Purse | None = purse
        self.most_nano = most_nano

    def settle(self, used: Used) -> None:
        """It ran, and cost no more than was set aside; after the first end of a request nothing changes."""
        assert used.paid_nano <= self.most_nano, "a request is billed no more than its worst case"
        if self._purse:
            self._purse.gather(self.most_nano, used)
        self._purse = None

    def cancel(self) -> None:
        """It did not run, or nobody knows: it costs nothing. After it was settled nothing changes."""
        if self._purse:
            self._purse.gather(self.most_nano, None)
        self._purse = None


def used_of(
    lease_id: LeaseId, price_nano: int, earns_nano: int, most_us: int, observed_us: int, reported_us: int | None
) -> Used:
    """What one request is billed: the least of what its node reports, what we saw it take, and its worst case."""
    busy_us = min(most_us, observed_us, observed_us if reported_us is None else max(0, reported_us))
    return Used(lease_id, 1, busy_us, charge_nano(price_nano, busy_us), charge_nano(earns_nano, busy_us))


def block_nano(most_nano: int, cap_nano: int) -> int:
    """What is held at once for requests that cost `most_nano` at most: under the tier's cap, but at least one."""
    return max(most_nano, min(BLOCK_REQUESTS * most_nano, cap_nano))


def request_max_nano(budgets: Iterable[Budget], member: AccountId | None, tier: TierName, cap_nano: int) -> int:
    """What one request of a member in a tier may cost: the least of the tier's cap and of hard budgets per request."""
    limits = [
        budget.limit_nano
        for budget in budgets
        if budget.period is BudgetPeriod.REQUEST
        and budget.mode is BudgetMode.HARD
        and budget.tier in (None, tier)
        and budget.member_id in (None, member)
    ]
    return min([cap_nano, *limits])
