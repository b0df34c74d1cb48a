"""The LiteLLM proxy before a local mock, as `make benchmark PEERS=1` measures it beside the gateway."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import orjson

from backend.embedded.ports import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
HOME = ROOT / "build" / "peers" / "litellm"  # a virtual environment of its own: its pins are not ours
KEY = "sk-benchmark"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 10.0
BODY = orjson.dumps({"model": "mock", "messages": [{"role": "user", "content": "hello"}]})
CONFIG = """
model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


def is_there() -> bool:
    """Whether it was installed."""
    return (HOME / "bin" / "litellm").exists()


class LiteLLM:
    """A proxy with one worker and its mock, each a process, in `folder`."""

    def __init__(self, folder: Path) -> None:
        mock, proxy = free_port([LOOPBACK], None), free_port([LOOPBACK], None)
        config = folder / "litellm.yaml"
        config.write_text(CONFIG.format(port=mock, key=KEY))
        self.url = f"http://127.0.0.1:{proxy}/v1/chat/completions"
        self.headers = {"Authorization": f"Bearer {KEY}"}
        uvicorn = [sys.executable, "-m", "uvicorn", "tests.performance.chat_mock:app", "--port", str(mock)]
        served = [str(HOME / "bin" / "litellm"), "--config", str(config), "--port", str(proxy), "--num_workers", "1"]
        plain = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        self._processes = [
            _started([*uvicorn, "--log-level", "error", "--no-access-log"], ROOT, dict(os.environ)),
            _started(served, folder, plain),
        ]

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                if httpx.post(self.url, headers=self.headers, content=BODY, timeout=5).status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.5)
        self._end()
        raise RuntimeError("the LiteLLM proxy did not come up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(command: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=quiet, stderr=quiet)
