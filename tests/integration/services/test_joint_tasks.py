"""Tasks that several agents work on, on a real database: each part's effect once, whoever dies meanwhile."""

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event
from uuid import UUID

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain import events
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge
from backend.domain.ids import AccountId
from backend.domain.joint_tasks import (
    ATTEMPTS_MAX,
    CLAIM_S,
    PAYLOAD_BYTES_MAX,
    ClaimedPart,
    JoinPolicy,
    JointFailed,
    PartFailure,
    PartResult,
    PartState,
    TaskState,
    TaskWish,
)
from backend.services import log
from backend.services.joint_tasks import (
    TASKS_KEPT,
    beat_parts,
    cancel_task,
    claim_parts,
    commit_parts,
    join,
    list_tasks,
    open_task,
    show_task,
    sweep_joint,
)
from tests.integration.services.clock import in_seconds
from tests.market import Market, Statements
from tests.waiting import PATIENCE_S

ADMIN = Principal(None, AccountId(new_id()), Role.ADMIN)
WORKERS = 8
PARTS = 200
CLAIMER = """
import sys, time
from backend.bootstrap import Settings, Swarmex, utc_now
from backend.services.joint_tasks import claim_parts
from tests.waiting import PATIENCE_S
database, redis, folder = sys.argv[1:]
app = Swarmex(Settings(data_folder=folder, database_url=database, redis_url=redis), database, redis)
print(len(claim_parts(app.uow(), utc_now(), "child", ["square"], 2)), flush=True)
time.sleep(60)
"""


def opened(market: Market, parts: int = 3, policy: JoinPolicy = JoinPolicy.ALL, quorum: int | None = None) -> UUID:
    wish = TaskWish("square", tuple(range(parts)), policy, quorum)
    return open_task(market.app.uow(), utc_now(), "opener", wish).id


def claim(market: Market, claimer: str = "a", limit: int = 1, after_s: float = 0) -> list[ClaimedPart]:
    return claim_parts(market.app.uow(), in_seconds(after_s), claimer, ["square"], limit)


def done(part: ClaimedPart) -> PartResult:
    assert isinstance(part.payload, int)
    return PartResult(part.claim, part.payload**2)


def states(market: Market, task: UUID) -> list[PartState]:
    return [part.state for part in show_task(market.app.uow(), task).parts]


def test_several_agents_work_on_one_task_and_its_results_are_joined_in_order(market: Market) -> None:
    task, begin = opened(market, PARTS), Barrier(WORKERS)

    def work(number: int) -> int:
        begin.wait()
        mine = 0
        while parts := claim(market, f"worker-{number}", 7):
            mine += len(commit_parts(market.app.uow(), utc_now(), [done(part) for part in parts]))
        return mine

    with ThreadPoolExecutor(WORKERS) as pool:
        worked = list(pool.map(work, range(WORKERS)))
    assert sum(worked) == PARTS, "each part counts once"
    assert join(market.app.uow, task, 0) == [number**2 for number in range(PARTS)]
    parts = show_task(market.app.uow(), task).parts
    assert {part.attempt for part in parts} == {1}
    assert sum(Counter(part.claimer for part in parts).values()) == PARTS


def test_opening_claiming_and_committing_take_as_many_statements_for_any_number_of_parts(market: Market) -> None:
    seen = []
    for parts in (2, 100):
        with Statements(market.app.engine) as statements:
            opened(market, parts)
            claimed = claim(market, limit=parts)
            commit_parts(market.app.uow(), utc_now(), [done(part) for part in claimed])
        seen.append(statements.count)
    assert seen[0] == seen[1] <= 8


