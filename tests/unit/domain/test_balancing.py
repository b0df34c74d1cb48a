"""Who has too much to do, and what moves where."""

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.balancing import (
    GAIN_S,
    IDLE_S,
    MOVES_MAX,
    OVER_S,
    SLOWNESS_MAX,
    Berth,
    Executor,
    Movable,
    Stuck,
    Unused,
    crowded,
    rebalance,
    released,
)
from backend.domain.ids import ItemId, LeaseId, NodeId, OrderId
from backend.domain.machines import Machine, Needs

ORDER, OTHER = OrderId(UUID(int=1)), OrderId(UUID(int=2))
FULL = Executor("slow", 1, 1, 10_000_000)
FREE = Executor("quick", 1, 1, 0)
BERTH = Berth(LeaseId(UUID(int=10)), ORDER, "quick", 5, 1_000, 10**12)


def item(number: int, us: int = 1_000_000, order: OrderId = ORDER) -> Movable:
    return Movable(ItemId(UUID(int=number)), order, "slow", 5, 2 * us, us)


TEN = [item(number) for number in range(10)]


def test_the_pace_is_what_works_at_once_over_how_slow_it_was_measured() -> None:
    assert Executor("q", 4, 2, 0).pace == 2.0
    assert Executor("q", 1, 2, 0, 4.0).pace == 0.25
    assert Executor("q", 1, 1, 1_000_000, 4.0).drain_s == 4.0
    assert Executor("q", 1, 1, 0, 1e9).pace == 1 / SLOWNESS_MAX
    assert Executor("q", 4, 0, 1).drain_s == float("inf")


def test_crowded_and_idle_are_found_only_together() -> None:
    assert crowded([FULL, FREE]) == (frozenset({"slow"}), frozenset({"quick"}))
    assert crowded([FULL, replace(FULL, queue="other")]) == (frozenset(), frozenset()), "nobody is idle"
    assert crowded([FREE, replace(FREE, queue="other")]) == (frozenset(), frozenset())
    assert crowded([FREE, replace(FULL, pending_us=int(OVER_S * 1e6) - 1)]) == (frozenset(), frozenset())
    assert crowded([FULL, replace(FREE, pending_us=int(IDLE_S * 1e6))]) == (frozenset(), frozenset())
    assert crowded([replace(FULL, living=0), FREE]) == (frozenset(), frozenset()), "the sweeper sees to the dead"
    assert crowded([]) == (frozenset(), frozenset())


def test_the_last_items_move_until_both_would_end_at_about_the_same_time() -> None:
    moves = rebalance([FULL, FREE], TEN, [BERTH])
    assert [move.item_id.int for move in moves] == [9, 8, 7, 6]
    assert {move.lease_id for move in moves} == {BERTH.lease_id}


def test_a_quicker_executor_gets_more() -> None:
    moves = rebalance([replace(FULL, slowness=4.0), FREE], TEN, [BERTH])
    assert len(moves) == 8


def test_nothing_moves_to_another_order_a_dearer_lease_its_own_queue_or_the_dead() -> None:
    for berth in (
        replace(BERTH, order_id=OTHER),
        replace(BERTH, price_nano=6),
        replace(BERTH, queue="slow"),
        replace(BERTH, queue="unknown"),
    ):
        assert rebalance([FULL, FREE], TEN, [berth]) == []
    assert rebalance([FULL, replace(FREE, living=0)], TEN, [BERTH]) == []


def test_a_lease_gets_no_more_than_it_can_take() -> None:
    assert len(rebalance([FULL, FREE], TEN, [replace(BERTH, items=2)])) == 2
    assert len(rebalance([FULL, FREE], TEN, [replace(BERTH, us_max=6_000_000)])) == 3


def test_of_several_leases_the_one_that_ends_first_is_taken() -> None:
    third = Berth(LeaseId(UUID(int=11)), ORDER, "third", 5, 1_000, 10**12)
    moves = rebalance([FULL, FREE, Executor("third", 1, 1, 500_000)], TEN, [third, BERTH])
    assert [move.lease_id.int for move in moves[:3]] == [10, 11, 10]


def test_moves_are_bounded() -> None:
    many = [item(number, 100_000) for number in range(2 * MOVES_MAX)]
    executors = [replace(FULL, pending_us=len(many) * 100_000), replace(FREE, slots=9, living=9)]
    assert len(rebalance(executors, many, [replace(BERTH, items=10**6)])) == MOVES_MAX


@given(
    st.lists(st.tuples(st.integers(1, 3_000_000), st.sampled_from([ORDER, OTHER])), max_size=40),
    st.floats(0.1, 10.0),
    st.floats(0.1, 10.0),
    st.integers(0, 20),
)
def test_no_item_moves_twice_and_every_move_brings_work_forward(
    sizes: list[tuple[int, OrderId]], slow: float, quick: float, room: int
) -> None:
    items = [item(number, us, order) for number, (us, order) in enumerate(sizes)]
    full = Executor("slow", 1, 1, sum(us for us, _ in sizes), slow)
    free = replace(FREE, slowness=quick)
    moves = rebalance([full, free], items, [replace(BERTH, items=room)])
    moved = {move.item_id for move in moves}
    assert len(moved) == len(moves) <= room
    assert all(one.order_id == ORDER for one in items if one.item_id in moved)
    us = sum(one.profiled_us for one in items if one.item_id in moved)
    if moved:
        assert replace(free, pending_us=us).drain_s <= full.drain_s - GAIN_S + 1e-6


STUCK = Stuck(LeaseId(UUID(int=20)), ORDER, "fog/north", 1, 10, 5, Needs(cores=2))
UNUSED = Unused("fog/north", 4, Machine(NodeId(UUID(int=30)), slots=1, cores=2))


def test_a_lease_is_given_up_for_a_cheaper_idle_machine_that_fits() -> None:
    assert released([STUCK], [UNUSED]) == [STUCK]
    assert released([replace(STUCK, ask_nano=None)], [replace(UNUSED, ask_nano=10)]) == [replace(STUCK, ask_nano=None)]


def test_a_lease_is_kept_when_the_auction_would_not_do_better() -> None:
    for other in (
        replace(UNUSED, ask_nano=5),
        replace(UNUSED, market="fog/south"),
        replace(UNUSED, machine=replace(UNUSED.machine, busy_slots=1)),
        replace(UNUSED, machine=replace(UNUSED.machine, cores=1)),
    ):
        assert released([STUCK], [other]) == []
    assert released([replace(STUCK, limit_nano=3)], [UNUSED]) == []
    assert released([replace(STUCK, slots=2)], [UNUSED]) == []


def test_a_free_slot_is_counted_once_and_the_youngest_lease_goes_first() -> None:
    younger = replace(STUCK, lease_id=LeaseId(UUID(int=21)))
    assert released([STUCK, younger], [UNUSED]) == [younger]
