"""Money that a buyer spends at moments of the test's choosing; and what the ledger says of it."""

from datetime import UTC, date, datetime

from sqlalchemy import text

from backend.bootstrap import new_id
from backend.domain.access import Principal
from backend.domain.ids import HoldId, TransferId
from backend.domain.periods import Period, days, month
from backend.domain.tiers import TierName
from backend.services import corrections, escrow
from tests.integration.services.earning import ADMIN
from tests.market import Market

OCTOBER, NOVEMBER, DECEMBER = month("2031-10", "UTC"), month("2031-11", "UTC"), month("2031-12", "UTC")
AFTER = datetime(2032, 1, 10, tzinfo=UTC)


def at(day: int, month_of: int = 10, hour: int = 12) -> datetime:
    """Noon of a day of autumn 2031, or another hour."""
    return datetime(2031, month_of, day, hour, tzinfo=UTC)


def spend(
    market: Market,
    when: datetime,
    nano: int,
    *,
    buyer: Principal | None = None,
    fee_ppm: int = 0,
    provider: Principal | None = None,
) -> list[TransferId]:
    """Hold and capture so much; returns the transfers."""
    spender = (buyer or market.buyer).spender
    with market.app.uow() as uow:
        hold = HoldId(new_id())
        escrow.reserve_one(uow, when, escrow.Need(spender, hold, nano, when, TierName.ENTERPRISE))
        charge = escrow.Charge(hold, (provider or market.provider).account_id, nano, fee_ppm)
        made = escrow.capture(uow, when, [charge])
        uow.commit()
    return [transfer.id for transfer in made]


def reverse(market: Market, when: datetime, transfer: TransferId) -> TransferId:
    """Reverse a charge or fee; returns the reversal."""
    [reversal] = corrections.reverse(market.app.uow(), when, ADMIN, transfer, "contested").transfers
    return reversal.id


def moved(market: Market, period: Period, buyer: Principal | None = None) -> int:
    """What an account paid in a period less what it got back, deposits left out: straight from the transfers."""
    statement = text("""
        SELECT coalesce(sum(CASE WHEN d.owner_id = :owner AND d.kind = 'wallet' THEN t.amount_nano
                                 ELSE -t.amount_nano END), 0)
        FROM transfers t JOIN ledger_accounts d ON d.id = t.debit_id JOIN ledger_accounts c ON c.id = t.credit_id
        LEFT JOIN transfers o ON o.id = t.original_id
        WHERE (d.owner_id = :owner AND d.kind = 'wallet' OR c.owner_id = :owner AND c.kind = 'wallet')
        AND t.kind <> 'deposit' AND NOT (t.kind = 'reversal' AND o.kind = 'deposit')
        AND t.created_at >= :start AND t.created_at < :end
    """)
    owner = (buyer or market.buyer).account_id
    with market.app.engine.connect() as connection:
        binds = {"owner": owner, "start": period.start, "end": period.end}
        return int(connection.execute(statement, binds).scalar_one())


def moved_late(market: Market, period: Period) -> int:
    """The part of it that reverses what was paid before the period."""
    statement = text("""
        SELECT coalesce(sum(CASE WHEN d.owner_id = :owner AND d.kind = 'wallet' THEN r.amount_nano
                                 ELSE -r.amount_nano END), 0)
        FROM transfers r JOIN transfers o ON o.id = r.original_id AND r.kind = 'reversal' AND o.kind <> 'deposit'
        JOIN ledger_accounts d ON d.id = r.debit_id JOIN ledger_accounts c ON c.id = r.credit_id
        WHERE (d.owner_id = :owner AND d.kind = 'wallet' OR c.owner_id = :owner AND c.kind = 'wallet')
        AND r.created_at >= :start AND r.created_at < :end AND o.created_at < :start
    """)
    with market.app.engine.connect() as connection:
        binds = {"owner": market.buyer.account_id, "start": period.start, "end": period.end}
        return int(connection.execute(statement, binds).scalar_one())


def whole_time() -> Period:
    """The autumn, with days to spare for other time zones."""
    return days(date(2031, 8, 20), AFTER.date(), "UTC")
