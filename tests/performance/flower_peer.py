"""Flower's aggregation in a process of its own, as `make benchmark PEERS=1` measures it beside ours."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "peers" / "flower"  # a virtual environment of its own: its pins are not ours
WORKER = Path(__file__).parent / "flower_worker.py"
STOP_TIMEOUT_S = 10.0


def is_there() -> bool:
    """Whether it was installed."""
    return (HOME / "bin" / "flwr").exists()


class Flower:
    """A process that holds so many updates of so many numbers, as Flower receives them."""

    def __init__(self, participants: int, size: int, malicious: int) -> None:
        command = [str(HOME / "bin" / "python"), str(WORKER), str(participants), str(size), str(malicious)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )

    def __enter__(self) -> Self:
        if self._line() != "ready":
            self._end()
            raise RuntimeError("Flower did not come up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def seconds(self, strategy: str) -> float:
        """One aggregation."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{strategy}\n")
        self._process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
