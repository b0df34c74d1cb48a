"""Dominant resource fairness: who goes first among orders of one tier."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backend.domain.fairness import Demand, shares_before

CPU_AND_MEMORY = (9, 18)
A, B = (1, 4), (3, 1)


def served(
    shares: list[tuple[int, str]], demands: dict[str, tuple[int, ...]], capacity: tuple[int, ...]
) -> Counter[str]:
    """How many orders each account gets, in order of the shares, until the next one does not fit."""
    left, got = list(capacity), Counter[str]()
    for _, account in sorted(shares):
        if any(have < want for have, want in zip(left, demands[account], strict=True)):
            break
        left = [have - want for have, want in zip(left, demands[account], strict=True)]
        got[account] += 1
    return got


def test_the_example_of_the_paper_gives_a_three_tasks_and_b_two() -> None:
    demands = [Demand("A", A)] * 5 + [Demand("B", B)] * 5
    shares = shares_before(demands, CPU_AND_MEMORY)
    line = [(share, str(demand.account)) for share, demand in zip(shares, demands, strict=True)]
    assert served(line, {"A": A, "B": B}, CPU_AND_MEMORY) == {"A": 3, "B": 2}


def test_what_an_account_has_already_counts() -> None:
    first, second = shares_before([Demand("A", (1,)), Demand("B", (1,))], (10,), [Demand("A", (5,))])
    assert (first, second) == (500_000, 0)


def test_what_is_held_at_a_greater_weight_counts_for_less() -> None:
    line = [Demand("A", (1,)), Demand("B", (1,))]
    assert shares_before(line, (10,), [Demand("A", (8,), weight=8), Demand("B", (2,))]) == [100_000, 200_000]


def test_orders_of_a_greater_weight_move_their_account_back_by_less() -> None:
    assert shares_before([Demand("A", (4,), weight=2)] * 3, (10,)) == [0, 200_000, 400_000]


def test_a_resource_that_there_is_none_of_counts_for_nothing() -> None:
    assert shares_before([Demand("A", (1, 0)), Demand("A", (1, 0))], (4, 0)) == [0, 250_000]
    assert shares_before([Demand("A", ())], ()) == [0]


amounts = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(st.lists(st.tuples(st.sampled_from("AB"), amounts), max_size=8), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_an_account_only_moves_back_with_each_order_that_it_is_given(
    rows: list[tuple[str, tuple[int, int]]], capacity: tuple[int, int]
) -> None:
    demands = [Demand(account, wanted) for account, wanted in rows]
    shares = shares_before(demands, capacity)
    for account in "AB":
        own = [share for share, demand in zip(shares, demands, strict=True) if demand.account == account]
        assert own == sorted(own)
        assert not own or own[0] == 0
