"""SLA windows on the wire."""

from datetime import datetime
from typing import Self
from uuid import UUID

from pydantic import Field

from backend.api.wire.base import Amount, Answer
from backend.domain import sla
from backend.domain.money import format_credits


class SlaWindow(Answer):
    """What a provider did for an account in a tier; while it is open, what was measured so far."""

    id: UUID
    account: UUID
    provider: UUID
    tier: str
    state: str
    opened_at: datetime
    closed_at: datetime | None
    requests: int
    failures: int
    latency_ms_p95: int | None = Field(description="The upper bound of its bucket; none if no request was served.")
    uptime_ppm: int
    charged: Amount = Field(description="What the provider got for it, without the market's fees.")
    withheld: Amount = Field(description="What of that waited, or waits, for the window's end.")
    credit_ppm: int | None = Field(description="The share of what was charged that the promise was short of.")
    owed: Amount
    credit: Amount = Field(description="What was paid of what is owed: all, unless the provider had less.")

    @classmethod
    def of(cls, window: sla.SlaWindow) -> Self:
        """The wire form of a window."""
        measured = window.measured
        return cls(
            id=window.id,
            account=window.account_id,
            provider=window.provider_id,
            tier=window.tier,
            state=window.state,
            opened_at=window.opened_at,
            closed_at=window.closed_at,
            requests=measured.requests,
            failures=measured.failures,
            latency_ms_p95=measured.latency_ms_p95,
            uptime_ppm=measured.uptime_ppm,
            charged=format_credits(window.charged_nano),
            withheld=format_credits(window.withheld_nano),
            credit_ppm=window.credit_ppm,
            owed=format_credits(window.owed_nano),
            credit=format_credits(window.credit_nano),
        )


class SlaWindowList(Answer):
    """Windows, newest first; `next_before` continues below."""

    windows: list[SlaWindow]
    next_before: UUID | None
