"""Users who place an order, wait until it is settled, and read the receipt."""

import time
from uuid import uuid4

from locust import task
from locust.exception import CatchResponseError

from tests.load.user import TIMEOUT_S, MarketUser

POLL_S = 0.1


class OrderingUser(MarketUser):
    """One order at a time."""

    @task
    def order(self) -> None:
        """The whole way, also measured as a whole."""
        workload = {"workload": "inference", "model": self.model, "tier": self.tier, "inputs": self.inputs}
        key = {"Idempotency-Key": str(uuid4())}
        placed = self.ask("POST", "/api/v1/orders", "place an order", 201, json=workload, headers=key)
        if placed is not None:
            self._await_settled(placed["id"])

    def _await_settled(self, order: str) -> None:
        started = time.perf_counter()
        state = "open"
        while state in ("open", "running", "closing") and time.perf_counter() - started < TIMEOUT_S:
            time.sleep(POLL_S)
            receipt = self.ask("GET", f"/api/v1/orders/{order}/receipt", "read its receipt", 200)
            state = receipt["order"]["state"] if receipt else state
        self.environment.events.request.fire(
            request_type="",
            name="placed to settled",
            response_time=(time.perf_counter() - started) * 1_000,
            response_length=0,
            exception=None if state == "settled" else CatchResponseError(f"the order is {state}"),
            context={},
        )
