"""ONNX models on the CPU, by ONNX Runtime; one thread a run, so that a slot is a core and can be billed."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agents.engines.base import InferenceFailed, Loaded, ModelUnusable
from backend.domain.tensors import Array, as_texts

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

THREADS_PER_RUN = 1
LOG_ERRORS_ONLY = 3


class OnnxEngine:
    """The engine for `.onnx` files."""

    def load(self, path: Path) -> Loaded:
        """A session on the file at `path`; raises ModelUnusable."""
        import onnxruntime  # with the first model: an agent is well before it has one

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS_PER_RUN
        options.inter_op_num_threads = 1
        options.log_severity_level = LOG_ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime raises a class of its own per cause, all private
            raise ModelUnusable(f"ONNX Runtime cannot load it: {error}") from error
        return _OnnxModel(session)


class _OnnxModel:
    def __init__(self, session: "InferenceSession") -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            values = self._session.run(self._outputs, as_texts(inputs))  # of bytes it would write the Python literal
        except Exception as error:  # as above
            raise InferenceFailed(f"ONNX Runtime: {error}") from error
        return dict(zip(self._outputs, values, strict=True))
