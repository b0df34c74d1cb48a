"""What participants may cost: how long a fit is paid for at most, and what a job's budget must cover."""

from backend.domain.errors import Invalid
from backend.domain.federated.jobs import TrainingSpec
from backend.domain.money import US_PER_S, format_credits
from backend.domain.terms import worst_case_nano
from backend.services.placement import Plan

FIT_FACTOR = 8  # times the longest of a node's fits so far that its next one is paid for at most
FIT_SHARE_MIN = 10  # but never less than this part of what the job states
FIT_PATIENCE_S = 30  # beyond what is paid for until a fit is killed; an agent that is at it for longer counts as stuck


def fit_us_max(spec: TrainingSpec, longest_us: int | None) -> int:
    """What a node is paid for one fit at most, in microseconds: all that the job states until one of its fits was
    accepted, then by the longest of those. So holds shrink to what fits take, and short ones travel many at a time.
    """
    stated = spec.fit_s * US_PER_S
    return stated if longest_us is None else min(stated, max(FIT_FACTOR * longest_us, stated // FIT_SHARE_MIN))


def needed_nano(planned: Plan, spot_nano: int) -> int:
    """The worst case of one participant at a spot price, or at the job's own limit, in nano-credits."""
    us_max = [payload.us_max for payload in planned.payloads]
    return worst_case_nano(planned.request.limit_nano_per_slot_s or spot_nano, us_max) + len(us_max)


def check_affordable(spec: TrainingSpec, planned: Plan) -> None:
    """Raise Invalid(`budget_too_low`) unless the budget pays for one round with a quorum, at worst."""
    needed = needed_nano(planned, min(state.spot_nano for state in planned.markets)) * spec.participants_min
    if spec.max_budget_nano is not None and spec.max_budget_nano < needed:
        raise Invalid(
            "the budget does not cover one round at worst",
            code="budget_too_low",
            field="max_budget",
            accepted=f"at least {format_credits(needed)} credits now",
        )
