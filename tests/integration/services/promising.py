"""Sessions with an SLA, for tests of what is counted of them and what becomes of their money."""

from datetime import datetime, timedelta

from backend.bootstrap import utc_now
from backend.domain.leases import window_nano
from backend.domain.ledger import AccountKind
from backend.domain.money import NANO_PER_CREDIT, fee_nano
from backend.domain.orders import CloseReason
from backend.domain.sla import WINDOW, Histogram, Measured, SlaWindow
from backend.services import sessions, sla
from backend.storage.sessions import Session
from tests.integration.services.earning import has
from tests.market import ASK, Market

FUNDS = 1_000 * NANO_PER_CREDIT
PAID = window_nano(ASK, 1)  # of a whole prepaid window
EARNED = PAID - fee_nano(PAID, 40_000)
GOOD_MS, BAD_MS = 20, 5_000  # tier medium promises 1,000
FIRST_STEP = 100_000


def opened(market: Market, *, sla: bool = True, tier: str = "medium") -> Session:
    """A granted session."""
    market.executor()
    order_id = sessions.open_session(market.app.uow(), utc_now(), market.buyer, "doubling", tier, sla=sla)
    market.clear()
    session = sessions.progress(market.app.uow(), utc_now(), order_id).lease
    assert session is not None
    return session


def seen(served: int, latency_ms: int = GOOD_MS, failures: int = 0) -> Measured:
    """What a gateway has counted since the session was granted."""
    return Measured(Histogram.of([latency_ms] * served), failures)


def renew(market: Market, session: Session, second: float, measured: Measured | None = None) -> datetime:
    """Renew at so many seconds after the grant."""
    return sessions.renew(market.app.uow(), after(session, second), session.lease_id, measured)


def end(
    market: Market,
    session: Session,
    second: float,
    measured: Measured | None = None,
    reason: CloseReason = CloseReason.SESSION_IDLE,
) -> None:
    sessions.end(market.app.uow(), after(session, second), session.lease_id, reason, measured)


def settle(market: Market, session: Session, second: float) -> int:
    """Settle what is over so many seconds after the grant."""
    return sessions.settle_windows(market.app.uow(), after(session, second))


def after(session: Session, second: float) -> datetime:
    return session.granted_at + timedelta(seconds=second)


def windows(market: Market) -> list[SlaWindow]:
    """All SLA windows, newest first."""
    return sla.list_windows(market.app.uow(), None)


def close(market: Market) -> int:
    """Close whatever SLA windows are open."""
    return sla.close_due(market.app.uow(), utc_now() + 2 * WINDOW)


def provider_has(market: Market) -> tuple[int, int]:
    """Earnings and withheld."""
    return has(market, market.provider, AccountKind.EARNINGS), has(market, market.provider, AccountKind.WITHHELD)
