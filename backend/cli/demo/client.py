"""A buyer's side of the HTTP API: what any client outside would do, with a key and no other right."""

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from backend.domain.errors import SwarmexError
from backend.domain.money import parse_credits

TIMEOUT_S = 30.0
ORDERS_MAX = 500  # of one list; a run places far fewer


class Failed(SwarmexError):
    """A step of the demo that did not do what it should."""

    code = "demo_failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """One real-time answer: the protocol's response, what the gateway tells beside it, and how long it took."""

    response: dict[str, Any]
    lease: str
    node: str
    latency_ms: float


class Client:
    """One buyer with an API key."""

    def __init__(self, url: str, secret: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def place(self, workload: dict[str, Any], idempotency_key: str) -> list[dict[str, Any]]:
        """Orders of a workload, placed at the one front door."""
        answer = self._ask("POST", "/api/v1/workloads", workload, {"Idempotency-Key": idempotency_key}).json()
        placed: list[dict[str, Any]] = answer["orders"]
        return placed

    def place_many(self, workloads: list[dict[str, Any]], idempotency_key: str) -> list[dict[str, Any]]:
        """Orders of many workloads, placed in one transaction."""
        answer = self._ask("POST", "/api/v1/orders:batch", {"orders": workloads}, {"Idempotency-Key": idempotency_key})
        results = answer.json()["results"]
        refused = [result["error"] for result in results if result["error"]]
        if refused:
            raise Failed(f"an order of a batch was refused: {refused[0]['code']}: {refused[0]['message']}")
        return [result["order"] for result in results]

    def train(self, workload: dict[str, Any], idempotency_key: str) -> dict[str, Any]:
        """A training job, placed at the same door."""
        answer = self._ask("POST", "/api/v1/workloads", workload, {"Idempotency-Key": idempotency_key})
        job: dict[str, Any] = answer.json()["job"]
        return job

    def training_job(self, job: str) -> dict[str, Any]:
        """How far a training job is."""
        found: dict[str, Any] = self._ask("GET", f"/api/v1/training-jobs/{job}").json()
        return found

    def training_rounds(self, job: str) -> list[dict[str, Any]]:
        """The rounds of a training job."""
        found: list[dict[str, Any]] = self._ask("GET", f"/api/v1/training-jobs/{job}/rounds").json()["rounds"]
        return found

    def training_participants(self, job: str, number: int) -> list[dict[str, Any]]:
        """Who took part in a round, and by which order."""
        answer = self._ask("GET", f"/api/v1/training-jobs/{job}/rounds/{number}/participants").json()
        found: list[dict[str, Any]] = answer["participants"]
        return found

    def infer(self, model: str, tier: str, body: dict[str, Any]) -> Answer:
        """One real-time request, on a node that the gateway leases for this buyer."""
        began = time.perf_counter()
        answer = self._ask("POST", f"/v2/models/{model}/infer", body, {"Swarmex-Tier": tier})
        latency_ms = (time.perf_counter() - began) * 1_000
        return Answer(answer.json(), answer.headers["Swarmex-Lease"], answer.headers["Swarmex-Node"], latency_ms)

    def orders(self) -> list[dict[str, Any]]:
        """This buyer's newest orders."""
        found: list[dict[str, Any]] = self._ask("GET", f"/api/v1/orders?limit={ORDERS_MAX}").json()["orders"]
        return found

    def receipt(self, order: str) -> dict[str, Any]:
        """What an order cost, and who ran it."""
        receipt: dict[str, Any] = self._ask("GET", f"/api/v1/orders/{order}/receipt").json()
        return receipt

    def results(self, order: str) -> list[dict[str, Any]]:
        """What each request of an order gave."""
        results: list[dict[str, Any]] = self._ask("GET", f"/api/v1/orders/{order}/results").json()
        return results

    def billed_nano(self) -> int:
        """What the invoice of the running month is so far, in nano-credits."""
        return parse_credits(self._ask("GET", "/api/v1/invoices/current").json()["total"], zero=True)

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """The answer, which is a success; raises Failed with what was said otherwise."""
        try:
            answer = self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise Failed(f"{method} {path}: {type(error).__name__} {error}") from error
        if not answer.is_success:
            raise Failed(f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer
