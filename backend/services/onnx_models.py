"""Looking into an ONNX file: its signature, and how long a row takes. Opens files only; records nothing."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

from backend.domain.errors import Invalid
from backend.domain.remote_models import DOCUMENT_BYTES_MAX, is_remote, parse_remote
from backend.domain.tensors import DATATYPES, Array, Signature, TensorSpec, as_texts
from backend.domain.work import Profile

PROFILE_ROWS = 32
PROFILE_RUNS = 15
WARM_UP_RUNS = 3
PROFILE_NS_MAX = 1_000_000_000  # a slow model is timed by fewer runs

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}


def checksum_of(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def inspect(path: Path) -> tuple[Signature, Profile]:
    """Signature and measured time of a model file; raises Invalid(`invalid_model_file`)."""
    try:
        session = _session(path)
        signature = Signature(_specs(session.get_inputs()), _specs(session.get_outputs()))
        return signature, _profile(session, signature)
    except Exception as error:  # onnxruntime raises plain exceptions of many kinds for a bad file
        raise Invalid(
            f"{path.name} cannot be served: {str(error)[:200]}",
            code="invalid_model_file",
            field="file",
            accepted="an ONNX model whose inputs and outputs are tensors",
        ) from error


def inspect_trusted(path: Path) -> tuple[Signature, Profile]:
    """As `inspect`, and what a document says that names a model elsewhere; raises also Invalid(`invalid_remote_model`).

    For files of the operator's own: such a document states its own times, and its server is asked with the
    operator's credential.
    """
    with path.open("rb") as file:
        head = file.read(DOCUMENT_BYTES_MAX + 1)
    if not is_remote(head):
        return inspect(path)
    model = parse_remote(head)
    return model.signature, model.profile


def answers(path: Path, feeds: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """What a model file answers to each of these inputs; raises Invalid(`invalid_model_file`)."""
    try:
        session = _session(path)
        names = [output.name for output in session.get_outputs()]
        return [dict(zip(names, session.run(names, as_texts(feed)), strict=True)) for feed in feeds]
    except Exception as error:  # as above
        raise Invalid(f"{path.name} cannot be run: {str(error)[:200]}", code="invalid_model_file") from error


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _specs(nodes: list[Any]) -> tuple[TensorSpec, ...]:
    specs = []
    for node in nodes:
        if node.type not in _DATATYPES:
            raise ValueError(f"{node.name} is {node.type}, not a tensor of a known type")
        shape = tuple(axis if isinstance(axis, int) else -1 for axis in node.shape)
        specs.append(TensorSpec(node.name, _DATATYPES[node.type], shape))
    return tuple(specs)


def _profile(session: onnxruntime.InferenceSession, signature: Signature) -> Profile:
    """A straight line through the median times of a call with one row and one with many."""
    one = _median_us(session, signature, 1)
    if not any(spec.shape[:1] == (-1,) for spec in signature.inputs):
        return Profile(max(1, round(one)), 1)
    per_row = max(0.0, (_median_us(session, signature, PROFILE_ROWS) - one) / (PROFILE_ROWS - 1))
    return Profile(max(1, round(one - per_row)), max(1, round(per_row)))


def _median_us(session: onnxruntime.InferenceSession, signature: Signature, rows: int) -> float:
    feed = {spec.name: _sample(spec, rows) for spec in signature.inputs}
    elapsed_ns: list[int] = []
    for _ in range(WARM_UP_RUNS + PROFILE_RUNS):
        start = time.perf_counter_ns()
        session.run(None, feed)
        elapsed_ns.append(time.perf_counter_ns() - start)
        if sum(elapsed_ns) > PROFILE_NS_MAX:
            break
    return median(elapsed_ns[WARM_UP_RUNS:] or elapsed_ns) / 1_000


def _sample(spec: TensorSpec, rows: int) -> np.ndarray[Any, Any]:
    shape = [rows if axis == -1 and index == 0 else 1 if axis == -1 else axis for index, axis in enumerate(spec.shape)]
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=DATATYPES[spec.datatype])
