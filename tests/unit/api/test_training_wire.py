"""Training jobs as they are sent: what is left out, what may be a trainer's value, and one job by both doors."""

import json
import math
from typing import Any

import pytest
from pydantic import ValidationError

from backend.api.validation import KIND, field_name, problem
from backend.api.wire.training import TrainingRequest, TrainingWorkload
from backend.domain.errors import Invalid
from backend.domain.federated.jobs import (
    CLIP_MAX,
    NOISE_MULTIPLIER_MAX,
    Privacy,
    PrivacyMode,
    Target,
    TrainingSpec,
    check_spec,
)
from backend.domain.federated.statements import statement

LEAST: dict[str, Any] = {"trainer": "digits", "rounds": 2, "participants": 3}
ALL: dict[str, Any] = {
    "trainer": "digits",
    "rounds": 2,
    "participants_min": 1,
    "strategy": "fedadam",
    "strategy_options": {"eta": 1},
    "local_epochs": 2,
    "batch_size": 8,
    "config": {"a": True, "b": -(2**63), "c": 0.5, "d": "é"},
    "fit_s": 20,
    "round_s": 30,
    "trust_min_ppm": 500_000,
    "target": {"metric": "accuracy", "value": 0.9, "patience": 2},
    "privacy": {"mode": "local", "clip": 1, "noise_multiplier": 0.5, "epsilon_max": 3},
    "name": "mine",
    "seed": 7,
}
COMMON: dict[str, Any] = {
    "participants": 3,
    "model": "before",
    "tier": "large",
    "priority": "latency",
    "max_budget": "1.5",
    "limit": "0.1",
    "region": "eu-1",
    "deadline_s": 600,
    "webhook": "https://example.com/hook",
}


def test_what_is_left_out_is_as_the_domain_has_it() -> None:
    assert TrainingRequest(**LEAST).spec() == TrainingSpec("digits", 2, 3, 2)


def test_a_job_is_the_same_by_both_doors_with_every_field_told() -> None:
    spec = TrainingRequest(**ALL | COMMON).spec()
    assert spec == TrainingWorkload.model_validate({"workload": "training", "training": ALL, **COMMON}).spec()
    assert check_spec(spec) is spec
    unlike_default = TrainingSpec("other", 1, 1, 0)
    assert [name for name in TrainingSpec.__slots__ if getattr(spec, name) == getattr(unlike_default, name)] == []
    assert spec.target == Target("accuracy", True, 0.9, 2)
    assert spec.privacy == Privacy("local", 1.0, 0.5, epsilon_max=3.0)
    assert spec.max_budget_nano == 1_500_000_000


@pytest.mark.parametrize(
    "value", [None, [], {}, 2**63, -(2**63) - 1, math.nan, math.inf, "x" * 1_001, "a\nb", "\x00", "\ud800"], ids=repr
)
def test_a_value_that_no_trainer_can_be_given_is_refused_by_its_name(value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        TrainingRequest(**LEAST | {"config": {"rate": value}})
    told = problem({**refused.value.errors()[0], "loc": ("body", *refused.value.errors()[0]["loc"])})
    assert (told.code, told.field) == ("invalid_config", "config.rate")
    assert "a number" in str(told.accepted)


@pytest.mark.parametrize("mode", PrivacyMode.ALL)
@pytest.mark.parametrize(("name", "most"), [("clip", CLIP_MAX), ("noise_multiplier", NOISE_MULTIPLIER_MAX)])
def test_privacy_that_no_honest_update_could_stand_is_refused_by_its_field(name: str, most: float, mode: str) -> None:
    def checked(value: float) -> TrainingSpec:
        privacy = {"mode": mode, "clip": 1.0, "noise_multiplier": 1.0, name: value}
        return check_spec(TrainingRequest(**LEAST | {"privacy": privacy}).spec())

    checked(most)
    for value in (math.nextafter(most, math.inf), 1e13, 1e300, 0.0, -1.0):
        with pytest.raises(Invalid) as refused:
            checked(value)
        assert (refused.value.code, refused.value.field) == ("invalid_privacy", f"privacy.{name}")
        assert f"at most {most:g}" in str(refused.value.accepted)


@pytest.mark.parametrize("body", [LEAST, ALL | COMMON], ids=["least", "all"])
def test_what_is_told_of_a_job_begins_the_same_again(body: dict[str, Any]) -> None:
    spec = TrainingRequest(**body).spec()
    assert TrainingRequest(**json.loads(json.dumps(statement(spec)))).spec() == spec


def test_which_form_a_body_was_taken_for_is_not_told_as_a_field() -> None:
    assert field_name(("body", f"{KIND}training", "training", "rounds")) == "training.rounds"
    assert field_name(("body", f"{KIND}order")) == "body"
