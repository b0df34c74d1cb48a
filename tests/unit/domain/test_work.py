"""Spreading an order's items over its leases, and packing them into messages."""

from itertools import accumulate
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.ids import ItemId, LeaseId
from backend.domain.work import (
    PROFILE_FACTOR,
    UNIT_ITEMS_MAX,
    UNIT_US_MAX,
    Profile,
    Room,
    WaitingItem,
    pack,
    share,
)

UNIT_BILLED_US_MAX = UNIT_US_MAX * PROFILE_FACTOR  # items count with what they may be billed at most
AMPLE = 10**12


def items(*us_max: int) -> list[WaitingItem]:
    """Items that may be billed so much each, numbered from 1."""
    return [WaitingItem(ItemId(UUID(int=number)), us) for number, us in enumerate(us_max, 1)]


def room(number: int, slots: int = 1, count: int = AMPLE, us: int = AMPLE, queue: str = "q", priority: int = 0) -> Room:
    """What the lease of that number can take."""
    return Room(LeaseId(UUID(int=number)), queue, priority, slots, count, us)


item_lists = st.lists(st.integers(1, 12), max_size=40).map(lambda us: items(*us))
room_lists = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=6).map(
    lambda rows: [room(number, *row) for number, row in enumerate(rows, 1)]
)
share_lists = st.lists(
    st.tuples(
        st.integers(1, 4), st.sampled_from("pq"), st.integers(0, 2), st.lists(st.integers(1, 2 * 10**7), max_size=9)
    ),
    max_size=6,
)


@given(item_lists, room_lists)
def test_items_are_shared_out_in_their_order_each_once_and_the_rest_waits(
    waiting: list[WaitingItem], rooms: list[Room]
) -> None:
    shared = [item for _, part in share(waiting, rooms) for item in part]
    assert shared == waiting[: len(shared)]


@given(item_lists, room_lists)
def test_each_lease_gets_at_most_one_share_in_the_order_of_the_leases_and_none_is_empty(
    waiting: list[WaitingItem], rooms: list[Room]
) -> None:
    shares = share(waiting, rooms)
    places = [rooms.index(taken) for taken, _ in shares]
    assert sorted(set(places)) == places
    assert all(part for _, part in shares)


@given(item_lists, room_lists)
def test_no_lease_gets_more_than_it_has_room_for_but_an_item_larger_than_any_room_is_taken_alone(
    waiting: list[WaitingItem], rooms: list[Room]
) -> None:
    for taken, part in share(waiting, rooms):
        assert len(part) <= taken.items
        assert sum(item.us_max for item in part) <= taken.us_max or len(part) == 1


def test_a_lease_with_no_time_left_gets_nothing_however_often_it_is_asked() -> None:
    assert share(items(5, 5), [room(1, us=0)]) == []
    assert share(items(5, 5), [room(1, count=0)]) == []


def test_an_item_that_no_room_could_ever_hold_still_gets_its_turn() -> None:
    large = items(10 * UNIT_BILLED_US_MAX)
    assert [part for _, part in share(large, [room(1, us=1)])] == [large]


@given(st.integers(0, 200), st.lists(st.integers(1, 64), min_size=1, max_size=20))
def test_with_room_enough_each_lease_is_within_one_item_of_the_share_of_its_slots(count: int, slots: list[int]) -> None:
    rooms = [room(number, s) for number, s in enumerate(slots, 1)]
    taken = {lease.lease_id: len(part) for lease, part in share(items(*[1] * count), rooms)}
    assert sum(taken.values()) == count
    for lease in rooms:
        assert abs(taken.get(lease.lease_id, 0) - count * lease.slots / sum(slots)) < 1


@pytest.mark.parametrize(("count", "parts"), [(8, [2, 2, 4]), (4, [1, 1, 2]), (2, [1, 1]), (0, [])])
def test_a_lease_of_two_slots_gets_twice_as_much_as_one_of_one(count: int, parts: list[int]) -> None:
    shares = share(items(*[1] * count), [room(1), room(2), room(3, slots=2)])
    assert [len(part) for _, part in shares] == parts


