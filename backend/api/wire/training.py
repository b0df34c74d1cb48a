"""What is trained, on the wire: a training job as its user states it, by itself or as a workload among others."""

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from backend.api.wire.base import Credits, Number, Text, Wire
from backend.api.wire.workloads import PRIORITIES, TIERS
from backend.domain.federated import jobs
from backend.domain.federated.jobs import (
    CONFIG_CHARS_MAX,
    DELTA_DEFAULT,
    FIT_S_DEFAULT,
    JOB_S_DEFAULT,
    ROUND_S_DEFAULT,
    PrivacyMode,
    TrainingSpec,
    higher_by_name,
    quorum_by_default,
)
from backend.domain.federated.tasks import CONFIG_MAX, Scalar
from backend.domain.orders import Strategy
from backend.domain.tiers import TierName

INTEGER_MAX = 2**63
NUMBER_MAX = 1e300
ACCEPTED = f"true or false, a number, or a printable text of at most {CONFIG_CHARS_MAX} characters"
EXAMPLE: JsonDict = {
    "trainer": "digits-linear",
    "rounds": 10,
    "participants": 5,
    "strategy": "fedavg",
    "tier": "medium",
    "max_budget": "2.000000000",
    "target": {"metric": "accuracy", "value": 0.95},
}


def _scalar(value: object) -> Scalar:
    """A value for a trainer: one that JSON, the database and every machine can keep."""
    fits = (
        isinstance(value, bool)
        or (isinstance(value, int) and -INTEGER_MAX <= value < INTEGER_MAX)
        or (isinstance(value, float) and math.isfinite(value))
        or (isinstance(value, str) and len(value) <= CONFIG_CHARS_MAX and value.isprintable())
    )
    if not fits:
        raise PydanticCustomError("swarmex:invalid_config", "this is no value for a trainer", {"accepted": ACCEPTED})
    return value  # type: ignore[return-value]  # which it is by now


def _number(value: object) -> float:
    """A value for a strategy."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -NUMBER_MAX <= value <= NUMBER_MAX:
        raise PydanticCustomError("swarmex:invalid_strategy_options", "this is no number", {"accepted": "a number"})
    return float(value)


Real = Annotated[float, Field(allow_inf_nan=False)]
Config = Annotated[
    dict[
        Text,
        Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["boolean", "integer", "number", "string"]})],
    ],
    Field(max_length=CONFIG_MAX),
]
Options = Annotated[
    dict[Text, Annotated[float, BeforeValidator(_number), WithJsonSchema({"type": "number"})]],
    Field(max_length=CONFIG_MAX),
]
Tier = Annotated[Text, Field(json_schema_extra={"enum": TIERS})]
Priority = Annotated[Text, Field(json_schema_extra={"enum": PRIORITIES})]


class Target(Wire):
    """The metric that a job is about; it may end early once that is good enough, or gets no better."""

    metric: Text = Field(default="loss", description="One that the trainer's `evaluate` gives, or `loss`.")
    higher_is_better: bool | None = Field(
        default=None, description="By the name unless stated: of a loss or an error less is better."
    )
    value: Real | None = Field(default=None, description="The job ends once it is reached.")
    patience: Number | None = Field(default=None, description="The job ends after so many rounds without a better one.")

    def target(self) -> jobs.Target:
        """The target as the market knows it."""
        higher = higher_by_name(self.metric) if self.higher_is_better is None else self.higher_is_better
        return jobs.Target(self.metric, higher, self.value, self.patience)


class Privacy(Wire):
    """Differential privacy of each participant's whole update: its L2 norm clipped, Gaussian noise added."""

    mode: Annotated[Text, Field(json_schema_extra={"enum": list(PrivacyMode.ALL)})] = Field(
        description="`central`: noise on the sum of a round; `local`: on every update, before it leaves its node."
    )
    clip: Real
    noise_multiplier: Real = Field(description="The noise's standard deviation is this × clip.")
    delta: Real = DELTA_DEFAULT
    epsilon_max: Real | None = Field(default=None, description="The job ends before ε at delta would pass this.")

    def privacy(self) -> jobs.Privacy:
        """The privacy as the market knows it."""
        return jobs.Privacy(self.mode, self.clip, self.noise_multiplier, self.delta, self.epsilon_max)


