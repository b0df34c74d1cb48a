"""When a task of several parts is decided, and what comes of it."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.domain.errors import Invalid, TooLarge
from backend.domain.joint_tasks import (
    ATTEMPTS_MAX,
    LIFE_MAX,
    PARTS_MAX,
    PAYLOAD_BYTES_MAX,
    SHOWN_FAILURES_MAX,
    JoinPolicy,
    JointFailed,
    Part,
    PartState,
    Tally,
    TaskState,
    TaskWish,
    after_failure,
    check_task,
    decided,
    joined,
)

TASK = UUID(int=1)
ALL, COLLECT, QUORUM = JoinPolicy.ALL, JoinPolicy.COLLECT, JoinPolicy.QUORUM
DONE, FAILED = TaskState.DONE, TaskState.FAILED


def test_a_task_that_can_be_opened_has_its_payloads_as_json() -> None:
    assert check_task(TaskWish("sum", (1, {"a": "ä"}))) == ["1", '{"a":"ä"}']
    assert check_task(TaskWish("sum", (1, 2), QUORUM, 2, LIFE_MAX)) == ["1", "2"]


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (TaskWish("", (1,)), "kind"),
        (TaskWish("a", ()), "parts"),
        (TaskWish("a", (1,) * (PARTS_MAX + 1)), "parts"),
        (TaskWish("a", (1,), QUORUM), "quorum"),
        (TaskWish("a", (1,), QUORUM, 0), "quorum"),
        (TaskWish("a", (1,), QUORUM, 2), "quorum"),
        (TaskWish("a", (1,), ALL, 1), "quorum"),
        (TaskWish("a", (1,), life=timedelta(0)), "life"),
        (TaskWish("a", (1,), life=LIFE_MAX + timedelta(seconds=1)), "life"),
        (TaskWish("a", (object(),)), "payload"),
    ],
)
def test_a_task_that_cannot_be_opened_is_refused_by_the_field_at_fault(wish: TaskWish, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_task(wish)
    assert refused.value.field == field


def test_a_payload_above_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        check_task(TaskWish("a", ("x" * PAYLOAD_BYTES_MAX,)))


def test_a_part_that_failed_goes_to_another_while_it_has_attempts_and_may() -> None:
    assert after_failure(1, again=True) is PartState.WAITING
    assert after_failure(1, again=False) is PartState.FAILED
    assert after_failure(ATTEMPTS_MAX, again=True) is PartState.FAILED


@pytest.mark.parametrize(
    ("policy", "quorum", "total", "done", "failed", "state"),
    [
        (ALL, None, 3, 2, 0, None),
        (ALL, None, 3, 3, 0, DONE),
        (ALL, None, 3, 0, 1, FAILED),
        (COLLECT, None, 3, 1, 1, None),
        (COLLECT, None, 3, 3, 0, DONE),
        (COLLECT, None, 3, 2, 1, FAILED),
        (COLLECT, None, 3, 0, 3, FAILED),
        (QUORUM, 2, 3, 1, 1, None),
        (QUORUM, 2, 3, 2, 0, DONE),
        (QUORUM, 2, 3, 2, 1, DONE),
        (QUORUM, 2, 3, 1, 2, FAILED),
        (QUORUM, 2, 3, 0, 2, FAILED),
    ],
)
def test_a_task_is_decided_by_its_policy(
    policy: JoinPolicy, quorum: int | None, total: int, done: int, failed: int, state: TaskState | None
) -> None:
    verdict = decided(policy, quorum, Tally(total, done, failed))
    assert (verdict and verdict[0]) == state
    if state is FAILED:
        assert verdict
        assert verdict[1].startswith(f"{failed} of {total} parts failed")


@given(st.data(), st.integers(1, 8))
def test_a_task_whose_parts_have_ended_is_decided_and_a_verdict_never_turns(data: st.DataObject, total: int) -> None:
    policy = data.draw(st.sampled_from(JoinPolicy))
    quorum = data.draw(st.integers(1, total)) if policy is QUORUM else None
    ends = data.draw(st.lists(st.booleans(), min_size=total, max_size=total))
    seen = [decided(policy, quorum, Tally(total, sum(ends[:n]), n - sum(ends[:n]))) for n in range(total + 1)]
    states = [verdict[0] for verdict in seen if verdict]
    assert states, "all have ended"
    assert len(set(states)) == 1
    assert (states[0] is DONE) == (sum(ends) >= (quorum or total))


def part(seq: int, state: PartState, result: object = None, error: str | None = None) -> Part:
    return Part(seq, state, 1, "a", result, error)


def test_results_are_joined_in_the_order_of_parts() -> None:
    parts = [part(1, PartState.DONE, "b"), part(0, PartState.DONE, "a"), part(2, PartState.CANCELLED)]
    assert joined(TASK, DONE, "enough", parts) == ["a", "b", None]


def test_a_task_that_failed_names_each_parts_failure() -> None:
    parts = [part(0, PartState.FAILED, error="no disk"), part(1, PartState.DONE, 1), part(2, PartState.FAILED)]
    with pytest.raises(JointFailed) as failed:
        joined(TASK, FAILED, "2 of 3 parts failed", parts)
    assert failed.value.code == "joint_failed"
    assert failed.value.failures == ((0, "no disk"), (2, ""))
    assert failed.value.message == f"joint task {TASK} failed, 2 of 3 parts failed: part 0: no disk; part 2: "


def test_a_long_list_of_failures_is_cut_in_the_message_alone() -> None:
    count = SHOWN_FAILURES_MAX + 2
    with pytest.raises(JointFailed) as failed:
        joined(TASK, FAILED, "why", [part(seq, PartState.FAILED, error="x") for seq in range(count)])
    assert failed.value.message.endswith("; and 2 more")
    assert len(failed.value.failures) == count


def test_a_task_that_was_cancelled_says_so() -> None:
    with pytest.raises(JointFailed) as failed:
        joined(TASK, TaskState.CANCELLED, "by the operator", [part(0, PartState.CANCELLED)])
    assert (failed.value.code, failed.value.message) == (
        "joint_cancelled",
        f"joint task {TASK} cancelled, by the operator",
    )
