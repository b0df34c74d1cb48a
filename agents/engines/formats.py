"""Which engine runs a model file: its first bytes tell."""

from collections.abc import Mapping
from pathlib import Path

from agents.engines.base import Engine, Loaded, ModelUnusable
from agents.engines.row_proof import rows_keep_apart
from backend.domain.remote_models import is_remote

ONNX, REMOTE = "onnx", "remote"
HEAD_BYTES = 64


def format_of(path: Path) -> str:
    """ONNX or REMOTE."""
    with path.open("rb") as file:
        return REMOTE if is_remote(file.read(HEAD_BYTES)) else ONNX


def keeps_rows_apart(path: Path) -> bool:
    """Whether requests of several users may run as one through this file: proven, or vouched for by the operator.

    Only the operator registers what is elsewhere; what anybody uploads is an ONNX file.
    """
    return format_of(path) == REMOTE or rows_keep_apart(path)


class Engines:
    """An engine made of one for each format."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = engines

    def load(self, path: Path) -> Loaded:
        """The model of the file at `path`; raises ModelUnusable."""
        found = format_of(path)
        if found not in self._engines:
            raise ModelUnusable(f"it is of format {found}", accepted=", ".join(self._engines))
        return self._engines[found].load(path)
