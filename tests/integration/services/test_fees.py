"""The fee schedule: set for a time to come, and fixed for an order when it is placed."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Forbidden, SwarmexError
from backend.domain.fees import FeeVersion
from backend.domain.ledger import TransferKind
from backend.domain.money import fee_nano
from backend.domain.tiers import TierName
from backend.services import fees
from tests.integration.services.clock import in_seconds
from tests.integration.services.earning import ADMIN, BUSY_US, CHARGED, DEAR, assert_audited, logged
from tests.market import Market


def set_fee(market: Market, ppm: int, tier: str = "medium", in_s: float | None = None) -> FeeVersion:
    since = None if in_s is None else in_seconds(in_s)
    return fees.set_fee(market.app.uow(), utc_now(), ADMIN, tier, ppm, since)


def current(market: Market, in_s: float = 0) -> dict[str, int]:
    with market.app.uow() as uow:
        return {str(tier): ppm for tier, ppm in uow.fees.current(in_seconds(in_s)).items()}


def test_a_market_is_born_with_the_fees_of_its_tiers(market: Market) -> None:
    assert current(market) == {"small": 50_000, "medium": 40_000, "large": 30_000, "enterprise": 20_000}
    assert [v.version for v in fees.list_fees(market.app.uow())] == [1, 1, 1, 1]


def test_a_fee_begins_when_it_is_said_to_and_the_latest_to_begin_counts(market: Market) -> None:
    later = set_fee(market, 60_000, in_s=3_600)
    assert (later.version, current(market)["medium"], current(market, 3_601)["medium"]) == (2, 40_000, 60_000)
    assert set_fee(market, 10_000).version == 3
    assert (current(market)["medium"], current(market, 3_601)["medium"]) == (10_000, 60_000)
    assert current(market)["small"] == 50_000
    assert logged(market, "fee") == ["fee.set", "fee.set"]


def test_an_order_that_runs_keeps_the_fee_that_it_was_placed_at(market: Market) -> None:
    market.node("a", slots=2, ask=DEAR)
    executor = market.executor()
    [before] = market.place()
    set_fee(market, 500_000)
    [after] = market.place()
    market.clear()
    executor.commit(executor.claim(market.dispatched()), busy_us=BUSY_US)
    market.settle()
    taken = {}
    for order in (before, after):
        with market.app.uow() as uow:
            transfers = uow.ledger.transfers_of_order(order.id)
        taken[order.id] = sum(t.amount_nano for t in transfers if t.kind is TransferKind.FEE)
    assert taken == {before.id: fee_nano(CHARGED, 40_000), after.id: fee_nano(CHARGED, 500_000)}
    assert_audited(market)


@pytest.mark.parametrize(
    ("tier", "ppm", "in_s", "code", "field"),
    [
        ("giant", 1, None, "invalid_tier", "tier"),
        ("small", -1, None, "invalid_fee", "fee_ppm"),
        ("small", 500_001, None, "invalid_fee", "fee_ppm"),
        ("small", 1, -60, "invalid_valid_from", "valid_from"),
    ],
)
def test_what_can_be_no_fee_is_refused_and_writes_nothing(
    market: Market, tier: str, ppm: int, in_s: float | None, code: str, field: str
) -> None:
    with pytest.raises(SwarmexError) as refused:
        set_fee(market, ppm, tier, in_s)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert refused.value.accepted
    assert len(fees.list_fees(market.app.uow())) == 4
    assert logged(market, "fee") == []


def test_only_admins_set_fees(market: Market) -> None:
    with pytest.raises(Forbidden):
        fees.set_fee(market.app.uow(), utc_now(), market.provider, "small", 0)


def test_eight_who_set_a_fee_at_once_make_eight_versions(market: Market) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda ppm: set_fee(market, ppm), range(8)))
    assert sorted(v.version for v in made) == list(range(2, 10))
    latest = max(made, key=lambda v: (v.valid_from, v.version))
    with market.app.uow() as uow:
        assert uow.fees.current(latest.valid_from + timedelta(seconds=1))[TierName.MEDIUM] == latest.fee_ppm
