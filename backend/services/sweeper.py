"""The sweeper: what was lost is found again, by the clock, whatever happened to messages and processes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.dead_letters import LETTERS_KEPT
from backend.domain.events import Event, Topic
from backend.domain.orders import SESSION, CloseReason
from backend.services.holds import raise_again
from backend.services.session_sla import lost_sessions
from backend.services.sla import count_requests
from backend.services.trust import lapsed, lost_nodes
from backend.storage.unit_of_work import UnitOfWork

SWEEP_MAX = 1_000
REOPEN_GRACE = timedelta(seconds=60)
SENT_KEPT = timedelta(hours=1)
AGENTS_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one sweep brought back or ended."""

    lapsed_items: int
    moved_orders: int
    ended_sessions: int
    overdue_orders: int
    hopeless_orders: int
    resent_units: int


def sweep(uow: UnitOfWork, now: datetime) -> SweepReport:
    """Return claims that ran out, move work off dead nodes, end what is overdue, resend what nobody took."""
    with uow:
        moved, sessions = _leave_dead_nodes(uow, now)
        lapses = uow.work.lapse(now, SWEEP_MAX)
        lapsed(uow, now, lapses)
        overdue = _close_overdue(uow, now)
        hopeless = _close_hopeless(uow)
        resent = uow.work.resend(now, SWEEP_MAX)
        uow.outbox.add(resent, now)
        if resent:
            uow.emit(Event(Topic.UNITS_READY))
        if moved:
            uow.emit(Event(Topic.ORDERS_PLACED))
        if overdue or hopeless or sessions:
            uow.emit(Event(Topic.WORK_COMMITTED))
        uow.commit()
    return SweepReport(sum(lapse.items for lapse in lapses), moved, sessions, overdue, hopeless, len(resent))


def forget(uow: UnitOfWork, now: datetime) -> int:
    """Drop what nobody asks for any more: messages sent and letters of long ago, SWEEP_MAX of each at most, and agents.

    Returns how many messages or letters went, whichever were more.
    """
    with uow:
        sent = uow.outbox.forget_sent(now - SENT_KEPT, SWEEP_MAX)
        letters = uow.dead_letters.forget(now - LETTERS_KEPT, SWEEP_MAX)
        uow.agents.forget_before(now - AGENTS_KEPT)
        uow.commit()
    return max(sent, letters)


def _leave_dead_nodes(uow: UnitOfWork, now: datetime) -> tuple[int, int]:
    """End leases on nodes without a living agent; their work goes back to the auction, sessions end."""
    found = uow.orders.lock_on_dead_nodes(now, SWEEP_MAX)
    if not found:
        return 0, 0
    nodes = {node for _, dead in found for node in dead}
    work = [order.id for order, _ in found if order.workload != SESSION]
    sessions = [order.id for order, _ in found if order.workload == SESSION]
    lost = uow.sla.under_way(work, nodes)
    promised = uow.sessions.promised(sessions, now) if sessions else []
    uow.work.take_back(work, nodes)
    freed = uow.leases.end([order.id for order, _ in found], now, nodes)
    raise_again(uow, now, uow.orders.reopen_without_lease(work, now + REOPEN_GRACE))
    uow.nodes.give_back(freed)
    uow.orders.begin_close([(order, CloseReason.NODE_LOST) for order in sessions])
    count_requests(uow, now, lost + lost_sessions(uow, promised))
    lost_nodes(uow, now, found)
    uow.emit(Event(Topic.LEASES_ENDED))
    return len(work), len(sessions)


def _close_overdue(uow: UnitOfWork, now: datetime) -> int:
    """Open orders past their deadline end, with the reason that their last auction gave."""
    orders = uow.orders.lock_overdue(now, SWEEP_MAX)
    if orders:
        uow.work.cancel([order.id for order in orders])
        uow.orders.begin_close([(order.id, order.reason or CloseReason.DEADLINE_PASSED) for order in orders])
    return len(orders)


def _close_hopeless(uow: UnitOfWork) -> int:
    """Orders of which only dead items are left end."""
    orders = uow.orders.lock_hopeless(SWEEP_MAX)
    if orders:
        uow.orders.begin_close([(order.id, CloseReason.ATTEMPTS_EXHAUSTED) for order in orders])
    return len(orders)
