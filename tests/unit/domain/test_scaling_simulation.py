"""How the default policy follows loads, in simulated time: overshoot, flaps, time to settle, and nobody interrupted.

A replica does 2 items a second and may be loaded to 80%, so that 10 a second need 7 of them.
"""

import math

import pytest

from backend.domain.scaling import Cause, ScalingPolicy
from tests.unit.domain.scaling_play import Played, play

POLICY = ScalingPolicy()
SEEDS = [1, 2, 3]
PER_REPLICA = 2.0 * POLICY.utilisation_percent / 100


def needed(per_s: float) -> int:
    """Replicas for so many items a second."""
    return math.ceil(per_s / PER_REPLICA)


def told(name: str, played: Played, peak_per_s: float, settled_s: float = 0.0) -> None:
    print(
        f"{name}: overshoot {played.most / needed(peak_per_s):.2f}, flaps {played.flaps()},"
        f" settled after {settled_s:.0f} s, p95 wait {played.wait_s_p95():.2f} s"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_step_is_followed_within_seconds_with_little_overshoot_and_no_flapping(seed: int) -> None:
    played = play(POLICY, lambda at: 10.0 if 200 <= at < 600 else 2.0, seconds=900, least=1, seed=seed)
    enough_s = next(at for at, replicas in played.history if replicas >= needed(10.0) - 1 and at >= 200) - 200
    told("step", played, 10.0, enough_s)
    assert enough_s <= 20
    assert played.most <= 1.3 * needed(10.0)
    assert played.flaps() <= 3, "up and down again is one; the noise of arrivals may add some"
    assert played.history[-1][1] <= needed(2.0) + 1
    assert played.wait_s_p95() < 3.0
    assert played.removed_while_busy == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ramp_is_followed_without_waits(seed: int) -> None:
    played = play(POLICY, lambda at: min(12.0, 1 + at / 60), seconds=1_200, least=1, seed=seed)
    told("ramp", played, 12.0, played.settled_s(660))
    assert played.most <= 1.4 * needed(12.0)
    assert played.flaps() <= 3
    assert played.wait_s_p95() < 2.0
    assert played.removed_while_busy == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_spike_is_drained_and_its_replicas_are_given_back_one_by_one(seed: int) -> None:
    played = play(POLICY, lambda at: 40.0 if 100 <= at < 110 else 1.0, seconds=900, least=1, seed=seed)
    told("spike", played, 40.0, played.settled_s(100))
    assert played.most <= 1.2 * needed(40.0)
    assert max(played.waits_s) < 40.0
    assert played.flaps() <= 3
    assert played.history[-1][1] <= needed(1.0) + 1
    assert played.removed_while_busy == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_days_are_followed_up_and_down(seed: int) -> None:
    day_s, days = 1_800, 2
    played = play(POLICY, lambda at: 8 - 6 * math.cos(2 * math.pi * at / day_s), seconds=days * day_s, seed=seed)
    told("diurnal", played, 14.0)
    assert needed(14.0) - 1 <= played.most <= 1.4 * needed(14.0)
    lows = [replicas for at, replicas in played.history if day_s - 60 < at < day_s + 60]
    assert min(lows) <= needed(2.0) + 1, "the night's replicas are few"
    assert played.flaps() <= 6, "two days turn three times; the noise of arrivals may add some"
    assert played.wait_s_p95() < 2.0
    assert played.removed_while_busy == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_from_zero_and_back_to_zero(seed: int) -> None:
    played = play(POLICY, lambda at: 4.0 if 100 <= at < 200 else 0.0, seconds=900, replicas=0, seed=seed)
    first_s = next(at for at, replicas in played.history if replicas)
    told("zero", played, 4.0, played.settled_s(200))
    assert 100 <= first_s <= 106, "as soon as there is anything to do"
    assert Cause.FROM_ZERO in played.causes
    assert played.most <= 2 * needed(4.0)
    assert played.history[-1][1] == 0
    assert played.left == 0
    assert played.removed_while_busy == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_workers_with_long_items_and_no_backlog_are_left_to_finish(seed: int) -> None:
    """What keda #7368 is about: the backlog is empty, and everybody works."""
    played = play(POLICY, lambda at: 0.1 if at < 60 else 0.0, seconds=600, item_s=200.0, replicas=6, seed=seed)
    assert played.removed_while_busy == 0
    assert played.left == 0
    assert played.history[-1][1] == 0


def test_even_arrivals_at_any_rate_settle_and_stay() -> None:
    for per_s in (1.0, 3.0, 7.0, 11.0):
        played = play(POLICY, lambda _, rate=per_s: rate, seconds=900, least=1, seed=None)  # type: ignore[misc]  # bound
        assert played.settled_s(0) < 400, f"{per_s}/s"
        assert played.flaps() <= 2, f"{per_s}/s"
        assert needed(per_s) - 1 <= played.history[-1][1] <= needed(per_s) + 2, f"{per_s}/s"
