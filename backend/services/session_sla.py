"""SLAs of real-time sessions: what gateways measured is counted, and earnings of settled windows wait.

Gateways hand over running totals, of which a lease keeps what is in SLA windows already: a total that comes twice, or
late, adds nothing. All inside the caller's unit of work.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from backend.domain.ids import HoldId, OrderId
from backend.domain.ledger import FEES_ID, Transfer, TransferKind
from backend.domain.sla import Measured
from backend.services.escrow import Charge
from backend.services.sla import count_requests, reference_of
from backend.services.withholding import Claim, withhold_left
from backend.storage.order_rows import Order
from backend.storage.sessions import OpenWindow, Session
from backend.storage.sla import Between, Service, SessionShare
from backend.storage.unit_of_work import UnitOfWork

LOST = Measured(failures=1)


def count_measured(uow: UnitOfWork, now: datetime, session: Session, total: Measured | None) -> None:
    """Count what of a session's running total is in no window yet; nothing of a session without an SLA."""
    fresh = total.since(session.measured) if total and session.sla else Measured()
    if fresh.requests:
        count_requests(uow, now, [_service(session, fresh)])
        uow.sessions.keep_measured({session.lease_id: session.measured.merged(fresh)})


def lost_sessions(uow: UnitOfWork, sessions: Sequence[Session]) -> list[Service]:
    """Sessions that are lost with their node, as a failure each, for the caller to count.

    Kept as if a gateway had told it, so that the first request that its gateway saw fail is not one more.
    """
    uow.sessions.keep_measured({session.lease_id: session.measured.merged(LOST) for session in sessions})
    return [_service(session, LOST) for session in sessions]


def lock_money(
    uow: UnitOfWork, windows: Sequence[OpenWindow], charges: Sequence[Charge], holds: Collection[HoldId]
) -> None:
    """Lock all that charging and withholding will move in one go, so that accounts are locked in id order.

    `windows` are those with an SLA; without any, who charges locks for himself.
    """
    if windows:
        locked = uow.ledger.lock_holds({charge.hold_id for charge in charges} | set(holds))
        uow.ledger.lock(
            earnings_of={charge.provider for charge in charges if charge.provider},
            withheld_of={window.provider for window in windows},
            others={hold.account for hold in locked.values()} | {FEES_ID},
        )


def withhold_windows(
    uow: UnitOfWork,
    now: datetime,
    orders: Mapping[OrderId, Order],
    windows: Sequence[OpenWindow],
    paid: Sequence[Transfer],
) -> None:
    """Withhold what the providers of these prepaid windows, which have an SLA, were just paid for them.

    To be called last in a transaction that locked its money by `lock_money`.
    """
    earned = {t.hold_id: t.amount_nano for t in paid if t.kind is TransferKind.CHARGE}
    charged = [window for window in windows if window.hold_id in earned]
    if not charged:
        return
    between = {w.id: Between(orders[w.order_id].account_id, w.provider, orders[w.order_id].tier) for w in charged}
    current = uow.sla.lock_current(set(between.values()), now)
    claims = [
        Claim(w.provider, earned[w.hold_id], w.order_id, f"{reference_of(current[between[w.id]].id)} {w.id}")
        for w in charged
    ]
    shares = []
    for window, claim, withheld in zip(charged, claims, withhold_left(uow, now, claims), strict=True):
        parties = between[window.id]
        current[parties] = current[parties].counting(Measured(), claim.amount_nano, withheld)
        shares.append(SessionShare(current[parties].id, window.id, claim.amount_nano, withheld))
    uow.sla.write(current.values())
    uow.sla.add_session_shares(shares)


def _service(session: Session, measured: Measured) -> Service:
    return Service(Between(session.account_id, session.provider_id, session.tier), session.order_id, measured)
