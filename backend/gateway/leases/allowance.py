"""Allowances as this process draws on them, and which of them are still drawn on."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.access import Spender
from backend.domain.allowances import Purse, Report
from backend.domain.leases import IDLE_S
from backend.services.allowances import Granted


@dataclass(frozen=True, slots=True)
class AllowanceKey:
    """What an allowance is for; requests that share it draw on the same one."""

    spender: Spender
    model: str
    version: int


@dataclass(slots=True, eq=False)
class Allowance:
    """What is held, until when, what one request may cost, and the next block on its way."""

    key: AllowanceKey
    purse: Purse
    request_max_nano: int
    until: datetime
    used_at: datetime
    raising: "asyncio.Task[None] | None" = None
    retired: bool = False

    @staticmethod
    def of(key: AllowanceKey, granted: Granted, now: datetime) -> "Allowance":
        """What was granted."""
        purse = Purse(granted.order_id, granted.held_nano)
        return Allowance(key, purse, granted.request_max_nano, granted.until, now)

    def over(self, now: datetime) -> bool:
        """Whether its time is over, or nobody has used it for IDLE_S."""
        idle = self.purse.under_way_nano == 0 and now - self.used_at >= timedelta(seconds=IDLE_S)
        return idle or now >= self.until


class AllowanceBook:
    """One allowance per key is drawn on; those that are retired wait for their last report."""

    def __init__(self) -> None:
        self._live: dict[AllowanceKey, Allowance] = {}
        self._retired: list[Allowance] = []

    def __len__(self) -> int:
        return len(self._live) + len(self._retired)

    def __iter__(self) -> Iterator[Allowance]:
        return iter([*self._live.values(), *self._retired])

    def get(self, key: AllowanceKey) -> Allowance | None:
        """The one that is drawn on."""
        return self._live.get(key)

    def add(self, allowance: Allowance) -> None:
        """Draw on it from now on, and not on the one before."""
        if before := self._live.get(allowance.key):
            self.retire(before)
        self._live[allowance.key] = allowance

    def retire(self, allowance: Allowance) -> None:
        """Draw on it no more; it ends with its last report, when nothing of it is under way."""
        if not allowance.retired:
            del self._live[allowance.key]
            allowance.retired = True
            self._retired.append(allowance)

    def retire_over(self, now: datetime) -> None:
        """Retire those whose time is over, or that nobody uses."""
        for allowance in [one for one in self._live.values() if one.over(now)]:
            self.retire(allowance)

    def retire_all(self) -> None:
        """Retire every one: they may have been given back, or this process ends."""
        for allowance in list(self._live.values()):
            self.retire(allowance)

    def drop(self, allowance: Allowance) -> None:
        """It has ended."""
        self.retire(allowance)
        self._retired = [one for one in self._retired if one is not allowance]

    def due(self, *, closing: bool = False) -> dict[Report, Allowance]:
        """What there is to report; when `closing`, what is under way is given up."""
        reports = {}
        for allowance in self:
            last = allowance.retired and (closing or allowance.purse.under_way_nano == 0)
            if one := allowance.purse.report(last=last):
                reports[one] = allowance
        return reports