class Terms(Wire):
    """What training has and no other workload: trainer, rounds, strategy, target, privacy."""

    trainer: Text = Field(description="One of `GET /api/v1/trainers`.")
    rounds: Number
    participants_min: Number | None = Field(
        default=None, description="Updates that a round needs; half of those asked unless stated."
    )
    strategy: Text = "fedavg"
    strategy_options: Options = Field(default_factory=dict, examples=[{"eta": 0.1}])
    local_epochs: Number = 1
    batch_size: Number = 32
    config: Config = Field(
        default_factory=dict, description="For the trainer, on every node.", examples=[{"learning_rate": 0.1}]
    )
    fit_s: Number = Field(default=FIT_S_DEFAULT, description="Seconds that a node may fit; what it is priced by.")
    round_s: Number = Field(default=ROUND_S_DEFAULT, description="Seconds after which a round takes what it has.")
    trust_min_ppm: Number = Field(default=0, description="Trust of its nodes in parts per million, at least.")
    target: Target = Field(default_factory=Target)
    privacy: Privacy | None = None
    name: Text | None = Field(default=None, description="What its result is registered as.")
    seed: Number = 0


class _Job(Wire):
    """What a training job has in common with other workloads."""

    participants: Number = Field(description="Nodes that each round asks.")
    model: Text | None = Field(
        default=None, description="A model that a training job made, to go on from; else the trainer's initial weights."
    )
    tier: Tier = TierName.MEDIUM.value
    priority: Priority = Strategy.COST.value
    max_budget: Credits | None = Field(default=None, description="Credits that all of it may cost at most.")
    limit: Credits | None = Field(default=None, description="Credits per slot-second at most; sealed.")
    region: Text | None = None
    deadline_s: Number = Field(default=JOB_S_DEFAULT, description="Seconds after which it ends with what it has.")
    webhook: Text | None = Field(
        default=None, description="Told of its end: an https URL; signed as `GET /api/v1/webhooks/secret` says."
    )

    def _spec(self, terms: Terms) -> TrainingSpec:
        quorum = quorum_by_default(self.participants) if terms.participants_min is None else terms.participants_min
        return TrainingSpec(
            trainer=terms.trainer,
            rounds=terms.rounds,
            participants=self.participants,
            participants_min=quorum,
            strategy=terms.strategy,
            strategy_options=terms.strategy_options,
            local_epochs=terms.local_epochs,
            batch_size=terms.batch_size,
            config=terms.config,
            fit_s=terms.fit_s,
            round_s=terms.round_s,
            deadline_s=self.deadline_s,
            tier=self.tier,
            priority=self.priority,
            region=self.region,
            trust_min_ppm=terms.trust_min_ppm,
            max_budget_nano=self.max_budget,
            limit_nano_per_slot_s=self.limit,
            target=terms.target.target(),
            privacy=terms.privacy.privacy() if terms.privacy else None,
            model=self.model,
            name=terms.name,
            seed=terms.seed,
            webhook=self.webhook,
        )


class TrainingRequest(_Job, Terms):
    """A training job to run. A round asks `participants` nodes and ends with what at least `participants_min` sent."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    def spec(self) -> TrainingSpec:
        """What the service is asked for; whether it can be is the service's to say."""
        return self._spec(self)


class TrainingWorkload(_Job):
    """The same at the door of all workloads: what only training has is in `training`."""

    workload: Literal["training"]
    training: Terms

    def spec(self) -> TrainingSpec:
        """What the service is asked for; whether it can be is the service's to say."""
        return self._spec(self.training)
