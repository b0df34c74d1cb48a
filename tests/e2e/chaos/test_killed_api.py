"""The API dies while clients place orders: who repeats a request with its key has placed it once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import httpx
import pytest

from backend.bootstrap import utc_now
from backend.domain.access import Role
from backend.domain.fleet import AgentKind
from backend.domain.ids import OrderId
from backend.services import api_keys
from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS
from tests.market import REQUEST

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

BATCHES = 40
BATCH = 10
CLIENTS = 4
TIMEOUT_S = 60.0
RETRY_S = 0.1
PLACED_MAX_S = 300.0
WORKLOAD = {
    "workload": "inference",
    "model": "brisk",
    "tier": "medium",
    "requests": [REQUEST],
    "deadline_s": 900,
}


def test_clients_that_repeat_their_requests_have_each_order_placed_once(
    arena: Arena, ended: Callable[[Arena], None]
) -> None:
    key = api_keys.create_key(arena.market.app.uow(), utc_now(), arena.market.buyer.account_id, Role.USER, "chaos")
    arena.flood(ORDERS - BATCHES * BATCH)
    keys = [f"{arena.dice.getrandbits(64):x}" for _ in range(BATCHES)]
    victim = arena.dice.randrange(2, BATCHES // 2)
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [clients.submit(insist, arena, key.secret, once) for once in keys]
        answers[victim].result()
        arena.kill(AgentKind.API)
        for answer in answers:
            arena.placed += answer.result()
    assert len(set(arena.placed)) == ORDERS
    ended(arena)
    [row] = arena.query("SELECT count(*) AS n FROM orders WHERE account_id = :id", id=arena.market.buyer.account_id)
    assert row.n == ORDERS
    arena.await_fleet()


def insist(arena: Arena, secret: str, once: str) -> list[OrderId]:
    """Place a batch, again and again until it is answered; the orders that it became."""
    deadline = time.monotonic() + PLACED_MAX_S
    while True:
        try:
            answer = httpx.post(
                (arena.folder / "api.url").read_text().strip() + "/api/v1/orders:batch",
                json={"orders": [WORKLOAD] * BATCH},
                headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": once},
                timeout=TIMEOUT_S,
            )
            if answer.status_code == 503:  # it is back, but cannot serve yet: to be repeated like no answer at all
                raise ConnectionError(answer.text)
            assert answer.status_code == 201, answer.text
            return [_placed(result) for result in answer.json()["results"]]
        except (httpx.HTTPError, OSError, ValueError):
            assert time.monotonic() < deadline, "the API did not come back"
            time.sleep(RETRY_S)


def _placed(result: dict[str, Any]) -> OrderId:
    return OrderId(UUID(result["order"]["id"]))
