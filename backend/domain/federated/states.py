"""How far a training job, one of its rounds, and a participant of a round have come; and why a job ended."""

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """selecting → running → aggregating → evaluating, round after round; then exporting → done. Or failed, cancelled.

    A job that ends early for a reason of its own (its target, its budget) is done; what it learned is its result.
    """

    SELECTING = "selecting"
    RUNNING = "running"
    AGGREGATING = "aggregating"
    EVALUATING = "evaluating"
    EXPORTING = "exporting"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class RoundState(StrEnum):
    """open until its updates are judged; then aggregated, or failed for want of a quorum, or cancelled with its job."""

    OPEN = "open"
    AGGREGATED = "aggregated"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ParticipantState(StrEnum):
    """A node in a round: asked (its order is placed), reported (its update waits to be judged), then one of the others.

    Only an accepted update is paid for. `dropped` never reported: its node was lost, failed, or had no data; `late`
    was cut off at the round's deadline, or was not needed any more.
    """

    ASKED = "asked"
    REPORTED = "reported"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DROPPED = "dropped"
    LATE = "late"


class EndReason(StrEnum):
    """Why a job ended."""

    ROUNDS_DONE = "rounds_done"
    TARGET_REACHED = "target_reached"
    PATIENCE_LOST = "patience_lost"
    BUDGET_SPENT = "budget_spent"
    EPSILON_SPENT = "epsilon_spent"
    DEADLINE_PASSED = "deadline_passed"
    CANCELLED_BY_USER = "cancelled_by_user"
    NO_QUORUM = "no_quorum"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    TRAINER_FAILED = "trainer_failed"
    EXPORT_FAILED = "export_failed"


_WITHOUT_RESULT = (EndReason.NO_QUORUM, EndReason.INSUFFICIENT_FUNDS, EndReason.TRAINER_FAILED)
_FINAL: Mapping[EndReason, JobState] = {
    EndReason.CANCELLED_BY_USER: JobState.CANCELLED,
    EndReason.EXPORT_FAILED: JobState.FAILED,
    **dict.fromkeys(_WITHOUT_RESULT, JobState.FAILED),
}


def final_state(reason: EndReason, rounds_aggregated: int) -> JobState:
    """The state in which a job with this reason ends; one that never aggregated anything has failed."""
    state = _FINAL.get(reason, JobState.DONE)
    return JobState.FAILED if state is JobState.DONE and rounds_aggregated == 0 else state
