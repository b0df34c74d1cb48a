"""When a member that died may come back."""

from agents.manager.restarts import FIRST_S, LOOP_DEATHS, LOOP_S, MAX_S, STEADY_S, Restarts

KEY = ("settlement", 0)


def test_a_first_death_is_followed_by_a_short_pause() -> None:
    restarts = Restarts()
    restarts.started(KEY, 0.0)
    assert restarts.died(KEY, 1.0) == FIRST_S
    assert not restarts.may_start(KEY, 1.0 + FIRST_S / 2)
    assert restarts.may_start(KEY, 1.0 + FIRST_S)


def test_one_that_keeps_dying_waits_ever_longer_but_never_above_the_bound() -> None:
    restarts = Restarts()
    pauses = []
    now_s = 0.0
    for _ in range(20):
        restarts.started(KEY, now_s)
        pauses.append(restarts.died(KEY, now_s))
        now_s += pauses[-1]
    assert pauses == sorted(pauses)
    assert pauses[0] == FIRST_S
    assert pauses[-1] == MAX_S


def test_a_long_life_makes_earlier_deaths_forgotten() -> None:
    restarts = Restarts()
    for _ in range(10):
        restarts.started(KEY, 0.0)
        restarts.died(KEY, 0.0)
    restarts.started(KEY, 100.0)
    assert restarts.died(KEY, 100.0 + STEADY_S) == FIRST_S


def test_one_that_was_dismissed_may_start_at_once() -> None:
    restarts = Restarts()
    restarts.started(KEY, 0.0)
    restarts.died(KEY, 0.0)
    restarts.forget(KEY)
    assert restarts.may_start(KEY, 0.0)


def test_members_do_not_pay_for_each_other() -> None:
    restarts = Restarts()
    restarts.started(KEY, 0.0)
    restarts.died(KEY, 0.0)
    assert restarts.may_start(("settlement", 1), 0.0)


def test_a_crash_loop_is_told_once_until_the_member_was_steady_again() -> None:
    restarts = Restarts()
    told = []
    for turn in range(3 * LOOP_DEATHS):
        restarts.started(KEY, float(turn))
        restarts.died(KEY, float(turn))
        told.append(restarts.crash_loop(KEY, float(turn)))
    assert told == [0] * (LOOP_DEATHS - 1) + [LOOP_DEATHS] + [0] * (2 * LOOP_DEATHS)
    restarts.started(KEY, 100.0)
    for turn in range(LOOP_DEATHS):
        restarts.died(KEY, 100.0 + STEADY_S + turn)
        restarts.started(KEY, 100.0 + STEADY_S + turn)
    assert restarts.crash_loop(KEY, 100.0 + STEADY_S + LOOP_DEATHS) == LOOP_DEATHS


def test_deaths_that_lie_far_apart_are_no_loop() -> None:
    restarts = Restarts()
    for turn in range(LOOP_DEATHS):
        restarts.started(KEY, turn * LOOP_S)
        restarts.died(KEY, turn * LOOP_S + 1)
    assert restarts.crash_loop(KEY, LOOP_DEATHS * LOOP_S) == 0
    assert restarts.crash_loop(("nobody", 0), 0.0) == 0