def test_the_parts_of_a_killed_process_return_to_the_others_when_its_claims_run_out(
    market: Market, database_url: str, redis_url: str
) -> None:
    task = opened(market)
    command = [sys.executable, "-c", CLAIMER, database_url, redis_url, str(market.app.folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "2\n"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait()
    assert sweep_joint(market.app.uow(), utc_now()).lapsed == 0, "it might still be alive"
    assert sweep_joint(market.app.uow(), in_seconds(CLAIM_S + 1)).lapsed == 2
    again = claim(market, "living", 3)
    assert [(part.attempt, part.claim.fence) for part in again] == [(2, 2), (2, 2), (1, 1)]
    commit_parts(market.app.uow(), utc_now(), [done(part) for part in again])
    assert join(market.app.uow, task, 0) == [0, 1, 4]


def test_what_a_paused_claimer_commits_late_or_twice_counts_for_nothing(market: Market) -> None:
    task = opened(market, 1)
    [paused] = claim(market, "paused")
    sweep_joint(market.app.uow(), in_seconds(CLAIM_S + 1))
    [again] = claim(market, "living")
    assert commit_parts(market.app.uow(), utc_now(), [PartResult(paused.claim, "late")]) == set()
    assert commit_parts(market.app.uow(), utc_now(), (), [PartFailure(paused.claim, "late", again=False)]) == set()
    assert beat_parts(market.app.uow(), utc_now(), [paused.claim]) == set()
    assert commit_parts(market.app.uow(), utc_now(), [PartResult(again.claim, "in time")]) == {again.claim}
    assert commit_parts(market.app.uow(), utc_now(), [PartResult(again.claim, "twice")]) == set()
    assert join(market.app.uow, task, 0) == ["in time"]


def test_a_claimer_that_beats_keeps_its_parts(market: Market) -> None:
    opened(market, 2)
    kept, lost = claim(market, limit=2)
    assert beat_parts(market.app.uow(), in_seconds(CLAIM_S), [kept.claim]) == {kept.claim}
    assert sweep_joint(market.app.uow(), in_seconds(CLAIM_S + 1)).lapsed == 1
    assert commit_parts(market.app.uow(), utc_now(), [done(kept), done(lost)]) == {kept.claim}


def test_a_part_that_kills_whoever_takes_it_fails_after_its_attempts_and_says_so(market: Market) -> None:
    task = opened(market, 1)
    for attempt in range(ATTEMPTS_MAX):
        [part] = claim(market, f"victim-{attempt}")
        assert part.attempt == attempt + 1
        assert sweep_joint(market.app.uow(), in_seconds(CLAIM_S + 1)).lapsed == 1
    assert claim(market) == []
    with pytest.raises(JointFailed) as failed:
        join(market.app.uow, task, 0)
    assert failed.value.failures == ((0, f"victim-{ATTEMPTS_MAX - 1} fell silent"),)


def test_the_first_error_that_nobody_may_try_again_ends_the_rest(market: Market) -> None:
    task = opened(market, 4)
    first, second, third = claim(market, limit=3)
    commit_parts(market.app.uow(), utc_now(), [done(first)], [PartFailure(second.claim, "no\0 disk", again=False)])
    assert states(market, task) == [PartState.DONE, PartState.FAILED, PartState.CANCELLED, PartState.CANCELLED]
    assert commit_parts(market.app.uow(), utc_now(), [done(third)]) == set(), "it was taken out of its hand"
    assert claim(market) == []
    with pytest.raises(JointFailed, match="part 1: no disk"):
        join(market.app.uow, task, 0)


def test_an_error_is_tried_again_by_another_until_the_attempts_are_used_up(market: Market) -> None:
    task = opened(market, 1)
    for _ in range(ATTEMPTS_MAX):
        [part] = claim(market)
        assert join(market.app.uow, task, 0) is None
        commit_parts(market.app.uow(), utc_now(), (), [PartFailure(part.claim, "busy")])
    with pytest.raises(JointFailed, match="part 0: busy"):
        join(market.app.uow, task, 0)


def test_collected_errors_end_nothing_and_are_all_told(market: Market) -> None:
    task = opened(market, 3, JoinPolicy.COLLECT)
    parts = claim(market, limit=3)
    commit_parts(market.app.uow(), utc_now(), (), [PartFailure(parts[0].claim, "x", again=False)])
    assert join(market.app.uow, task, 0) is None
    commit_parts(market.app.uow(), utc_now(), [done(parts[1])], [PartFailure(parts[2].claim, "y", again=False)])
    with pytest.raises(JointFailed) as failed:
        join(market.app.uow, task, 0)
    assert failed.value.failures == ((0, "x"), (2, "y"))


def test_a_quorum_is_enough_and_what_is_left_is_cancelled(market: Market) -> None:
    task = opened(market, 4, JoinPolicy.QUORUM, 2)
    parts = claim(market, limit=3)
    failure = PartFailure(parts[0].claim, "x", again=False)
    commit_parts(market.app.uow(), utc_now(), [done(parts[1]), done(parts[2])], [failure])
    assert join(market.app.uow, task, 0) == [None, 1, 4, None]
    assert states(market, task)[3] is PartState.CANCELLED


def test_a_task_past_its_deadline_fails_and_is_claimed_no_more(market: Market) -> None:
    wish = TaskWish("square", (1,), life=timedelta(seconds=10))
    task = open_task(market.app.uow(), utc_now(), "opener", wish).id
    assert claim(market, after_s=11) == []
    assert sweep_joint(market.app.uow(), in_seconds(11)).overdue == 1
    with pytest.raises(JointFailed, match="the deadline passed"):
        join(market.app.uow, task, 0)
    assert sweep_joint(market.app.uow(), in_seconds(11)).overdue == 0


def test_a_cancelled_task_ends_what_is_under_way_and_is_logged(market: Market) -> None:
    task = opened(market)
    [part] = claim(market)
    with pytest.raises(Forbidden):
        cancel_task(market.app.uow(), utc_now(), market.provider, task)
    cancel_task(market.app.uow(), utc_now(), ADMIN, task)
    assert commit_parts(market.app.uow(), utc_now(), [done(part)]) == set()
    with pytest.raises(JointFailed) as failed:
        join(market.app.uow, task, 0)
    assert failed.value.code == "joint_cancelled"
    with pytest.raises(Conflict):
        cancel_task(market.app.uow(), utc_now(), ADMIN, task)
    with pytest.raises(NotFound):
        cancel_task(market.app.uow(), utc_now(), ADMIN, new_id())
    assert [entry.subject for entry in log.list_entries(market.app.uow(), action="joint.")] == [f"joint_task {task}"]


def test_cancelling_while_others_claim_leaves_nothing_claimed(market: Market) -> None:
    task, begin = opened(market, PARTS), Barrier(WORKERS)

    def act(number: int) -> int:
        begin.wait()
        if number == 0:
            cancel_task(market.app.uow(), utc_now(), ADMIN, task)
            return 0
        parts = claim(market, f"w-{number}", 20)
        return len(commit_parts(market.app.uow(), utc_now(), [done(part) for part in parts]))

    with ThreadPoolExecutor(WORKERS) as pool:
        counted = sum(pool.map(act, range(WORKERS)))
    found = Counter(states(market, task))
    assert set(found) <= {PartState.DONE, PartState.CANCELLED}
    assert found[PartState.DONE] == counted


def test_a_result_that_is_too_large_is_refused_and_the_part_stays_in_hand(market: Market) -> None:
    opened(market, 1)
    [part] = claim(market)
    with pytest.raises(TooLarge):
        commit_parts(market.app.uow(), utc_now(), [PartResult(part.claim, "x" * PAYLOAD_BYTES_MAX)])
    with pytest.raises(Invalid):
        commit_parts(market.app.uow(), utc_now(), [done(part)] * 101)
    with pytest.raises(Invalid):
        claim(market, limit=0)
    assert commit_parts(market.app.uow(), utc_now(), [done(part)]) == {part.claim}


def test_who_joins_is_woken_by_the_last_result(market: Market) -> None:
    task = opened(market, 1)
    [part] = claim(market)
    changed, waiting = market.app.bus.subscribe([events.Topic.JOINT_CHANGED]), Event()

    def pause(_: float) -> None:
        waiting.set()
        assert changed.wait(PATIENCE_S), "not woken by the clock"

    try:
        while not changed.connected:
            changed.wait(0.1)
        with ThreadPoolExecutor(1) as pool:
            results = pool.submit(join, market.app.uow, task, PATIENCE_S, pause)
            assert waiting.wait(PATIENCE_S)
            commit_parts(market.app.uow(), utc_now(), [done(part)])
            assert results.result(PATIENCE_S) == [0]
    finally:
        changed.close()


def test_tasks_are_listed_and_forgotten_when_they_were_decided_long_ago(market: Market) -> None:
    first, second = opened(market, 1), opened(market, 1)
    assert [task.id for task in list_tasks(market.app.uow())] == [second, first]
    cancel_task(market.app.uow(), utc_now(), ADMIN, first)
    assert [task.id for task in list_tasks(market.app.uow(), TaskState.OPEN)] == [second]
    assert sweep_joint(market.app.uow(), utc_now()).forgotten == 0
    assert sweep_joint(market.app.uow(), utc_now() + TASKS_KEPT + timedelta(minutes=1)).forgotten == 1
    with pytest.raises(NotFound):
        show_task(market.app.uow(), first)
    with pytest.raises(Invalid):
        list_tasks(market.app.uow(), limit=0)
