"""The audit finds what somebody changed by hand."""

import pytest
from sqlalchemy import text

from backend.services import audit
from tests.market import Market


@pytest.mark.parametrize(
    ("tampering", "what"),
    [
        ("UPDATE ledger_accounts SET posted_nano = posted_nano + 1 WHERE kind = 'earnings'", "earnings balance"),
        ("UPDATE ledger_accounts SET reserved_nano = reserved_nano + 1 WHERE posted_nano > 0", "wallet reserved"),
        ("UPDATE orders SET charged_nano = charged_nano - 1 WHERE charged_nano > 0", "order charged"),
        ("UPDATE transfers SET amount_nano = amount_nano + 1 WHERE kind = 'charge'", "hold captured"),
        ("DELETE FROM transfers WHERE kind = 'deposit'", "wallet balance"),
    ],
)
def test_a_figure_changed_by_hand_is_found(market: Market, tampering: str, what: str) -> None:
    market.node("a")
    executor = market.executor()
    market.place(3)
    market.run(executor)
    assert audit.audit_ledger(market.app.uow()).ok
    with market.app.engine.begin() as connection:
        connection.execute(text(tampering))
    report = audit.audit_ledger(market.app.uow())
    assert not report.ok
    assert what in {difference.what for difference in report.differences}
