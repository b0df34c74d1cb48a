"""The API as a process of its own, as in a deployment, and a client of it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from backend.bootstrap import Settings, utc_now
from backend.domain.access import Role
from backend.embedded.ports import LOOPBACK, free_port
from backend.services import api_keys
from tests.market import Market

START_S = 20
TIMEOUT_S = 30


@contextmanager
def api_process(market: Market, folder: Path) -> Iterator[httpx.Client]:
    """A client of an API process with the key of the buyer, until the block ends."""
    key = api_keys.create_key(market.app.uow(), utc_now(), market.buyer.account_id, Role.USER)
    settings: Settings = market.app.settings.model_copy(
        update={"api_port": free_port([LOOPBACK], None), "log_level": "WARNING"}
    )
    environment = {f"SWARMEX_{name.upper()}": str(value) for name, value in settings if value is not None}
    process = subprocess.Popen([sys.executable, "-m", "backend.api"], env={**os.environ, **environment}, cwd=folder)
    url = f"http://127.0.0.1:{settings.api_port}"
    headers = {"Authorization": f"Bearer {key.secret}", "Content-Type": "application/json"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S) as client:
            _await(client)
            yield client
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _await(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if client.get("/health/live").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError("the API did not come up")
