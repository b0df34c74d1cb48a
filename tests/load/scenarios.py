"""Runs a scenario headless in a process of its own: Locust replaces the sockets of the process that it runs in."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

USERS_MAX = 200
SECONDS_MAX = 600
STOP_S = 5  # for requests that are under way at the end
GRACE_S = 120  # for starting, ending and printing
ROOT = Path(__file__).parents[2]
NAMES = ("mixed_tiers", "place_orders", "read_registry", "realtime_infer", "run_batches")
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def require_loopback(url: str) -> None:
    """Raise ValueError for an address that is not this machine's: load is for one's own systems only."""
    if urlsplit(url).hostname not in LOOPBACK:
        raise ValueError(f"{url} is not on this machine; load goes to {' or '.join(LOOPBACK)} only")


def run(
    name: str,
    url: str,
    key: str,
    users: int,
    seconds: int,
    wishes: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> int:
    """Locust's exit code: 0 when every answer was one that a user may expect.

    Its table goes to standard output, unless it is to be `quiet`. `wishes` are the scenario's own, in its environment.
    """
    require_loopback(url)
    command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name(f"{name}.py")), "--headless"]
    command += ["--host", url, "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    command += ["--stop-timeout", str(STOP_S), "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "1"]
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "LOCUST_"))}  # what greenlets break
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env={**plain, "SWARMEX_KEY": key, **(wishes or {})},
        timeout=seconds + STOP_S + GRACE_S,
        check=False,
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
    )
    return ended.returncode
