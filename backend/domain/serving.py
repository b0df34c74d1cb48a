"""What the Open Inference Protocol tells about models and servers, in the words of its JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from backend.domain.errors import InvalidTensor
from backend.domain.tensors import Signature, TensorSpec

PROTOCOL_VERSION = "2"
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")
PLATFORM = "onnxruntime_onnx"
BACKEND = "onnxruntime"
READY = "READY"
UNAVAILABLE = "UNAVAILABLE"

_PARTS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")


class ModelStatistics:
    """Running totals of one model in one version, as a server that runs keeps them.

    `queue` is the time until a lease was there (or a free thread), `compute_infer` the time on the node (or in the
    engine). Nothing is cached.
    """

    __slots__ = ("_counts", "_ns", "executions", "inferences", "last_inference_ms")

    def __init__(self) -> None:
        self.inferences = 0  # rows
        self.executions = 0
        self.last_inference_ms = 0  # since 1970
        self._counts = dict.fromkeys(_PARTS, 0)
        self._ns = dict.fromkeys(_PARTS, 0)

    def served(self, now: datetime, rows: int, queue_ns: int, infer_ns: int) -> None:
        """A request of so many rows was answered."""
        self.inferences += rows
        self.executions += 1
        self.last_inference_ms = int(now.timestamp() * 1_000)
        self._add("success", queue_ns + infer_ns)
        self._add("queue", queue_ns)
        self._add("compute_infer", infer_ns)

    def failed(self, ns: int) -> None:
        """A request that was right in itself got no answer, after so long."""
        self._add("fail", ns)

    def merged(self, other: "ModelStatistics") -> "ModelStatistics":
        """Both together."""
        both = ModelStatistics()
        both.inferences = self.inferences + other.inferences
        both.executions = self.executions + other.executions
        both.last_inference_ms = max(self.last_inference_ms, other.last_inference_ms)
        both._counts = {part: self._counts[part] + other._counts[part] for part in _PARTS}
        both._ns = {part: self._ns[part] + other._ns[part] for part in _PARTS}
        return both

    def to_wire(self, name: str, version: int) -> dict[str, Any]:
        """As the statistics extension lists it."""
        return {
            "name": name,
            "version": str(version),
            "last_inference": self.last_inference_ms,
            "inference_count": self.inferences,
            "execution_count": self.executions,
            "inference_stats": {part: {"count": self._counts[part], "ns": self._ns[part]} for part in _PARTS},
            "batch_stats": [],
        }

    def _add(self, part: str, ns: int) -> None:
        self._counts[part] += 1
        self._ns[part] += ns


def server_metadata(name: str) -> dict[str, Any]:
    """Who answers, and which extensions of the protocol it speaks."""
    return {"name": name, "version": PROTOCOL_VERSION, "extensions": list(EXTENSIONS)}


def model_metadata(name: str, versions: Sequence[int], signature: Signature) -> dict[str, Any]:
    """A model's versions, platform, inputs and outputs."""
    listed = [str(version) for version in versions]
    return {"name": name, "versions": listed, "platform": PLATFORM, **signature.to_wire()}


def model_config(name: str, signature: Signature) -> dict[str, Any]:
    """A model's configuration: dimensions are whole, so that there is no batch dimension besides."""
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "max_batch_size": 0,
        "input": [_configured(spec) for spec in signature.inputs],
        "output": [_configured(spec) for spec in signature.outputs],
    }


def index_entry(name: str, version: int, state: str = READY, reason: str = "") -> dict[str, str]:
    """A line of the repository's index."""
    return {"name": name, "version": str(version), "state": state, "reason": reason}


def no_shared_memory() -> InvalidTensor:
    """The refusal of everything about shared memory."""
    return InvalidTensor(
        "shared memory is not offered: models run on other machines",
        code="shared_memory_not_offered",
        accepted="tensors in the request",
    )


def _configured(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": config_type(spec.datatype), "dims": list(spec.shape)}


def config_type(datatype: str) -> str:
    """A datatype by its name in a model's configuration."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