def test_what_one_lease_cannot_take_goes_to_the_next() -> None:
    shares = share(items(*[1] * 9), [room(1, count=1), room(2)])
    assert [len(part) for _, part in shares] == [1, 8]


def shares_of(rows: list[tuple[int, str, int, list[int]]]) -> list[tuple[Room, list[WaitingItem]]]:
    """Shares of items that are numbered through, so that each is itself."""
    every = items(*(us for *_, part in rows for us in part))
    ends = list(accumulate(len(part) for *_, part in rows))
    return [
        (room(number, queue=queue, priority=priority), every[end - len(part) : end])
        for (number, queue, priority, part), end in zip(rows, ends, strict=True)
    ]


@given(share_lists)
def test_every_item_is_packed_once_for_its_lease_queue_and_priority_in_order(
    rows: list[tuple[int, str, int, list[int]]],
) -> None:
    shares, units = shares_of(rows), pack(shares_of(rows))
    for key in {(taken.queue, taken.priority) for taken, _ in shares}:
        expected = [
            (item.item_id, taken.lease_id)
            for taken, part in shares
            if (taken.queue, taken.priority) == key
            for item in part
        ]
        assert [pair for unit in units if (unit.queue, unit.priority) == key for pair in unit.items] == expected
    assert sum(len(unit.items) for unit in units) == sum(len(part) for _, part in shares)


@given(share_lists)
def test_no_unit_is_empty_or_above_the_limits_of_one_unit_and_none_is_begun_too_early(
    rows: list[tuple[int, str, int, list[int]]],
) -> None:
    shares = shares_of(rows)
    us_max = {item.item_id: item.us_max for _, part in shares for item in part}
    last_of: dict[tuple[str, int], int] = {}
    for unit in pack(shares):
        us = sum(us_max[item] for item, _ in unit.items)
        assert 1 <= len(unit.items) <= UNIT_ITEMS_MAX
        assert us <= UNIT_BILLED_US_MAX or len(unit.items) == 1
        first = us_max[unit.items[0][0]]
        assert last_of.get((unit.queue, unit.priority), UNIT_BILLED_US_MAX) + first > UNIT_BILLED_US_MAX
        last_of[unit.queue, unit.priority] = us


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (UNIT_ITEMS_MAX, [500]), (2 * UNIT_ITEMS_MAX + 1, [500, 500, 1])]
)
def test_a_unit_holds_up_to_its_limit_of_items(count: int, sizes: list[int]) -> None:
    assert [len(unit.items) for unit in pack([(room(1), items(*[1] * count))])] == sizes


def test_items_of_many_orders_for_one_queue_travel_in_one_message() -> None:
    every = items(*[10] * 300)
    (unit,) = pack([(room(number), [item]) for number, item in enumerate(every, 1)])
    assert unit.items == tuple((item.item_id, LeaseId(UUID(int=n))) for n, item in enumerate(every, 1))


def test_items_fill_a_room_and_a_unit_to_the_microsecond() -> None:
    assert [part for _, part in share(items(4, 6), [room(1, us=10)])] == [items(4, 6)]
    half = UNIT_BILLED_US_MAX // 2
    assert [len(unit.items) for unit in pack([(room(1), items(half, half, 1))])] == [2, 1]


def test_an_item_above_a_units_time_travels_alone() -> None:
    units = pack([(room(1), items(1, UNIT_BILLED_US_MAX + 1, 1))])
    assert [len(unit.items) for unit in units] == [1, 1, 1]


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 10**4), st.integers(1, 10**4))
def test_a_profile_is_a_straight_line_and_its_worst_case_is_twice_what_is_expected(
    per_call: int, per_row: int, rows: int, more: int
) -> None:
    profile = Profile(per_call, per_row)
    assert profile.expected_us(rows + more) - profile.expected_us(rows) == more * per_row
    assert profile.expected_us(0) == per_call
    assert profile.worst_case_us(rows) == 2 * profile.expected_us(rows)
