"""Who is left out of a line, for how long, and that never too many are."""

import pytest

from backend.gateway.limits import EJECTION_MAX_S, EJECTION_S, OUTLIER_FAILURES, OUTLIER_VOLUME_MIN
from backend.gateway.routing.outliers import Health, has_failed_in_row, may_eject, sweep

MANY = 5 * OUTLIER_VOLUME_MIN


def node(served: int = MANY, failed: int = 0, latency_s: float = 0.01) -> Health:
    """What a node did in an interval."""
    health = Health()
    for _ in range(failed):
        health.failed()
    for _ in range(served):
        health.served(latency_s)
    return health


@pytest.mark.parametrize(
    ("line", "ejected"),
    [
        ([node(), node(), node()], []),
        ([node(), node(), node(served=MANY // 2, failed=MANY // 2)], [2]),
        ([node(), node(), node(latency_s=0.5)], [2]),
        ([node(), node(), node(latency_s=0.03)], []),  # three times as slow, and yet quick
        ([node(latency_s=0.2), node(latency_s=0.3), node(latency_s=0.5)], []),
        ([node(), node(served=MANY - 1, failed=1), node()], []),
        ([node(), node(served=0, failed=MANY)], [1]),
        ([node(served=0, failed=MANY)] * 1, []),  # there is nobody to hold it against
        ([node(served=MANY // 2, failed=MANY // 2), node(served=MANY // 2, failed=MANY // 2)], []),
        ([node(), node(served=1, failed=1)], []),  # too few requests to tell
        ([node(), node(), node(0, MANY), node(MANY // 2, MANY // 2)], [2, 3]),
        ([node(), node(0, MANY), node(MANY // 2, MANY // 2)], [1]),  # half of them at most, the worst first
    ],
)
def test_who_stands_out_from_the_others_is_left_out(line: list[Health], ejected: list[int]) -> None:
    found = sweep(line, 100.0)
    assert [number for number, health in enumerate(line) if any(health is out for out in found)] == ejected
    for health in found:
        assert health.ejected(100.0 + EJECTION_S - 0.1)
        assert not health.ejected(100.0 + EJECTION_S)


def test_the_next_interval_is_judged_by_itself() -> None:
    line = [node(), node(served=MANY // 2, failed=MANY // 2)]
    assert sweep(line, 0.0) == [line[1]]
    for health in line:
        for _ in range(MANY):
            health.served(0.01)
    assert sweep(line, EJECTION_S) == []


def test_each_ejection_is_longer_than_the_last_up_to_a_bound_and_good_intervals_shorten_the_next() -> None:
    health, other = Health(), Health()
    lengths = []
    for _ in range(40):
        health.eject(0.0)
        lengths.append(health.ejected_until_s)
    assert lengths[:3] == [EJECTION_S, 2 * EJECTION_S, 3 * EJECTION_S]
    assert lengths[-1] == EJECTION_MAX_S
    for _ in range(39):
        for one in (health, other):
            for _ in range(MANY):
                one.served(0.01)
        sweep([health, other], EJECTION_MAX_S)
    assert health.ejections == 1


def test_failures_in_a_row_tell_and_one_success_in_between_takes_them_back() -> None:
    health = node(served=0, failed=OUTLIER_FAILURES - 1)
    health.served(0.01)
    health.failed()
    assert not has_failed_in_row(health)
    for _ in range(OUTLIER_FAILURES):
        health.failed()
    assert has_failed_in_row(health)


@pytest.mark.parametrize(("nodes", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (8, 4)])
def test_the_last_one_is_never_left_out_nor_more_than_half(nodes: int, most: int) -> None:
    line = [Health() for _ in range(nodes)]
    ejected = 0
    for health in line:
        if may_eject(line, 0.0):
            health.eject(0.0)
            ejected += 1
    assert ejected == most
