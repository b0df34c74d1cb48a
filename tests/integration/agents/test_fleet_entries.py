"""Entries that an operator adds, changes and removes, as the manager's processes follow."""

import pytest

from agents.runtimes.process import ProcessRuntime
from backend.bootstrap import utc_now
from backend.domain.fleet import AgentKind, Resources
from backend.domain.fleet_changes import new_entry
from backend.domain.orders import OrderState
from backend.services import fleet
from tests.integration.agents.test_manager import (
    SETTLEMENT,
    Start,
    in_hand,
    labels,
    pids,
    register_slow,
    runtime,
    start,
    up,
    want,
)
from tests.market import Market
from tests.onnx_files import request
from tests.waiting import until

__all__ = ["runtime", "start"]  # fixtures


@pytest.mark.slow
def test_an_added_pool_comes_up_is_replaced_one_by_one_when_changed_and_drains_when_removed(
    market: Market, runtime: ProcessRuntime, start: Start
) -> None:
    register_slow(market)
    market.node("a", pool="west")
    want(market, SETTLEMENT)
    manager = start()
    until(lambda: up(market) == ["settlement-0"], "nobody serves the pool")
    fleet.add_entry(market.app.uow(), utc_now(), None, new_entry(AgentKind.INFERENCE, pool="west", least=2, most=2))
    pool = ["pool.west-0", "pool.west-1"]
    until(lambda: up(market) == [*pool, "settlement-0"], "somebody does")

    before, seen = pids(runtime), [2]
    fleet.set_entry(market.app.uow(), utc_now(), None, "pool.west", memory_mb=512)

    def replaced() -> bool:
        seen.append(len({*up(market)} & {*pool}))
        members = [one.member for one in runtime.list() if one.member.name == "pool.west"]
        return [member.resources for member in members] == [Resources(None, 512)] * 2 and seen[-1] == 2

    until(replaced, "both are as they are wanted now")
    after = pids(runtime)
    assert {name for name in before if after[name] != before[name]} == {*pool}
    assert min(seen) >= 1 or manager.says("member.sick")(), "one after the other, if the machine let them live"

    [order] = market.place(model="slow", requests=[request((1.0, 1_000.0))])
    until(lambda: market.clear() or in_hand(market), "it is leased")
    until(lambda: in_hand(market), "it runs")
    fleet.remove_entry(market.app.uow(), utc_now(), None, "pool.west")
    until(lambda: labels(runtime) == ["settlement-0"], "all of the pool have gone")
    until(lambda: market.show(order).state is OrderState.SETTLED, "but only when the work was done")
