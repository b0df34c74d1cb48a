"""An item that never ends: its agents beat on, but get nothing done any more."""

from collections.abc import Callable

import pytest

from backend.domain.work import ATTEMPTS_MAX
from tests.e2e.chaos.arena import DEADLINE_S, Arena
from tests.e2e.chaos.conftest import ORDERS
from tests.onnx_files import request, write_slow_on_demand

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

STUCK_AFTER_S = 5.0
FOR_EVER = 1e12


def test_an_item_without_an_end_is_taken_from_its_agents_and_buried_and_all_others_are_done(
    open_arena: Callable[..., Arena], ended: Callable[[Arena], None]
) -> None:
    arena = open_arena(stuck_after_s=STUCK_AFTER_S)
    arena.market.register("endless", write_slow_on_demand(arena.folder / "endless.onnx"))
    arena.flood(ORDERS // 2)
    arena.await_moment(latest=0.2)
    arena.strike("an item without an end placed")
    [endless] = arena.market.place(model="endless", requests=[request((1.0, FOR_EVER))], deadline_s=DEADLINE_S)
    arena.placed.append(endless.id)
    arena.flood(ORDERS // 2)
    ended(arena)
    closed = arena.market.show(endless)
    assert (closed.state, closed.reason, closed.charged_nano) == ("failed", "attempts_exhausted", 0)
    [letter] = arena.query("SELECT reason, attempts FROM dead_letters WHERE order_id = :id", id=endless.id)
    assert (letter.reason, letter.attempts) == ("lapsed", ATTEMPTS_MAX)
    assert arena.log("manager").count("but did none of its work") >= ATTEMPTS_MAX
    arena.await_fleet()
