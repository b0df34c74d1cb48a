"""Power of two choices over what is in flight and how slow answers are: by table, and in a simulated minute."""

import heapq
from collections import Counter
from contextlib import AbstractContextManager
from random import Random

import pytest

from backend.gateway.limits import FAILURE_S, UNKNOWN_LOAD_S
from backend.gateway.routing.choice import less_loaded
from backend.gateway.routing.peak_ewma import PeakEwma
from backend.gateway.routing.target import Target


def test_an_average_takes_a_peak_at_once_and_forgets_it_by_its_age() -> None:
    average = PeakEwma(decay_s=10.0)
    assert average.value(0.0) == 0.0
    average.observe(0.1, 0.0)
    average.observe(2.0, 1.0)
    assert average.value(1.0) == 2.0
    assert average.value(11.0) == pytest.approx(2.0 / 2.718281828)
    for second in range(11, 100):
        average.observe(0.1, float(second))
    assert average.value(99.0) == pytest.approx(0.1, rel=0.01)


def test_an_average_of_the_same_all_the_time_is_the_same() -> None:
    average = PeakEwma(decay_s=5.0)
    for tick in range(1_000):
        average.observe(0.25, tick / 50)
        assert average.value(tick / 50) == pytest.approx(0.25)


@pytest.mark.parametrize(("count", "possible"), [(1, {0}), (2, {0}), (3, {0, 1}), (9, {0, 1, 2, 3, 4, 5, 6, 7})])
def test_the_less_loaded_of_two_is_taken_so_that_the_most_loaded_never_is(count: int, possible: set[int]) -> None:
    random = Random(1)
    taken = {less_loaded(range(count), float, random) for _ in range(1_000)}
    assert taken == possible


def test_equals_share_evenly() -> None:
    random = Random(2)
    taken = Counter(less_loaded("ab", lambda _: 0.0, random) for _ in range(1_000))
    assert 400 < taken["a"] < 600


def test_the_load_of_a_node_is_its_latency_times_what_it_would_then_have_to_do() -> None:
    target = Target()
    assert target.load(0.0) == 0.0, "somebody new is tried"
    with target.asked(0.0):
        assert target.load(0.0) == UNKNOWN_LOAD_S, "but by one request only"
    target.served(0.2, 1.0)
    assert target.load(1.0) == pytest.approx(0.2)
    with target.asked(1.0), target.asked(1.0):
        assert target.in_flight == 2
        assert target.load(1.0) == pytest.approx(0.6)


def test_a_node_that_hangs_is_as_slow_as_its_oldest_request_is_old() -> None:
    target = Target()
    target.served(0.01, 0.0)
    with target.asked(0.0), target.asked(4.0):
        assert target.latency_s(5.0) == 5.0
        assert target.load(5.0) == 15.0


def test_quick_failures_do_not_make_a_node_attractive_and_impatient_clients_do_not_hide_a_slow_one() -> None:
    target = Target()
    target.failed(0.001, 0.0)
    assert target.latency_s(0.0) == FAILURE_S
    target.left(0.01, 0.0)
    assert target.latency_s(0.0) == FAILURE_S
    target.left(3.0, 0.0)
    assert target.latency_s(0.0) == 3.0
    assert target.health.interval.failed == 1, "who leaves does not fail it"
    target.forget()
    target.busy(0.0)
    assert (target.latency_s(0.0), target.health.failures_in_row) == (FAILURE_S, 1)


def served_in_a_minute(latencies_s: list[float], per_s: int, seed: int) -> Counter[int]:
    """How many requests each of these nodes got, which serve one at a time; so many come a second, at random."""
    random = Random(seed)
    targets = [Target() for _ in latencies_s]
    free_s = [0.0] * len(targets)
    under_way: list[tuple[float, int, int, float, AbstractContextManager[None]]] = []
    taken: Counter[int] = Counter()
    now_s, number = 0.0, 0
    while now_s < 60.0:
        now_s += random.expovariate(per_s)
        while under_way and under_way[0][0] <= now_s:
            done_s, _, node, sent_s, place = heapq.heappop(under_way)
            place.__exit__(None, None, None)
            targets[node].served(done_s - sent_s, done_s)
        loads = [target.load(now_s) for target in targets]
        node = less_loaded(range(len(targets)), loads.__getitem__, random)
        place = targets[node].asked(now_s)
        place.__enter__()
        free_s[node] = max(now_s, free_s[node]) + latencies_s[node]
        number += 1
        heapq.heappush(under_way, (free_s[node], number, node, now_s, place))
        taken[node] += 1
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_node_of_three_gets_clearly_fewer_requests(seed: int) -> None:
    taken = served_in_a_minute([0.005, 0.005, 0.050], per_s=100, seed=seed)
    assert taken[2] * 5 < min(taken[0], taken[1])
    assert taken[2] > 0, "it is tried again now and then"


@pytest.mark.parametrize("seed", range(5))
def test_nodes_that_are_alike_get_alike(seed: int) -> None:
    taken = served_in_a_minute([0.005, 0.005, 0.005], per_s=200, seed=seed)
    assert max(taken.values()) < 1.2 * min(taken.values())


def test_the_same_seed_makes_the_same_choices() -> None:
    assert served_in_a_minute([0.005, 0.02], 50, seed=7) == served_in_a_minute([0.005, 0.02], 50, seed=7)
