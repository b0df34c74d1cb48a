"""Load by wrk, a client in C that leaves the machine to those who answer: http://github.com/wg/wrk."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GRACE_S = 30
TIMEOUT_S = 10  # of one request
SCRIPT = """
wrk.method = "POST"
wrk.body = %(body)s
%(headers)s
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests": %%d, "us": %%d, "p50_us": %%d, "p99_us": %%d, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw."""

    requests_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float


def is_there() -> bool:
    """Whether wrk can be run here."""
    return shutil.which("wrk") is not None


def load(url: str, headers: Mapping[str, str], body: bytes, in_flight: int, seconds: int) -> Load:
    """POST `body` for `seconds` over `in_flight` connections; raises RuntimeError for any answer that is no success."""
    wanted = {**headers, "Content-Type": "application/json"}
    lines = "\n".join(f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in wanted.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(SCRIPT % {"body": _lua(body.decode()), "headers": lines})
        command = ["wrk", "--threads", "1", "--connections", str(in_flight), "--duration", f"{seconds}s"]
        command += ["--timeout", f"{TIMEOUT_S}s", "--latency", "--script", str(script), url]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds + GRACE_S, check=True)
    said = json.loads(ended.stdout.splitlines()[-1])
    if said["errors"]:
        raise RuntimeError(f"{url}: {said['errors']} of {said['requests']} requests failed")
    return Load(said["requests"] / said["us"] * 1e6, said["p50_us"] / 1e3, said["p99_us"] / 1e3)


def _lua(text: str) -> str:
    """A string of Lua: its escapes are JSON's as far as ASCII and control characters go."""
    return json.dumps(text)
