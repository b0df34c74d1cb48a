"""A pooled lease and allowances on it, with a gateway's side in the test's own hands."""

from dataclasses import dataclass
from datetime import datetime

from backend.bootstrap import new_id, utc_now
from backend.domain.access import Principal
from backend.domain.allowances import Purse, Report, Used, Verdict, used_of
from backend.domain.ids import GatewayId, OrderId
from backend.services import allowance_reports, allowances, pools, sessions
from backend.services.allowances import Granted
from backend.storage.allowances import PooledLease
from tests.market import ASK, Market

MOST_US = 1_000  # of one request
BUSY_US = 300
MOST_NANO = ASK * MOST_US // 1_000_000
COST_NANO = ASK * BUSY_US // 1_000_000


def gateway_id() -> GatewayId:
    """A gateway process that nobody has heard of yet."""
    return GatewayId(new_id())


def pooled(market: Market, gateway: GatewayId, name: str = "a") -> PooledLease:
    """A pooled lease on a node of its own that costs ASK."""
    market.node(name, slots=4)
    market.executor()
    order_id = pools.open_pool(market.app.uow(), utc_now(), gateway, "doubling")
    market.clear()
    lease = pools.pool_progress(market.app.uow(), utc_now(), order_id).lease
    assert lease
    return lease


def allow(
    market: Market,
    gateway: GatewayId,
    whose: Principal | None = None,
    now: datetime | None = None,
    nano: int = MOST_NANO,
) -> Granted:
    """An allowance for requests that cost so much at most."""
    return allowances.open_allowance(
        market.app.uow(), now or utc_now(), gateway, (whose or market.buyer).spender, "doubling", None, nano, ASK
    )


def used(lease: PooledLease, requests: int = 1) -> Used:
    """So many requests that ran for BUSY_US each."""
    one = used_of(lease.lease_id, lease.price_nano_per_slot_s, lease.earns_nano_per_slot_s, MOST_US, BUSY_US, BUSY_US)
    return Used(lease.lease_id, requests, requests * one.busy_us, requests * one.paid_nano, requests * one.earned_nano)


def tell(market: Market, gateway: GatewayId, *reports: Report, now: datetime | None = None) -> dict[OrderId, Verdict]:
    """Report to the coordinator."""
    return allowance_reports.report(market.app.uow(), now or utc_now(), gateway, reports)


def spend(
    market: Market, gateway: GatewayId, lease: PooledLease, requests: int, whose: Principal | None = None
) -> OrderId:
    """An allowance that was used so often, reported and ended."""
    granted = allow(market, gateway, whose)
    verdicts = tell(market, gateway, Report(granted.order_id, 1, (used(lease, requests),), last=True))
    assert verdicts == {granted.order_id: Verdict.TAKEN}
    return granted.order_id


def give_back(market: Market, now: datetime | None = None) -> None:
    """What settlement's timer does for lost gateways and orders at their end."""
    allowances.end_lost(market.app.uow(), now or utc_now())
    sessions.settle_windows(market.app.uow(), now or utc_now())


@dataclass
class Gateway:
    """One gateway process with a purse for its user, that draws, runs and reports as it is told to."""

    market: Market
    lease: PooledLease
    id: GatewayId
    purse: Purse

    def run(self, requests: int) -> int:
        """Run so many requests as far as the allowance goes; returns how many ran."""
        ran = 0
        for _ in range(requests):
            draw = self.purse.draw(MOST_NANO)
            if draw is None:
                break
            draw.settle(used(self.lease))
            ran += 1
        return ran

    def tell(self, *, last: bool = False) -> Verdict:
        """Report; returns what became of it."""
        one = self.purse.report(last=last)
        assert one
        verdict = tell(self.market, self.id, one)[one.order_id]
        self.purse.answered(one)
        return verdict
