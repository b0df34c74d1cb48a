"""Slots that tiers go first for, and nodes that empty for whole-node orders."""

from datetime import timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.ageing import Emptying, Queueing, emptying, payable, reserved_slots
from backend.domain.auctions import Ask, Bid
from backend.domain.ids import NodeId, OfferId, OrderId
from backend.domain.machines import NO_NEEDS, Machine, Needs
from tests.unit.domain.books import OPENED_AT

WHOLE = Needs(dedicated=True)
OLD, OLDER = OPENED_AT - timedelta(minutes=2), OPENED_AT - timedelta(minutes=3)


def bid(number: int = 1, slots: int = 2, limit: int = 9, needs: Needs = WHOLE) -> Bid:
    """An order."""
    return Bid(OrderId(UUID(int=number)), slots, limit, 0, OLD, needs=needs)


def ask(number: int, slots: int = 2, busy: int = 1, price: int = 1, cores: int = 1) -> Ask:
    """An offer of what a node has free."""
    node = NodeId(UUID(int=number))
    return Ask(OfferId(node), node, 1, slots - busy, price, Machine(node, slots, busy, cores=cores))


def kept(waiting: list[Bid], asks: list[Ask], spot: int = 1, before: int | None = None) -> int | None:
    """The number of the node that is kept, for the first order."""
    found = emptying(waiting, asks, spot, {} if before is None else {waiting[0].order_id: NodeId(UUID(int=before))})
    return found.node_id.int if found else None


def test_a_tier_goes_first_for_what_its_share_lacks() -> None:
    assert reserved_slots({0: Queueing(4, 1, 9), 2: Queueing(2, 2, 9), 3: Queueing(0, 0, 9)}, 9) == {0: 3}


def test_a_tier_goes_first_for_no_more_than_it_could_pay_for() -> None:
    assert reserved_slots({0: Queueing(4, 0, 2)}, 9) == {0: 2}


def test_a_tier_with_an_aged_order_goes_first_for_one_slot_however_small_its_share() -> None:
    assert reserved_slots({3: Queueing(0, 0, 5, OLD)}, 4) == {3: 1}
    assert reserved_slots({3: Queueing(0, 1, 5, OLD)}, 4) == {}


def test_where_slots_are_too_few_the_tier_whose_order_has_waited_longest_goes_first() -> None:
    tiers = {0: Queueing(3, 0, 9), 1: Queueing(2, 0, 9, OLD), 3: Queueing(0, 0, 9, OLDER)}
    assert reserved_slots(tiers, 0) == {}
    assert reserved_slots(tiers, 1) == {3: 1}
    assert reserved_slots(tiers, 2) == {1: 1, 3: 1}
    assert reserved_slots(tiers, 4) == {0: 2, 1: 1, 3: 1}
    assert reserved_slots(tiers, 9) == {0: 3, 1: 2, 3: 1}


@given(
    st.dictionaries(
        st.integers(0, 3),
        st.builds(
            Queueing,
            st.integers(0, 5),
            st.integers(0, 5),
            st.integers(0, 5),
            st.none() | st.integers(1, 9).map(lambda minutes: OPENED_AT - timedelta(minutes=minutes)),
        ),
    ),
    st.integers(0, 9),
)
def test_no_more_is_reserved_than_is_free_or_wanted_and_nothing_is_left_that_somebody_is_short_of(
    tiers: dict[int, Queueing], free: int
) -> None:
    found = reserved_slots(tiers, free)
    assert all(0 < slots <= tiers[rank].short for rank, slots in found.items())
    assert sum(found.values()) == min(free, sum(tier.short for tier in tiers.values()))


def test_the_node_nearest_to_idle_empties_then_the_cheapest() -> None:
    assert kept([bid(slots=4)], [ask(1, slots=4, busy=3), ask(2, slots=4, busy=2)]) == 2
    assert kept([bid()], [ask(1, price=2), ask(2, price=1)]) == 2
    assert kept([bid()], [ask(1), ask(2)]) == 1


def test_a_node_once_chosen_stays_so_unless_another_is_idle() -> None:
    nodes = [ask(1, slots=3, busy=2), ask(2, slots=3, busy=1)]
    assert kept([bid(slots=3)], nodes, before=1) == 1
    assert kept([bid(slots=3)], nodes, before=7) == 2
    assert kept([bid(slots=3)], [*nodes, ask(3, busy=0)], before=1) == 3


def test_no_node_is_kept_that_the_order_could_not_take() -> None:
    assert kept([bid(slots=1)], [ask(1)]) is None
    assert kept([bid(limit=4)], [ask(1, price=5)]) is None
    assert kept([bid(limit=4)], [ask(1)], spot=5) is None
    assert kept([bid(needs=Needs(dedicated=True, cores=2))], [ask(1)]) is None
    assert kept([bid()], []) is None
    assert kept([], [ask(1)]) is None


def test_the_first_order_that_a_node_can_be_kept_for_has_it() -> None:
    found = emptying([bid(1, slots=1), bid(2), bid(3)], [ask(1)], 1, {})
    assert found == Emptying(OrderId(UUID(int=2)), NodeId(UUID(int=1)))


def test_who_can_pay_reaches_the_spot_price_and_the_cheapest_ask_that_suits() -> None:
    asks = [ask(1, price=2), ask(2, price=5, cores=8)]
    bids = [bid(limit=limit, needs=needs) for needs in (NO_NEEDS, Needs(cores=4), Needs(cores=9)) for limit in (2, 5)]
    assert payable(bids, asks, 1) == [True, True, False, True, False, False]
    assert payable(bids[:2], asks, 3) == [False, True]
    assert payable(bids[:2], [], 1) == [False, False]
