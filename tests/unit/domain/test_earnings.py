"""Statements of earnings add up."""

from uuid import UUID

from backend.domain.earnings import EarningsLine, EarningsStatement
from backend.domain.ids import AccountId
from backend.domain.periods import month


def test_opening_balances_and_lines_make_the_closing_balances() -> None:
    lines = [
        EarningsLine("charge", None, "batch", 3, 900, 0),
        EarningsLine("withhold", None, None, 1, -200, 200),
        EarningsLine("sla_credit", None, "session", 1, 0, -50),
        EarningsLine("payout", None, None, 1, -600, 0),
    ]
    statement = EarningsStatement(AccountId(UUID(int=1)), month("2026-10", "UTC"), 10, 5, lines)
    assert (statement.closing_nano, statement.closing_withheld_nano) == (110, 155)
