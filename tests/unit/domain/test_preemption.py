"""Who has to leave for whom."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.auctions import Ask, Fill
from backend.domain.ids import LeaseId, NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from backend.domain.preemption import Interruptible, Wanting, asks_after, make_room, unsold


def wanting(number: int, tier: int = 0, limit: int = 9, slots: int = 1, needs: Needs = NO_NEEDS) -> Wanting:
    """An order that got nothing."""
    return Wanting(OrderId(UUID(int=number)), tier, limit, slots, needs)


def running(
    number: int, tier: int = 3, limit: int = 5, slots: int = 1, ask: int = 1, leaving: bool = False, cores: int = 1
) -> Interruptible:
    """A lease of an order that may be interrupted."""
    machine = Machine(NodeId(UUID(int=number)), slots, slots, cores=cores)
    id_ = UUID(int=number)
    return Interruptible(LeaseId(id_), tier, limit, slots, ask, machine, leaving, OrderId(id_), OfferId(id_))


def told(orders: list[Wanting], leases: list[Interruptible]) -> list[int]:
    """The numbers of the leases that are told to leave."""
    return [lease.int for lease in make_room(orders, leases).told]


def test_the_lowest_tier_leaves_first_then_the_lowest_limit() -> None:
    leases = [running(1, tier=2, limit=1), running(2, tier=3, limit=4), running(3, tier=3, limit=3)]
    assert told([wanting(1)], leases) == [3]
    assert told([wanting(1, slots=3)], leases) == [3, 2, 1]


def test_nobody_leaves_for_an_order_of_their_own_tier_or_a_lower_one() -> None:
    assert told([wanting(1, tier=3)], [running(1, tier=3)]) == []
    assert told([wanting(1, tier=3)], [running(1, tier=2)]) == []


def test_nobody_leaves_for_an_order_that_would_lose_the_slots_to_them_again() -> None:
    assert told([wanting(1, limit=4)], [running(1, limit=5)]) == []
    assert told([wanting(1, limit=4)], [running(1, limit=3, ask=5)]) == []


def test_nobody_leaves_a_node_that_the_order_cannot_use() -> None:
    assert told([wanting(1, needs=Needs(cores=8))], [running(1, cores=4)]) == []
    assert told([wanting(1, needs=Needs(cores=8))], [running(1, cores=8)]) == [1]
    assert told([wanting(1, needs=Needs(dedicated=True))], [running(1)]) == []


def test_what_has_been_told_already_is_counted_and_told_only_once() -> None:
    room = make_room([wanting(1)], [running(1, leaving=True), running(2)])
    assert room.told == ()
    assert room.freed == (LeaseId(UUID(int=1)),)
    assert room.awaited_by == {OrderId(UUID(int=1))}


def test_the_order_that_goes_first_gets_the_room() -> None:
    orders = [wanting(1, tier=1), wanting(2, tier=0)]
    assert make_room(orders, [running(1)]).awaited_by == {OrderId(UUID(int=2))}


def test_what_leaves_is_offered_beside_what_is_left_of_its_node() -> None:
    node, offer = NodeId(UUID(int=1)), OfferId(UUID(int=1))
    asks = [
        Ask(offer, node, 1, 3, 1, Machine(node, 5, 2)),
        Ask(OfferId(UUID(int=2)), NodeId(UUID(int=2)), 1, 1, 1),
    ]
    fills = [Fill(OrderId(UUID(int=9)), ask.offer_id, ask.node_id, 1, 1, 1) for ask in asks]
    [left] = unsold(asks, fills)
    assert (left.node_id, left.slots, left.machine) == (node, 2, Machine(node, 5, 3))
    beside, alone = asks_after([left], [running(1, slots=2), running(3, slots=2, ask=7)])
    assert (beside.offer_id, beside.slots, beside.machine) == (offer, 4, Machine(node, 5, 1))
    other = NodeId(UUID(int=3))
    assert (alone.node_id, alone.slots, alone.ask_nano, alone.machine) == (other, 2, 7, Machine(other, 2, 0))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 3)), max_size=6),
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 3), st.booleans()), max_size=6),
)
def test_no_more_leave_than_are_wanted(
    orders: list[tuple[int, int, int]], leases: list[tuple[int, int, int, bool]]
) -> None:
    wishes = [wanting(n, tier, limit, slots) for n, (tier, limit, slots) in enumerate(orders)]
    held = [running(n, t, limit, slots, leaving=leaving) for n, (t, limit, slots, leaving) in enumerate(leases)]
    room = make_room(wishes, held)
    slots = {lease.lease_id: lease.slots for lease in held}
    excess = sum(slots[lease] for lease in room.told) - sum(order.slots for order in wishes)
    assert excess <= max((slots[lease] - 1 for lease in room.told), default=0) * len(wishes)
    assert len(set(room.told)) == len(room.told)
    assert not {lease.lease_id for lease in held if lease.leaving} & set(room.told)
