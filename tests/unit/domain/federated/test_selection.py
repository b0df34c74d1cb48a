"""Whom a round asks: those whose turn it is, the better ones more often, everybody in time, the same for a seed."""

from collections import Counter
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from backend.domain.federated.selection import FAILED_TURNS, NEW, Past, select
from backend.domain.ids import NodeId
from backend.domain.money import PPM

SEED = "job 1"


@dataclass(frozen=True)
class Machine:
    """A candidate."""

    node_id: NodeId
    trust_ppm: int = PPM // 2
    slots_free: int = 1


def machines(count: int) -> list[Machine]:
    return [Machine(NodeId(UUID(int=number))) for number in range(1, count + 1)]


def turns(
    candidates: list[Machine], rounds: int, count: int, sizes: dict[NodeId, int] | None = None
) -> Counter[NodeId]:
    """How often each is asked if nobody ever fails."""
    history: dict[NodeId, Past] = {}
    for number in range(rounds):
        for node in select(candidates, history, count, f"{SEED} {number}"):
            past = history.get(node, NEW)
            history[node] = replace(past, asked=past.asked + 1, examples=(sizes or {}).get(node))
    return Counter({node: past.asked for node, past in history.items()})


def test_it_is_the_same_whatever_the_order_of_the_candidates() -> None:
    candidates = machines(20)
    chosen = select(candidates, {}, 5, SEED)
    assert select(candidates[::-1], {}, 5, SEED) == chosen
    assert len(set(chosen)) == 5
    assert select(candidates, {}, 5, "job 2") != chosen


def test_no_more_are_chosen_than_there_are_or_are_asked_for() -> None:
    assert len(select(machines(3), {}, 5, SEED)) == 3
    assert select(machines(3), {}, 0, SEED) == select(machines(3), {}, -1, SEED) == select([], {}, 5, SEED) == []


def test_who_declined_is_never_asked_again() -> None:
    candidates = machines(3)
    assert select(candidates, {candidates[0].node_id: Past(declined=True)}, 3, SEED) == [
        one for one in select(candidates, {}, 3, SEED) if one != candidates[0].node_id
    ]


def test_those_with_a_free_slot_come_before_all_others() -> None:
    busy, *free = machines(4)
    candidates = [replace(busy, slots_free=0, trust_ppm=PPM), *free]
    assert select(candidates, {}, 4, SEED)[-1] == busy.node_id


def test_among_equals_everybody_has_as_many_turns() -> None:
    assert set(turns(machines(7), 7, 3).values()) == {3}


def test_who_is_trusted_more_is_asked_more_often_and_nobody_never() -> None:
    candidates = [replace(one, trust_ppm=PPM if number < 2 else 0) for number, one in enumerate(machines(4))]
    asked = turns(candidates, 100, 1)
    trusted, others = [asked[one.node_id] for one in candidates[:2]], [asked[one.node_id] for one in candidates[2:]]
    assert all(3.5 < good / other < 4.5 for good in trusted for other in others)


def test_who_has_more_data_is_asked_more_often_within_a_limit() -> None:
    candidates = machines(3)
    small, usual, large = (one.node_id for one in candidates)
    asked = turns(candidates, 350, 1, {small: 1, usual: 100, large: 100_000})
    assert asked[large] / asked[usual] == pytest.approx(2, rel=0.1)
    assert asked[usual] / asked[small] == pytest.approx(2, rel=0.1)


def test_a_part_that_came_to_nothing_counts_as_several_turns() -> None:
    candidates = machines(2)
    failed, fine = (one.node_id for one in candidates)
    history = {failed: Past(asked=1, failed=1), fine: Past(asked=1 + FAILED_TURNS - 1)}
    assert select(candidates, history, 2, SEED) == [fine, failed]
    assert select(candidates, history | {fine: Past(asked=1 + FAILED_TURNS + 1)}, 2, SEED) == [failed, fine]
