"""What a training job asks for, and within which bounds; whether it can be served is the market's to say."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.domain.errors import Invalid, shown, unknown_choice
from backend.domain.federated.tasks import CONFIG_MAX, METRIC_NAME_CHARS_MAX, Scalar
from backend.domain.orders import Strategy as Preference
from backend.domain.tiers import TierName
from backend.domain.webhooks import check_webhook

PREFIX = "train_"
JOBS_OPEN_MAX = 20  # of one account, not ended
ROUNDS_MAX = 1_000
PARTICIPANTS_MAX = 500  # of one round
LOCAL_EPOCHS_MAX = 1_000
BATCH_SIZE_MAX = 1 << 20
FIT_S_DEFAULT, FIT_S_MAX = 10, 3_600
ROUND_S_DEFAULT, ROUND_S_MAX = 60, 86_400
JOB_S_DEFAULT, JOB_S_MAX = 86_400, 30 * 86_400
PATIENCE_MAX = 1_000
SEED_MAX = (1 << 31) - 1
TRAINER_CHARS_MAX = 63
CONFIG_CHARS_MAX = 1_000
DELTA_DEFAULT = 1e-5
CLIP_MAX = 1e6
NOISE_MULTIPLIER_MAX = 1e3  # × CLIP_MAX: what it adds stays far below what a weight of an update may be
LESS_IS_BETTER = ("loss", "error", "perplexity")
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?", re.ASCII)


class PrivacyMode:
    """Who adds the noise: the coordinator to the sum, or every participant to its own update."""

    CENTRAL = "central"
    LOCAL = "local"
    ALL = (CENTRAL, LOCAL)


@dataclass(frozen=True, slots=True)
class Privacy:
    """Differential privacy of a participant's whole update: clipped to `clip` in L2, Gaussian noise of standard
    deviation `noise_multiplier` × `clip` (central: on the sum of a round; local: on every update).

    The job ends before ε at `delta` would pass `epsilon_max`.
    """

    mode: str
    clip: float
    noise_multiplier: float
    delta: float = DELTA_DEFAULT
    epsilon_max: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """The metric that a job is about, of those that its trainer's `evaluate` gives.

    It ends when `value` is reached, if one is given; `patience` is after how many rounds without a better one.
    """

    metric: str = "loss"
    higher_is_better: bool = False
    value: float | None = None
    patience: int | None = None

    def better(self, one: float, than: float | None) -> bool:
        """Whether `one` is an improvement."""
        return than is None or (one > than if self.higher_is_better else one < than)

    def reached(self, value: float) -> bool:
        """Whether a job may end with it."""
        return self.value is not None and (value >= self.value if self.higher_is_better else value <= self.value)


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """A training job as its user states it, amounts in nano-credits, the budget for all of it.

    A round asks `participants` nodes and is aggregated once all have reported or, with `participants_min` of them at
    least, at its deadline after `round_s`; each fit may take `fit_s`. Without `model` the trainer's initial weights are
    the beginning; with it those that the job behind that registered model ended with. The result is registered under
    `name`, if there is one.
    """

    trainer: str
    rounds: int
    participants: int
    participants_min: int
    strategy: str = "fedavg"
    strategy_options: Mapping[str, float] = field(default_factory=dict)
    local_epochs: int = 1
    batch_size: int = 32
    config: Mapping[str, Scalar] = field(default_factory=dict)
    fit_s: int = FIT_S_DEFAULT
    round_s: int = ROUND_S_DEFAULT
    deadline_s: int = JOB_S_DEFAULT
    tier: str = TierName.MEDIUM
    priority: str = Preference.COST
    region: str | None = None
    trust_min_ppm: int = 0
    max_budget_nano: int | None = None
    limit_nano_per_slot_s: int | None = None
    target: Target = field(default_factory=Target)
    privacy: Privacy | None = None
    model: str | None = None
    name: str | None = None
    seed: int = 0
    webhook: str | None = None


def quorum_by_default(participants: int) -> int:
    """With how many updates a round is aggregated where nobody says: half of those asked, rounded up."""
    return -(-participants // 2)


def higher_by_name(metric: str) -> bool:
    """Whether more of a metric is better, where nobody says: of losses and errors less is."""
    return not any(word in metric.lower() for word in LESS_IS_BETTER)


def check_spec(spec: TrainingSpec) -> TrainingSpec:
    """`spec` if it can be a job on some market; raises Invalid with the field's name.

    Trainer, model, tier, strategy and its options are checked by whoever knows them.
    """
    if not _NAME.fullmatch(spec.trainer):
        raise _refused("trainer", shown(spec.trainer), "the name of a trainer (`GET /api/v1/trainers`)")
    _check_range("rounds", spec.rounds, 1, ROUNDS_MAX)
    _check_range("participants", spec.participants, 1, PARTICIPANTS_MAX)
    _check_range("participants_min", spec.participants_min, 1, spec.participants)
    _check_range("local_epochs", spec.local_epochs, 1, LOCAL_EPOCHS_MAX)
    _check_range("batch_size", spec.batch_size, 1, BATCH_SIZE_MAX)
    _check_range("fit_s", spec.fit_s, 1, FIT_S_MAX)
    _check_range("round_s", spec.round_s, spec.fit_s, ROUND_S_MAX)
    _check_range("deadline_s", spec.deadline_s, spec.round_s, JOB_S_MAX)
    _check_range("seed", spec.seed, 0, SEED_MAX)
    if spec.priority not in [one.value for one in Preference]:
        raise unknown_choice("priority", spec.priority, [one.value for one in Preference])
    _check_config(spec.config)
    _check_target(spec.target)
    if spec.privacy is not None:
        _check_privacy(spec.privacy)
    if spec.webhook is not None:
        check_webhook(spec.webhook, "webhook")
    return spec


def _check_config(config: Mapping[str, Scalar]) -> None:
    for name, value in config.items():
        if not _NAME.fullmatch(name.replace("_", "-")) or (isinstance(value, str) and len(value) > CONFIG_CHARS_MAX):
            raise _refused(
                f"config.{name[:TRAINER_CHARS_MAX]}", shown(value), "a short name and a short value", "invalid_config"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise _refused(f"config.{name}", shown(value), "a finite number", "invalid_config")
    if len(config) > CONFIG_MAX:
        raise _refused("config", f"{len(config)} entries", f"at most {CONFIG_MAX}")


def _check_target(target: Target) -> None:
    if not 1 <= len(target.metric) <= METRIC_NAME_CHARS_MAX or not target.metric.isprintable():
        raise _refused("target.metric", shown(target.metric), f"1 to {METRIC_NAME_CHARS_MAX} printable characters")
    if target.value is not None and not math.isfinite(target.value):
        raise _refused("target.value", shown(target.value), "a finite number")
    if target.patience is not None:
        _check_range("target.patience", target.patience, 1, PATIENCE_MAX)


def _check_privacy(privacy: Privacy) -> None:
    if privacy.mode not in PrivacyMode.ALL:
        raise unknown_choice("privacy.mode", privacy.mode, PrivacyMode.ALL, code="invalid_privacy")
    for name, value, most in (
        ("clip", privacy.clip, CLIP_MAX),
        ("noise_multiplier", privacy.noise_multiplier, NOISE_MULTIPLIER_MAX),
    ):
        if not 0 < value <= most:  # nor is what is no number
            raise _refused(f"privacy.{name}", shown(value), f"above 0, at most {most:g}", code="invalid_privacy")
    if not 0 < privacy.delta < 1:
        raise _refused("privacy.delta", shown(privacy.delta), "above 0, below 1", code="invalid_privacy")
    if privacy.epsilon_max is not None and not (math.isfinite(privacy.epsilon_max) and privacy.epsilon_max > 0):
        raise _refused("privacy.epsilon_max", shown(privacy.epsilon_max), "a number above 0", code="invalid_privacy")


def _check_range(field_: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise _refused(field_, shown(value), f"{low} to {high}")


def _refused(field_: str, value: str, accepted: str, code: str | None = None) -> Invalid:
    leaf = field_.rsplit(".", 1)[-1]
    return Invalid(f"{field_} {value} is not possible", code=code or f"invalid_{leaf}", field=field_, accepted=accepted)
