"""Which engine runs a model file: its first bytes tell."""

from collections.abc import Mapping
from pathlib import Path

from agents.engines.base import Engine, Loaded, ModelUnusable
from backend.domain.remote_models import is_remote

ONNX, REMOTE = "onnx", "remote"
HEAD_BYTES = 64


def format_of(path: Path) -> str:
    """ONNX or REMOTE."""
    with path.open("rb") as file:
        return REMOTE if is_remote(file.read(HEAD_BYTES)) else ONNX


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
