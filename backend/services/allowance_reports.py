"""What gateways report of allowances: charged once, in one transaction for any number of users and providers.

A report that is sent twice is known by its number. One for an allowance that has ended is not charged at all, since
its hold was given back: a gateway that was silent for too long has worked for nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from backend.domain.access import Principal
from backend.domain.allowances import Report, Standing, Verdict, judge
from backend.domain.errors import TooLarge
from backend.domain.ids import AccountId, GatewayId, HoldId, LeaseId, NodeId, OrderId
from backend.domain.ledger import Hold
from backend.domain.orders import CloseReason, OrderState
from backend.domain.periods import Period
from backend.domain.trust import Evidence
from backend.services.escrow import Charge, capture
from backend.services.settlement import charge_of, finish
from backend.storage.allowances import DayOfUse, Held, Payee
from backend.storage.contention import patient
from backend.storage.order_rows import Order
from backend.storage.trust import Found
from backend.storage.unit_of_work import UnitOfWork

REPORTS_MAX = 1_000  # allowances in one transaction
DAYS_SHOWN_MAX = 1_000  # lines of days and models


@patient
def report(uow: UnitOfWork, now: datetime, gateway: GatewayId, reports: Sequence[Report]) -> dict[OrderId, Verdict]:
    """Charge what allowances were used for, and end those whose last report it is; each allowance once in `reports`.

    A constant number of statements. It is the gateway's sign of life as well, without any report too.
    """
    if len(reports) > REPORTS_MAX:
        raise TooLarge("too many reports", field="reports", accepted=f"at most {REPORTS_MAX}")
    with uow:
        verdicts = _taken(uow, now, gateway, reports) if reports else {}
        uow.allowances.seen(gateway, now)
        uow.commit()
    return verdicts


def days_of_use(uow: UnitOfWork, account: AccountId, principal: Principal, period: Period) -> list[DayOfUse]:
    """What an account's allowances of a period were used for, by day and model; raises NotFound for somebody else's."""
    principal.require_owner(account, "account", account)
    with uow:
        return uow.allowances.days(account, period, DAYS_SHOWN_MAX)


def _taken(uow: UnitOfWork, now: datetime, gateway: GatewayId, reports: Sequence[Report]) -> dict[OrderId, Verdict]:
    ids = [one.order_id for one in reports]
    orders = {order.id: order for order in uow.orders.lock(ids)}
    held = {order: one for order, one in uow.allowances.held(ids).items() if one.gateway_id == gateway}
    payees = uow.allowances.payees({used.lease_id for one in reports for used in one.used})
    holds = uow.ledger.lock_holds({order.hold_id for order in orders.values()})
    verdicts = {
        one.order_id: _verdict(one, orders.get(one.order_id), held.get(one.order_id), holds, payees) for one in reports
    }
    if taken := [one for one in reports if verdicts[one.order_id] is Verdict.TAKEN]:
        last = {one.order_id: CloseReason.SESSION_IDLE for one in taken if one.last}
        charges = charges_of(taken, orders, payees)
        capture(uow, now, charges, [orders[order].hold_id for order in last])
        finish(uow, now, [orders[one.order_id] for one in taken], charges, last)
        uow.allowances.take({one.order_id: one.seq for one in taken})
        uow.allowances.count([(one.order_id, used) for one in taken for used in one.used])
        uow.trust.record(_served(taken, orders, payees), now)
    return verdicts


def _verdict(
    one: Report,
    order: Order | None,
    held: Held | None,
    holds: Mapping[HoldId, Hold],
    payees: Mapping[LeaseId, Payee],
) -> Verdict:
    if held is None or any(used.lease_id not in payees for used in one.used):
        return Verdict.ENDED
    if order is None:  # locked by somebody else
        return Verdict.LATER
    hold = holds[order.hold_id]
    return judge(Standing(order.state is OrderState.RUNNING, held.seq, hold.left_nano), one)


def charges_of(
    reports: Sequence[Report], orders: Mapping[OrderId, Order], payees: Mapping[LeaseId, Payee]
) -> list[Charge]:
    """One charge per allowance and provider, at the fee that the allowance was opened at."""
    owed: dict[tuple[OrderId, AccountId], tuple[int, int]] = {}
    for one in reports:
        for used in one.used:
            key = (one.order_id, payees[used.lease_id].provider)
            paid, earned = owed.get(key, (0, 0))
            owed[key] = (paid + used.paid_nano, earned + used.earned_nano)
    return [
        charge_of(orders[order], orders[order].hold_id, provider, paid, earned)
        for (order, provider), (paid, earned) in owed.items()
        if paid
    ]


def _served(reports: Sequence[Report], orders: Mapping[OrderId, Order], payees: Mapping[LeaseId, Payee]) -> list[Found]:
    """What nodes did for whom, as trust counts it."""
    counts: Counter[tuple[NodeId, AccountId]] = Counter()
    for one in reports:
        for used in one.used:
            counts[payees[used.lease_id].node_id, orders[one.order_id].account_id] += used.requests
    return [Found(node, buyer, Evidence.SERVED, count) for (node, buyer), count in counts.items()]
