"""How long a fit is paid for at most."""

import pytest

from backend.domain.federated.jobs import TrainingSpec
from backend.services.training_terms import fit_us_max

SPEC = TrainingSpec("toy", rounds=1, participants=1, participants_min=1, fit_s=10)


@pytest.mark.parametrize(
    ("longest_us", "us_max"),
    [
        (None, 10_000_000),
        (0, 1_000_000),
        (125_000, 1_000_000),
        (125_001, 1_000_008),
        (1_000_000, 8_000_000),
        (9_000_000, 10_000_000),
    ],
)
def test_a_fit_is_paid_for_by_the_nodes_earlier_ones_within_what_the_job_states(
    longest_us: int | None, us_max: int
) -> None:
    assert fit_us_max(SPEC, longest_us) == us_max
