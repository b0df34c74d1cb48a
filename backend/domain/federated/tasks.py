"""What a participant is asked in a round and what it answers: the inputs and outputs of a work item, as JSON.

Weights travel by reference: a safetensors file in the object store, with its SHA-256. A task names no path of its own
choice: where an update goes follows from who the participant is and from the fence of its claim, so that two attempts
never write to one place.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from uuid import UUID

from backend.domain.errors import Invalid
from backend.domain.ids import ItemId, TrainingJobId

MARK = b'{"local_task":'
UPDATE_BYTES_MAX = 1 << 30
WIDTH_FACTOR = 2  # an update in float32 of weights in float16
HEADER_BYTES = 1 << 20  # of an update more than of its weights: names and metadata
METRICS_MAX = 32
METRIC_NAME_CHARS_MAX = 64
EXAMPLES_MAX = 1_000_000_000
CONFIG_MAX = 32
SHA256_CHARS = 64
REASON_CHARS_MAX = 500

Scalar = bool | int | float | str


@dataclass(frozen=True, slots=True)
class WeightsRef:
    """A weights file in the object store: its key, SHA-256 in hex, and size in bytes."""

    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LocalPrivacy:
    """What a participant does to its update before it leaves: clip its L2 norm, add Gaussian noise of this deviation.

    Both in the units of the weights; no noise is added where the noise is central.
    """

    clip: float
    noise_std: float = 0.0


@dataclass(frozen=True, slots=True)
class LocalTask:
    """One participant's part in one round.

    `partition` of `partitions` is which share of a divisible data set is its; real data sources ignore it.
    `seconds_max` bounds the whole call: what takes longer is killed. `proximal_mu` is FedProx's μ, 0 for none.
    """

    job_id: TrainingJobId
    round: int
    trainer: str
    weights: WeightsRef
    local_epochs: int
    batch_size: int
    seconds_max: int
    seed: int
    partition: int
    partitions: int
    proximal_mu: float = 0.0
    privacy: LocalPrivacy | None = None
    config: Mapping[str, Scalar] = field(default_factory=dict)

    def wire(self) -> bytes:
        """The item's inputs."""
        return _dumps({"local_task": asdict(self) | {"job_id": str(self.job_id)}})


@dataclass(frozen=True, slots=True)
class LocalResult:
    """What a participant says of its update: how many examples it is of, the file's sum and size, metrics of its own.

    None of it is trusted: the file is checked where it is aggregated.
    """

    examples: int
    sha256: str
    size_bytes: int
    metrics: Mapping[str, float] = field(default_factory=dict)

    def wire(self) -> bytes:
        """The item's outputs."""
        return _dumps({"local_result": asdict(self)})


@dataclass(frozen=True, slots=True)
class LocalDecline:
    """That a participant has no part to give: it knows no such trainer, has no data for it, or the trainer broke or
    took too long, which may be for the job's own options. Unpaid, no fault.
    """

    reason: str

    def wire(self) -> bytes:
        """The item's outputs."""
        return _dumps({"local_decline": asdict(self)})


def is_local_task(inputs: bytes) -> bool:
    """Whether an item is a participant's part in a round, rather than a request to a model."""
    return inputs.startswith(MARK)


def read_task(inputs: bytes) -> LocalTask:
    """The task in an item's inputs, which `wire` made; raises KeyError, TypeError or ValueError for anything else."""
    said = dict(json.loads(inputs)["local_task"])
    privacy = said.pop("privacy")
    return LocalTask(
        **said
        | {
            "job_id": TrainingJobId(UUID(said["job_id"])),
            "weights": WeightsRef(**said["weights"]),
            "privacy": None if privacy is None else LocalPrivacy(**privacy),
        }
    )


def read_result(outputs: bytes) -> LocalResult | LocalDecline:
    """What a participant answered; raises Invalid(`invalid_result`) with what is wrong, since anybody may write it."""
    try:
        answer = json.loads(outputs)
        if "local_decline" in answer:
            reason = str(answer["local_decline"]["reason"])[:REASON_CHARS_MAX]
            return LocalDecline("".join(letter if letter.isprintable() else " " for letter in reason))
        said = answer["local_result"]
        examples, sha256, size_bytes, metrics = (said[name] for name in ("examples", "sha256", "size_bytes", "metrics"))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _refused("local_result", "examples, sha256, size_bytes and metrics") from None
    if type(examples) is not int or not 1 <= examples <= EXAMPLES_MAX:
        raise _refused("examples", f"1 to {EXAMPLES_MAX}")
    if not isinstance(sha256, str) or len(sha256) != SHA256_CHARS or not set(sha256) <= set("0123456789abcdef"):
        raise _refused("sha256", f"{SHA256_CHARS} hexadecimal digits")
    if type(size_bytes) is not int or not 1 <= size_bytes <= UPDATE_BYTES_MAX:
        raise _refused("size_bytes", f"1 to {UPDATE_BYTES_MAX}")
    if not isinstance(metrics, dict) or len(metrics) > METRICS_MAX or not all(map(_is_metric, metrics.items())):
        raise _refused("metrics", f"at most {METRICS_MAX} finite numbers with short names")
    return LocalResult(examples, sha256, size_bytes, {name: float(value) for name, value in metrics.items()})


def update_bytes_max(weights: WeightsRef) -> int:
    """How large an update of these weights may be, in bytes: no larger than they can be written."""
    return min(UPDATE_BYTES_MAX, WIDTH_FACTOR * weights.size_bytes + HEADER_BYTES)


def job_folder(job_id: TrainingJobId) -> str:
    """Where all files of a job are in the object store; ends with a slash."""
    return f"training/{job_id}/"


def updates_folder(job_id: TrainingJobId, round_: int) -> str:
    """Where all updates of a round are, until it is aggregated; ends with a slash."""
    return f"{job_folder(job_id)}rounds/{round_}/updates/"


def update_key(job_id: TrainingJobId, round_: int, item_id: ItemId, fence: int) -> str:
    """Where an attempt of a participant writes its update."""
    return f"{updates_folder(job_id, round_)}{item_id}-{fence}.safetensors"


def checkpoint_key(job_id: TrainingJobId, round_: int, sha256: str) -> str:
    """Where the weights after a round are (round 0: the initial ones); two that are made of the same are the same."""
    return f"{job_folder(job_id)}rounds/{round_}/{sha256}.safetensors"


def beginning_key(job_id: TrainingJobId) -> str:
    """Where it is written down which weights a job began with, as JSON of a WeightsRef."""
    return f"{job_folder(job_id)}beginning.json"


def state_key(job_id: TrainingJobId, round_: int, sha256: str) -> str:
    """Where the strategy's own memory after a round is (momentum, second moments), for strategies that have one."""
    return f"{job_folder(job_id)}rounds/{round_}/{sha256}.state.safetensors"


def _dumps(said: object) -> bytes:
    return json.dumps(said, separators=(",", ":"), allow_nan=False).encode()


def _is_metric(pair: tuple[object, object]) -> bool:
    name, value = pair
    fits = isinstance(name, str) and 1 <= len(name) <= METRIC_NAME_CHARS_MAX and name.isprintable()
    # Compared rather than converted: an integer may be beyond any float.
    return fits and isinstance(value, int | float) and abs(value) <= sys.float_info.max


def _refused(field_: str, accepted: str) -> Invalid:
    return Invalid(f"{field_} is not as agreed", code="invalid_result", field=field_, accepted=accepted)
