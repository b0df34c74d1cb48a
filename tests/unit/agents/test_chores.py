"""Duties that must not hold each other up."""

from datetime import UTC, datetime

from agents.chores import Chore, run_due

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def noting(log: list[str], name: str, more: bool = False, every_s: float = 0.0) -> Chore:
    def run(_now: datetime) -> bool:
        log.append(name)
        return more

    return Chore(name, run, every_s)


def failing(log: list[str]) -> Chore:
    def run(_now: datetime) -> bool:
        log.append("failing")
        raise ConnectionError("away")

    return Chore("failing", run)


def test_chores_run_in_their_order() -> None:
    log: list[str] = []
    assert not run_due([noting(log, "first"), noting(log, "second")], NOW, 0.0, 0.0)
    assert log == ["first", "second"]


def test_one_that_fails_does_not_keep_the_others_from_running() -> None:
    log: list[str] = []
    run_due([failing(log), noting(log, "other")], NOW, 0.0, 0.0)
    assert log == ["failing", "other"]


def test_one_that_fails_pauses_ever_longer_while_the_others_go_on() -> None:
    log: list[str] = []
    chores = [failing(log), noting(log, "other")]
    for tick in range(100):
        run_due(chores, NOW, tick * 0.1, 0.0)
    assert log.count("other") == 100
    assert 4 <= log.count("failing") <= 10


def test_one_that_others_wait_for_pauses_no_longer_than_it_is_told_to() -> None:
    log: list[str] = []
    chore = failing(log)
    chore.retry_max_s = 1.0
    for tick in range(1000):
        run_due([chore], NOW, tick * 0.1, 0.0)
    assert log.count("failing") >= 100


def test_one_that_recovers_runs_at_its_pace_again() -> None:
    log: list[str] = []
    chore = failing(log)
    run_due([chore], NOW, 0.0, 0.0)
    chore.run = noting(log, "fine").run
    run_due([chore], NOW, 1.0, 0.0)
    run_due([chore], NOW, 1.0, 0.0)
    assert log == ["failing", "fine", "fine"]


def test_a_timed_chore_runs_at_its_own_pace_however_often_the_agent_ticks() -> None:
    log: list[str] = []
    chore = noting(log, "timed", every_s=0.5)
    for tick in range(20):
        run_due([chore], NOW, tick * 0.1, 0.0)
    assert len(log) == 4


def test_more_to_do_is_told_and_done_at_once() -> None:
    log: list[str] = []
    chore = noting(log, "busy", more=True, every_s=60.0)
    assert run_due([chore], NOW, 0.0, 0.0)
    assert run_due([chore], NOW, 0.0, 0.0)
    assert log == ["busy", "busy"]
