"""One task worked on by several agents: its parts, who may claim them, and when it is decided.

A part's `fence` grows with every claim, so that what a claimer reports too late, or twice, counts for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

from backend.domain.coordination import check_json, check_name
from backend.domain.errors import Conflict, Invalid

CLAIM_S = 5.0  # a claimer that has not beaten for so long has lost its parts
BEAT_S = 1.0
ATTEMPTS_MAX = 3
PARTS_MAX = 1_000
CLAIM_MAX = 100  # parts in one claim
PAYLOAD_BYTES_MAX = 8 * 1024  # of a part, and of its result
ERROR_CHARS_MAX = 500
LIFE_MAX = timedelta(days=1)
SHOWN_FAILURES_MAX = 20  # in one message; the parts themselves tell all


class JoinPolicy(StrEnum):
    """When a task is decided."""

    ALL = "all"  # when every part is done; the first that fails ends the rest
    COLLECT = "collect"  # when every part has ended; failures are collected
    QUORUM = "quorum"  # when so many are done, or cannot be done any more


class TaskState(StrEnum):
    """Where a task is; all but the first are for ever."""

    OPEN = "open"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PartState(StrEnum):
    """Where a part is; the last three are for ever."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TaskWish:
    """A task to be opened: agents that know its `kind` work on one part for each payload, in any order."""

    kind: str
    payloads: tuple[object, ...]
    policy: JoinPolicy = JoinPolicy.ALL
    quorum: int | None = None
    life: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class PartClaim:
    """A part in somebody's hand; it must come back with its fence."""

    task_id: UUID
    seq: int
    fence: int


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """A part to be worked on."""

    claim: PartClaim
    kind: str
    attempt: int
    payload: object


@dataclass(frozen=True, slots=True)
class PartResult:
    """What came of a part."""

    claim: PartClaim
    result: object


@dataclass(frozen=True, slots=True)
class PartFailure:
    """Why a part was not done; with `again`, somebody may try once more while it has attempts left."""

    claim: PartClaim
    error: str
    again: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part as it is by now."""

    seq: int
    state: PartState
    attempt: int
    claimer: str | None
    result: object
    error: str | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How a task's parts stand."""

    total: int
    done: int
    failed: int


class JointFailed(Conflict):
    """A task that did not succeed; names every part that failed, and what they said."""

    def __init__(self, task_id: UUID, state: TaskState, why: str, failures: Sequence[tuple[int, str]]) -> None:
        told = "; ".join(f"part {seq}: {error}" for seq, error in failures[:SHOWN_FAILURES_MAX])
        more = len(failures) - SHOWN_FAILURES_MAX
        rest = f"; and {more} more" if more > 0 else ""
        facts = f": {told}{rest}" if told else ""
        super().__init__(f"joint task {task_id} {state}, {why}{facts}", code=f"joint_{state}")
        self.task_id = task_id
        self.failures = tuple(failures)


def check_task(wish: TaskWish) -> list[str]:
    """The payloads as JSON; raises Invalid or TooLarge for a task that cannot be opened."""
    check_name("kind", wish.kind)
    parts = len(wish.payloads)
    if not 1 <= parts <= PARTS_MAX:
        raise Invalid(f"{parts} parts", code="invalid_parts", field="parts", accepted=f"1 to {PARTS_MAX}")
    if (wish.policy is JoinPolicy.QUORUM) != (wish.quorum is not None) or not 1 <= (
        1 if wish.quorum is None else wish.quorum
    ) <= parts:
        raise Invalid(
            f"a quorum of {wish.quorum} with policy {wish.policy}",
            code="invalid_quorum",
            field="quorum",
            accepted=f"1 to {parts} with policy quorum, none with another",
        )
    if not timedelta(0) < wish.life <= LIFE_MAX:
        accepted = f"up to {LIFE_MAX.total_seconds():.0f} seconds"
        raise Invalid(f"a life of {wish.life}", code="invalid_life", field="life", accepted=accepted)
    return [check_json("payload", payload, PAYLOAD_BYTES_MAX) for payload in wish.payloads]


def after_failure(attempt: int, again: bool) -> PartState:
    """Where a part goes that failed in this attempt, or whose claimer fell silent."""
    return PartState.WAITING if again and attempt < ATTEMPTS_MAX else PartState.FAILED


def decided(policy: JoinPolicy, quorum: int | None, tally: Tally) -> tuple[TaskState, str] | None:
    """How a task has ended, with the reason; None while it goes on."""
    needed = quorum if policy is JoinPolicy.QUORUM and quorum is not None else tally.total
    possible = tally.total - tally.failed
    if tally.done >= needed:
        return TaskState.DONE, f"{tally.done} of {tally.total} parts are done"
    if possible < needed and (policy is not JoinPolicy.COLLECT or tally.done == possible):
        return TaskState.FAILED, f"{tally.failed} of {tally.total} parts failed, {needed} were needed"
    return None


def joined(task_id: UUID, state: TaskState, why: str, parts: Sequence[Part]) -> list[object]:
    """The results of a task that was decided, in the order of its parts; None for those that a quorum did not need.

    Raises JointFailed for one that failed or was cancelled.
    """
    if state is not TaskState.DONE:
        failures = [(part.seq, part.error or "") for part in parts if part.state is PartState.FAILED]
        raise JointFailed(task_id, state, why, failures)
    return [part.result for part in sorted(parts, key=lambda part: part.seq)]
