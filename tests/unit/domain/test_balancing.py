"""Who has too much to do, and what moves where."""

from dataclasses import replace
from random import Random
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
    Burden,
    Departure,
    Executor,
    Movable,
    Stuck,
    Unused,
    burdens,
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


def test_every_queue_is_crowded_busy_or_idle_whether_anything_can_move_or_not() -> None:
    executors = [FULL, FREE, replace(FREE, queue="some", pending_us=2_000_000), replace(FREE, queue="dead", living=0)]
    assert burdens(executors) == {"slow": Burden.CROWDED, "quick": Burden.IDLE, "some": Burden.BUSY}
    assert burdens([FULL]) == {"slow": Burden.BUSY}, "more than others have"
    assert burdens([replace(FREE, living=0)]) == {}


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


HERE, THERE = NodeId(UUID(int=29)), NodeId(UUID(int=30))
STUCK = Stuck(LeaseId(UUID(int=20)), ORDER, "fog/north", 1, 10, 5, Needs(cores=2), HERE, "slow", 6, 2_000_000)
UNUSED = Unused("fog/north", 4, Machine(THERE, slots=1, cores=2), "quick")
SAME = replace(UNUSED, ask_nano=5)
BOTH = [FULL, FREE]


def test_a_lease_is_given_up_for_a_cheaper_idle_machine_that_fits() -> None:
    assert released([STUCK], [UNUSED], BOTH) == [Departure(STUCK, None)]
    off_sale = replace(STUCK, ask_nano=None)
    assert released([off_sale], [replace(UNUSED, ask_nano=10)], BOTH) == [Departure(off_sale, None)]


def test_a_lease_is_kept_when_the_auction_would_not_do_better() -> None:
    for other in (
        replace(UNUSED, ask_nano=6),
        replace(UNUSED, market="fog/south"),
        replace(UNUSED, machine=replace(UNUSED.machine, busy_slots=1)),
        replace(UNUSED, machine=replace(UNUSED.machine, cores=1)),
    ):
        assert released([STUCK], [other], BOTH) == []
    assert released([replace(STUCK, limit_nano=3)], [UNUSED], BOTH) == []
    assert released([replace(STUCK, slots=2)], [UNUSED], BOTH) == []


def test_a_free_slot_is_counted_once_and_the_youngest_lease_goes_first() -> None:
    younger = replace(STUCK, lease_id=LeaseId(UUID(int=21)))
    for machine in (UNUSED, SAME):
        assert [one.lease for one in released([STUCK, younger], [machine], BOTH)] == [younger]


def test_a_lease_moves_to_an_idle_machine_that_asks_as_much_if_that_ends_it_clearly_sooner() -> None:
    assert released([STUCK], [SAME], BOTH) == [Departure(STUCK, THERE)]
    assert released([STUCK], [UNUSED, SAME], BOTH) == [Departure(STUCK, None)], "cheaper goes before sooner"
    alone = replace(STUCK, profiled_us=FULL.pending_us)
    assert released([alone], [SAME], BOTH) == [], "there it would take as long"
    assert released([alone], [SAME], [replace(FULL, slowness=2.0), FREE]) == [Departure(alone, THERE)]
    nearly = replace(STUCK, profiled_us=FULL.pending_us - int(GAIN_S * 1e6) + 1)
    assert released([nearly], [SAME], BOTH) == []
    enough = replace(nearly, profiled_us=nearly.profiled_us - 2)
    assert released([enough], [SAME], BOTH) == [Departure(enough, THERE)]


def test_a_lease_does_not_move_where_its_order_was_or_whose_provider_would_earn_less_than_it_asks() -> None:
    for stuck in (
        replace(STUCK, left=frozenset({THERE})),
        replace(STUCK, earns_nano=4),
        replace(STUCK, limit_nano=4),
        replace(STUCK, needs=Needs(dedicated=True)),
    ):
        assert released([stuck], [SAME], BOTH) == []


def test_leases_spread_over_idle_machines_by_what_each_has_to_do_by_then() -> None:
    leases = [replace(STUCK, lease_id=LeaseId(UUID(int=number))) for number in range(20, 25)]
    machines = [
        replace(SAME, machine=replace(SAME.machine, node_id=NodeId(UUID(int=number)), slots=9), queue=f"q{number}")
        for number in (30, 31)
    ]
    executors = [FULL, *(replace(FREE, queue=one.queue) for one in machines)]
    gone = released(leases, machines, executors)
    assert sorted(one.node_id.int for one in gone if one.node_id) == [30, 30, 31], "then all end at about the same time"


@given(
    st.lists(st.integers(1, 4_000_000), min_size=1, max_size=12),
    st.lists(st.floats(0.2, 5.0), min_size=2, max_size=5),
    st.randoms(use_true_random=False),
)
def test_rounds_of_moves_settle_bring_every_lease_forward_and_never_bring_one_back(
    sizes: list[int], speeds: list[float], random: Random
) -> None:
    """Even when measured speeds change with every round: an order moves once to each node at most."""
    nodes = [NodeId(UUID(int=100 + number)) for number in range(len(speeds))]
    leases = {
        number: replace(STUCK, lease_id=LeaseId(UUID(int=number)), node_id=nodes[0], queue="0", profiled_us=us)
        for number, us in enumerate(sizes)
    }
    rounds_since_last, moved = 0, 0
    while rounds_since_last < 10:
        slowness = [speed * random.uniform(0.5, 2.0) for speed in speeds]
        executors = [
            Executor(str(n), 9, 1, sum(one.profiled_us for one in leases.values() if one.queue == str(n)), slow)
            for n, slow in enumerate(slowness)
        ]
        over, idle = crowded(executors)
        stuck = [one for one in leases.values() if one.queue in over]
        machines = [
            replace(SAME, machine=Machine(node, slots=99, cores=2), queue=str(n))
            for n, node in enumerate(nodes)
            if str(n) in idle
        ]
        gone = released(stuck, machines, executors)
        before = {executor.queue: executor.drain_s for executor in executors}
        rounds_since_last = 0 if gone else rounds_since_last + 1
        for one in gone:
            assert one.node_id is not None
            assert one.node_id not in {one.lease.node_id, *one.lease.left}
            target = str(nodes.index(one.node_id))
            assert before[target] < before[one.lease.queue] - GAIN_S
            leases[one.lease.lease_id.int] = replace(
                one.lease, node_id=one.node_id, queue=target, left=one.lease.left | {one.lease.node_id}
            )
        moved += len(gone)
        assert moved <= len(sizes) * (len(nodes) - 1)
