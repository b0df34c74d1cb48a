"""Needs of orders on a real market: what is kept of them, what is refused for them, and what they cost."""

from typing import Any
from uuid import UUID

import pytest

from backend.bootstrap import utc_now
from backend.domain.errors import Invalid, Unavailable
from backend.domain.ids import NodeId
from backend.domain.machines import Needs, needs_of
from backend.services import orders
from backend.storage.order_rows import Order
from tests.integration.api.counting import rows
from tests.market import Market, Statements
from tests.unit.domain.refusals import refusal

ABSENT = NodeId(UUID(int=1))
GPU: dict[str, Any] = {"accelerators": 2, "gpu_model": "a100", "gpu_memory_mb": 40_960}


@pytest.fixture
def stocked(market: Market) -> Market:
    """A small plain node in one region, and one with GPUs and with more of everything in another; both alive."""
    market.node("plain", ask=1_000)
    market.node("strong", region="south", cores=32, memory_mb=65_536, residency="de", latency_ms=5, **GPU)
    market.executor()
    return market


def place(market: Market, **changes: Any) -> Order:
    """One order of the buyer; raises its refusal."""
    return orders.place_workload(market.app.uow(), utc_now(), market.buyer, market.request(**changes)).orders[0]


def test_an_order_is_kept_with_what_it_needs(stocked: Market) -> None:
    needs = Needs(cores=4, gpu_model="a100", residency=("de", "fr"), never=(ABSENT,), spread=True)
    placed = place(stocked, needs=needs, interruptible=True)
    found = stocked.show(placed)
    assert found == placed
    assert needs_of(found.needs) == needs
    assert (found.interruptible, found.sla, found.hint) == (True, False, None)
    plain = stocked.show(place(stocked))
    assert (plain.needs, plain.interruptible) == ({}, False)


def test_markets_with_a_node_that_suits_come_first(stocked: Market) -> None:
    assert place(stocked, priority="cost").markets == ["fog/north", "fog/south"]
    assert place(stocked, priority="cost", needs=Needs(cores=2)).markets == ["fog/south", "fog/north"]


@pytest.mark.parametrize(
    ("needs", "field", "accepted"),
    [
        (Needs(gpu_memory_mb=81_920), "needs.gpu_memory_mb", "gpu_memory_mb 40960"),
        (Needs(gpu_model="h100", cores=2), "needs.gpu_model", "gpu_model a100"),
        (Needs(residency=("fr",), accelerators=1), "needs.residency", "residency de"),
        (Needs(trust_min_ppm=900_000), "needs.trust_min_ppm", "trust_min_ppm 50000"),
        (Needs(only=(ABSENT,)), "needs.only", "only left out"),
    ],
    ids=str,
)
def test_needs_that_no_living_node_meets_are_refused_with_what_is_short(
    stocked: Market, needs: Needs, field: str, accepted: str
) -> None:
    before = rows(stocked.app)
    error = refusal(lambda: place(stocked, needs=needs))
    assert isinstance(error, Unavailable)
    assert (error.code, error.field, error.accepted) == ("needs_unmet", field, accepted)
    assert rows(stocked.app) == before


def test_a_need_that_only_a_market_out_of_reach_meets_is_refused(stocked: Market) -> None:
    error = refusal(lambda: place(stocked, needs=Needs(cores=8), region="north"))
    assert (error.code, error.field, error.accepted) == ("needs_unmet", "needs.cores", "cores 1")
    elsewhere = place(stocked, needs=Needs(cores=8), region="north", failover=True)
    assert elsewhere.markets == ["fog/south", "fog/north"]


def test_a_busy_node_is_worth_waiting_for(market: Market) -> None:
    market.node("only-one")
    market.executor()
    market.place()
    assert market.clear() == 1
    assert place(market, needs=Needs(dedicated=True)).needs == {"dedicated": True}


