"""How a training job is stated on the command line: words become the job, wrong ones are refused by their field."""

import inspect
from typing import Any

import pytest

from backend.cli.train_options import states_job
from backend.domain.errors import Invalid
from backend.domain.federated.jobs import Privacy, Target, TrainingSpec


def stated(**said: Any) -> TrainingSpec:
    """The job that a verb gets for these options; all others are left out."""
    got: list[TrainingSpec] = []

    def verb(spec: TrainingSpec, loud: bool = False) -> None:
        got.append(spec)
        assert loud

    read = states_job(verb)
    defaults = {name: one.default for name, one in inspect.signature(read).parameters.items()}
    assert inspect.Parameter.empty in defaults.values(), "the trainer must be said"
    read(**defaults | {"trainer": "digits", "loud": True} | said)
    return got[0]


def test_a_trainer_alone_is_ten_rounds_of_four_nodes_with_half_of_them_as_the_quorum() -> None:
    spec = stated()
    assert (spec.trainer, spec.rounds, spec.participants, spec.participants_min) == ("digits", 10, 4, 2)
    assert (spec.strategy, spec.tier, spec.priority, spec.target) == ("fedavg", "medium", "cost", Target())
    assert (spec.privacy, spec.max_budget_nano, spec.trust_min_ppm) == (None, None, 0)


@pytest.mark.parametrize(("participants", "quorum"), [(1, 1), (2, 1), (3, 2), (5, 3)])
def test_the_quorum_is_half_rounded_up(participants: int, quorum: int) -> None:
    assert stated(participants=participants).participants_min == quorum


def test_values_of_the_configuration_are_truths_numbers_or_words() -> None:
    words = ["a=1", "b=-2.5", "c=1e-3", "d=true", "e=No", "f=shards", "g=x=y", "h=1.2.3"]
    assert stated(config=words).config == {
        "a": 1,
        "b": -2.5,
        "c": 0.001,
        "d": True,
        "e": False,
        "f": "shards",
        "g": "x=y",
        "h": "1.2.3",
    }


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ({"target": "accuracy=0.95", "patience": 3}, Target("accuracy", True, 0.95, 3)),
        ({"target": "val_loss=0.1"}, Target("val_loss", False, 0.1)),
        ({"target": "loss", "higher_is_better": True}, Target("loss", True)),
        ({"target": "accuracy", "higher_is_better": False}, Target("accuracy", False)),
    ],
)
def test_which_way_a_metric_is_better_follows_from_its_name_unless_told(said: Any, target: Target) -> None:
    assert stated(**said).target == target


def test_amounts_shares_options_and_privacy_are_read() -> None:
    spec = stated(max_budget="1.5", limit="0.002", min_trust="80.5", option=["eta=.1"], privacy="local", epsilon=4.0)
    assert (spec.max_budget_nano, spec.limit_nano_per_slot_s, spec.trust_min_ppm) == (1_500_000_000, 2_000_000, 805_000)
    assert spec.strategy_options == {"eta": 0.1}
    assert spec.privacy == Privacy("local", 1.0, 1.0, epsilon_max=4.0)


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({"option": ["eta"]}, "invalid_strategy_options", "strategy_options"),
        ({"option": ["eta=1", "eta=2"]}, "invalid_strategy_options", "strategy_options"),
        ({"option": ["eta=x"]}, "invalid_strategy_options", "strategy_options.eta"),
        ({"config": ["=1"]}, "invalid_config", "config"),
        ({"target": "accuracy=high"}, "invalid_value", "target.value"),
        ({"min_trust": "101"}, "invalid_trust_min_ppm", "trust_min_ppm"),
        ({"privacy": "secret"}, "invalid_privacy", "privacy.mode"),
        ({"quorum": 5}, "invalid_participants_min", "participants_min"),
        ({"rounds": 0}, "invalid_rounds", "rounds"),
        ({"max_budget": "1e3"}, "invalid_amount", "max_budget"),
    ],
)
def test_words_that_mean_no_job_are_refused_by_the_apis_field(said: Any, code: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        stated(**said)
    assert (refused.value.code, refused.value.field) == (code, field)
