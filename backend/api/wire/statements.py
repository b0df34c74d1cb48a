"""Statements on the wire: of earnings, and of what was paid by the request."""

from collections.abc import Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.domain import earnings as domain
from backend.domain.billing import format_quantity
from backend.domain.ids import AccountId
from backend.domain.money import format_credits
from backend.domain.periods import Period
from backend.storage.allowances import DayOfUse


class EarningsLine(Answer):
    """Movements of one kind: what they added to the free and to the withheld earnings."""

    kind: str
    reverses: str | None = Field(description="Of a reversal: the kind of what it undid.")
    workload: str | None
    count: int
    earnings: Amount
    withheld: Amount

    @classmethod
    def of(cls, line: domain.EarningsLine) -> Self:
        """The wire form of a line."""
        return cls(
            kind=line.kind,
            reverses=line.reverses,
            workload=line.workload,
            count=line.count,
            earnings=format_credits(line.earnings_nano),
            withheld=format_credits(line.withheld_nano),
        )


class EarningsStatement(Answer):
    """Opening + lines = closing, for the free and the withheld earnings alike. `period_end` is not part of it."""

    account: UUID
    period_start: datetime
    period_end: datetime
    timezone: str
    opening: Amount
    opening_withheld: Amount
    lines: list[EarningsLine]
    closing: Amount
    closing_withheld: Amount

    @classmethod
    def of(cls, statement: domain.EarningsStatement) -> Self:
        """The wire form of a statement."""
        return cls(
            account=statement.account_id,
            period_start=statement.period.start,
            period_end=statement.period.end,
            timezone=statement.period.timezone,
            opening=format_credits(statement.opening_nano),
            opening_withheld=format_credits(statement.opening_withheld_nano),
            lines=[EarningsLine.of(line) for line in statement.lines],
            closing=format_credits(statement.closing_nano),
            closing_withheld=format_credits(statement.closing_withheld_nano),
        )


class DayOfRequests(Answer):
    """Requests of one model on one day; those that go over midnight count where their allowance began."""

    day: datetime
    model: str
    requests: int
    busy_seconds: str
    charge: Amount

    @classmethod
    def of(cls, used: DayOfUse) -> Self:
        """The wire form of a line."""
        return cls(
            day=used.day,
            model=used.model,
            requests=used.requests,
            busy_seconds=format_quantity(used.busy_us),
            charge=format_credits(used.charged_nano),
        )


class RequestsStatement(Answer):
    """What was paid by the request in a period, as it was charged. `period_end` is not part of it."""

    account: UUID
    period_start: datetime
    period_end: datetime
    timezone: str
    lines: list[DayOfRequests]
    requests: int
    charge: Amount

    @classmethod
    def of(cls, account: AccountId, period: Period, used: Sequence[DayOfUse]) -> Self:
        """The wire form of a statement."""
        return cls(
            account=account,
            period_start=period.start,
            period_end=period.end,
            timezone=period.timezone,
            lines=[DayOfRequests.of(line) for line in used],
            requests=sum(line.requests for line in used),
            charge=format_credits(sum(line.charged_nano for line in used)),
        )
