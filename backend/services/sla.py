"""SLAs: what was served goes into windows, its earnings wait there, and a broken promise is paid when one closes.

Automatic and once: an order is marked when it is counted, a window when it is closed, in the transaction that moves
the money. Real-time sessions are measured by their gateways, and counted in `session_sla`.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

from backend.domain.access import Principal, Role
from backend.domain.errors import Invalid, NotFound, unknown_choice
from backend.domain.ids import AccountId, LogId, SlaWindowId
from backend.domain.sla import WINDOW, WINDOW_REQUESTS, Promise, SlaState, SlaWindow
from backend.domain.tiers import TierVersion, tier_at
from backend.services.withholding import Claim, Due, resolve, withhold_left
from backend.storage.contention import patient
from backend.storage.ids import new_id
from backend.storage.log import Entry
from backend.storage.sla import Service, Share
from backend.storage.unit_of_work import UnitOfWork

OBSERVE_ORDERS_MAX = 200
CLOSE_MAX = 500
LIST_MAX = 500


@patient
def observe(uow: UnitOfWork, now: datetime) -> int:
    """Count the service of orders with an SLA that have ended, and withhold what their providers still have of it.

    Returns how many orders were counted, OBSERVE_ORDERS_MAX at most.
    """
    with uow:
        orders = uow.sla.lock_uncounted(OBSERVE_ORDERS_MAX)
        if orders:
            _count_served(uow, now, uow.sla.served(orders))
            uow.sla.mark_counted(orders, now)
            uow.commit()
    return len(orders)


def count_requests(uow: UnitOfWork, now: datetime, services: Sequence[Service]) -> None:
    """Count requests that nothing is to be withheld for, inside the caller's unit of work; it locks no money any more.

    They were lost with their node and cost nothing, or are a session's, which pays by time.
    """
    if services:
        windows = uow.sla.lock_current({service.between for service in services}, now)
        for service in services:
            windows[service.between] = windows[service.between].counting(service.measured)
        uow.sla.write(windows.values())


@patient
def close_due(uow: UnitOfWork, now: datetime) -> int:
    """Close windows that are over: pay what their promise is short of, give the rest back; returns how many, at most
    CLOSE_MAX. Called again, or by two at a time, it finds none of them open.
    """
    with uow:
        due = uow.sla.due(now - WINDOW, WINDOW_REQUESTS, CLOSE_MAX)
        if due:
            _lock_money(uow, due)  # before the windows, as whoever counts does
            windows = uow.sla.lock_open([window.id for window in due])
            _close(uow, now, [window for window in windows if window.is_over(now)])
            uow.commit()
    return len(due)


def show_window(uow: UnitOfWork, window_id: SlaWindowId, principal: Principal) -> SlaWindow:
    """A window that the caller bought or served (admins: any); raises NotFound."""
    with uow:
        window = uow.sla.find(window_id)
        mine = window and principal.account_id in (window.account_id, window.provider_id)
        if window is None or not (mine or principal.role is Role.ADMIN):
            raise NotFound("window", window_id)
        return window


def list_windows(
    uow: UnitOfWork,
    account_id: AccountId | None,
    state: str | None = None,
    limit: int = 100,
    before: SlaWindowId | None = None,
) -> list[SlaWindow]:
    """The newest windows that an account bought or served, or everybody's; `before` continues a list below an id."""
    if not 1 <= limit <= LIST_MAX:
        raise Invalid(f"limit {limit}", code="invalid_limit", field="limit", accepted=f"1 to {LIST_MAX}")
    if state is not None and state not in [s.value for s in SlaState]:
        raise unknown_choice("state", state, [s.value for s in SlaState])
    with uow:
        return uow.sla.newest(account_id, SlaState(state) if state else None, limit, before)


def _count_served(uow: UnitOfWork, now: datetime, served: Sequence[Service]) -> None:
    providers = {service.between.provider_id for service in served}
    uow.ledger.lock(earnings_of=providers, withheld_of=providers)
    windows = uow.sla.lock_current({service.between for service in served}, now)
    claims = [_claim(windows[service.between], service) for service in served]
    shares = []
    for service, withheld in zip(served, withhold_left(uow, now, claims), strict=True):
        window = windows[service.between]
        windows[service.between] = window.counting(service.measured, service.charged_nano, withheld)
        shares.append(Share(window.id, service.order_id, service.charged_nano, withheld))
    uow.sla.write(windows.values())
    uow.sla.add_shares(shares)


def _claim(window: SlaWindow, service: Service) -> Claim:
    reference = f"{reference_of(window.id)} {service.order_id}"
    return Claim(window.provider_id, service.charged_nano, service.order_id, reference)


def _close(uow: UnitOfWork, now: datetime, windows: Sequence[SlaWindow]) -> None:
    standing = uow.sla.standing_nano([window.id for window in windows])
    versions = uow.tiers.versions()
    judged = [window.judged(_promise(versions, window), standing.get(window.id, 0), now) for window in windows]
    dues = [Due(w.account_id, w.provider_id, w.withheld_nano, w.owed_nano, reference_of(w.id)) for w in judged]
    closed = [
        replace(window, withheld_nano=window.withheld_nano + paid.topped_up_nano, credit_nano=paid.credit_nano)
        for window, paid in zip(judged, resolve(uow, now, dues), strict=True)
    ]
    uow.sla.write(closed)
    uow.log.add([_entry(window, now) for window in closed if window.owed_nano])


def _promise(versions: Sequence[TierVersion], window: SlaWindow) -> Promise:
    """What the window's tier promised when it was opened."""
    tier = tier_at(versions, window.opened_at)[window.tier]
    return Promise(tier.latency_ms_p95, tier.uptime_ppm, tier.ladder)


def _lock_money(uow: UnitOfWork, windows: Collection[SlaWindow]) -> None:
    providers = {window.provider_id for window in windows}
    uow.ledger.lock(wallets_of={window.account_id for window in windows}, earnings_of=providers, withheld_of=providers)


def _entry(window: SlaWindow, now: datetime) -> Entry:
    """What the audit log tells of a broken promise: nobody's act, and money all the same."""
    details = {
        "account": str(window.account_id),
        "provider": str(window.provider_id),
        "tier": str(window.tier),
        "latency_ms_p95": window.latency_ms_p95,
        "uptime_ppm": window.uptime_ppm,
        "owed_nano": window.owed_nano,
        "credit_nano": window.credit_nano,
    }
    return Entry(LogId(new_id()), now, None, None, "sla.credit", f"sla {window.id}", details)


def reference_of(window_id: SlaWindowId) -> str:
    """What references of a window's transfers begin with; its credit's is no more than this."""
    return f"sla {window_id}"
