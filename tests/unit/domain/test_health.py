"""Verdicts on agents, the gravest reason first."""

from dataclasses import replace

import pytest

from backend.domain.health import (
    HELD_FACTOR,
    PROGRESS_MAX_S,
    SILENT_MAX_S,
    START_MAX_S,
    TICK_MAX_S,
    Health,
    Signs,
    Verdict,
    judge,
)

WELL = Signs(age_s=1_000.0, silent_s=0.5, tick_s=0.1)


@pytest.mark.parametrize(
    "signs",
    [
        WELL,
        replace(WELL, silent_s=SILENT_MAX_S, tick_s=TICK_MAX_S, unmoved_s=PROGRESS_MAX_S),
        replace(WELL, tick_s=None),
        replace(WELL, container=Health.HEALTHY),
        replace(WELL, container=Health.STARTING),
    ],
)
def test_who_beats_turns_and_works_is_healthy(signs: Signs) -> None:
    assert judge(signs).verdict is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (replace(WELL, container=Health.UNHEALTHY, silent_s=SILENT_MAX_S + 1), "its container is unhealthy"),
        (replace(WELL, silent_s=SILENT_MAX_S + 1, tick_s=TICK_MAX_S + 1), "no beat for 11 s"),
        (replace(WELL, tick_s=TICK_MAX_S + 1, unmoved_s=PROGRESS_MAX_S + 1), "it beats, but its loop hangs for 91 s"),
        (replace(WELL, unmoved_s=PROGRESS_MAX_S + 1), "it beats, but did none of its work for 46 s"),
        (Signs(age_s=START_MAX_S + 1), "not one beat in 121 s"),
    ],
)
def test_the_sick_are_told_with_the_gravest_reason(signs: Signs, reason: str) -> None:
    diagnosis = judge(signs)
    assert (diagnosis.verdict, diagnosis.reason) == (Verdict.SICK, reason)


def test_who_never_beat_may_still_be_starting() -> None:
    assert judge(Signs(age_s=START_MAX_S)).verdict is Verdict.STARTING


def test_a_long_item_in_hand_is_given_the_time_that_it_may_take() -> None:
    minutes = replace(WELL, held_us=60_000_000, unmoved_s=PROGRESS_MAX_S + HELD_FACTOR * 60)
    assert judge(minutes).verdict is Verdict.HEALTHY
    assert judge(replace(minutes, unmoved_s=minutes.unmoved_s + 1)).verdict is Verdict.SICK


def test_an_operator_may_say_how_long_work_may_stand_still() -> None:
    idle = replace(WELL, unmoved_s=6)
    assert judge(idle, stuck_after_s=6).verdict is Verdict.HEALTHY
    assert judge(idle, stuck_after_s=5).reason == "it beats, but did none of its work for 6 s"