def test_whole_nodes_that_are_larger_than_what_is_asked_for_are_refused_at_once(market: Market) -> None:
    for name, size in (("four", 4), ("eight", 8)):
        market.node(name, slots=size)
    market.executor()
    wish: dict[str, Any] = {"slots": 3, "needs": Needs(dedicated=True)}
    before = rows(market.app)
    for do in (
        lambda: place(market, **wish),
        lambda: orders.quote(market.app.uow(), utc_now(), market.request(**wish)),
    ):
        error = refusal(do)
        assert isinstance(error, Unavailable)
        assert (error.code, error.field) == ("needs_unmet", "slots")
        assert error.accepted == "4 or more, or dedicated left out"
        assert "those that suit have 4, 8 slots; 3 asked" in error.message
    assert rows(market.app) == before
    assert place(market, **wish | {"slots": 4}).state == "open"
    fewer_needs = Needs(dedicated=True, cores=64)
    assert refusal(lambda: place(market, slots=3, needs=fewer_needs)).field == "needs.cores"


def test_whole_nodes_that_are_too_large_for_the_tier_are_said_to_be(market: Market) -> None:
    market.node("eight", slots=8)
    market.executor()
    error = refusal(lambda: place(market, slots=4, tier="small", needs=Needs(dedicated=True)))
    assert (error.field, error.accepted) == ("needs.dedicated", "dedicated left out")
    assert "orders of this tier have 4 at most" in error.message


def test_markets_whose_nodes_are_small_enough_to_be_had_whole_come_first(market: Market) -> None:
    market.node("large", slots=8, ask=1_000)
    market.node("tiny", region="south", slots=1, ask=2_000)
    market.executor()
    assert place(market, priority="cost", needs=Needs(dedicated=True)).markets == ["fog/south", "fog/north"]
    both = place(market, priority="cost", slots=8, needs=Needs(dedicated=True))
    assert both.markets == ["fog/north", "fog/south"]


def test_where_nothing_lives_an_order_waits_with_needs_as_without(market: Market) -> None:
    market.node("asleep")
    assert place(market, needs=Needs(cores=64)).state == "open"


def test_an_order_whose_only_suitable_node_is_busy_is_told_what_the_free_ones_lack(stocked: Market) -> None:
    place(stocked, needs=Needs(cores=8))
    assert stocked.clear() == 1
    waiting = place(stocked, needs=Needs(cores=8))
    told = []
    for _ in range(2):  # an epoch of each market
        stocked.clear()
        found = stocked.show(waiting)
        told.append((found.state, found.reason, found.hint))
    assert ("open", "needs_unmet", {"needs": [{"need": "cores", "wanted": "8", "best": "1"}]}) in told


def test_contradictory_needs_are_refused_before_anything_is_looked_at(stocked: Market) -> None:
    error = refusal(lambda: place(stocked, needs=Needs(dedicated=True, spread=True), model="nothing"))
    assert isinstance(error, Invalid)
    assert (error.code, error.field) == ("contradictory_needs", "needs.spread")


def test_in_a_batch_each_order_is_refused_for_its_own_needs(stocked: Market) -> None:
    wanted = [Needs(), Needs(cores=64), Needs(cores=8), Needs(cores=-1)]
    requests = [stocked.request(needs=needs) for needs in wanted]
    results = orders.place_orders(stocked.app.uow(), utc_now(), stocked.buyer, requests).results
    told = ["placed" if isinstance(result, Order) else result.code for result in results]
    assert told == ["placed", "needs_unmet", "placed", "invalid_cores"]


def test_needs_cost_one_statement_more_for_any_number_of_orders(stocked: Market) -> None:
    counts = []
    for needs, size in ((Needs(), 1), (Needs(), 50), (Needs(cores=8), 1), (Needs(cores=8), 50)):
        requests = [stocked.request()] * (size - 1) + [stocked.request(needs=needs)]
        with Statements(stocked.app.engine) as statements:
            orders.place_orders(stocked.app.uow(), utc_now(), stocked.buyer, requests)
        counts.append(statements.count)
    plain = counts[0]
    assert counts == [plain, plain, plain + 1, plain + 1]


def test_an_order_only_ever_runs_where_its_needs_are_met(stocked: Market) -> None:
    executor = stocked.executor()
    placed = [place(stocked, needs=Needs(gpu_memory_mb=20_000)) for _ in range(2)]
    plain = place(stocked, region="north")
    for _ in range(3):
        stocked.run(executor)
    with stocked.app.uow() as uow:
        served = uow.leases.served([order.id for order in (*placed, plain)])
    assert [lease.node_name for order in placed for lease in served[order.id]] == ["strong", "strong"]
    assert [lease.node_name for lease in served[plain.id]] == ["plain"]
