"""docs/training.md names what there is: every strategy with its options, every field of a job, every option typed."""

import re
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

import tests
from backend.api.wire.training import TrainingRequest
from backend.cli.train import verbs
from backend.domain.federated.states import EndReason, JobState
from backend.domain.federated.strategies import STRATEGIES

TEXT = (Path(tests.__file__).parents[1] / "docs/training.md").read_text()


def test_every_strategy_is_listed_with_its_options_and_their_defaults() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .*? \| (.*?) \| .*? \|$", TEXT, re.MULTILINE))
    for name, kind in STRATEGIES.items():
        told = ", ".join(f"`{option}` {of.default:g}" for option, of in kind.options.items())
        assert rows[name] == (told or "–")


def test_every_field_state_and_reason_of_a_job_is_named() -> None:
    words = set(re.findall(r"`(\w+)`", TEXT))
    reasons = set(EndReason) - {EndReason.CANCELLED_BY_USER}  # which the state says
    assert words >= {*TrainingRequest.model_fields, *JobState, *reasons}


def test_every_option_that_is_named_is_one() -> None:
    named = set(re.findall(r"`(--[a-z-]+)", TEXT.partition("## Options")[2].partition("## Strategies")[0]))
    group = get_command(verbs)
    assert isinstance(group, TyperGroup)
    known = {option for parameter in group.commands["submit"].params for option in parameter.opts}
    assert len(named) > 20
    assert named <= known
