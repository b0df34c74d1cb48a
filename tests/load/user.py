"""What all scenarios share: who the users are, what they send, which refusals are in order, and when it is enough."""

import os
import time
from collections.abc import Mapping
from math import prod
from typing import Any

from locust import FastHttpUser, between, events
from locust.env import Environment

from tests.load.wishes import MODEL

KEY = "SWARMEX_KEY"
REQUESTS_MAX = 100_000  # of one run; then it ends, however much time is left
BUSY = (429, 503)  # with Retry-After: the market says that it is full, which it may
TIMEOUT_S = 60.0
ZERO: Mapping[str, Any] = {"BOOL": False, "BYTES": ""}


class MarketUser(FastHttpUser):
    """A user with a key who knows one model: that of MODEL in the environment, or the first that the market lists."""

    abstract = True
    wait_time = between(0.01, 0.05)
    network_timeout = TIMEOUT_S
    connection_timeout = TIMEOUT_S
    tier = "medium"

    def __init__(self, environment: Environment) -> None:
        self.default_headers = {"Authorization": f"Bearer {os.environ[KEY]}"}
        super().__init__(environment)

    def on_start(self) -> None:
        """Look at what there is."""
        models = self.client.get("/api/v1/models").json()["models"]
        wanted = os.environ.get(MODEL, models[0]["name"])
        [model] = [model for model in models if model["name"] == wanted]
        self.model: str = model["name"]
        self.inputs = [_zeros(spec) for spec in model["inputs"]]

    def ask(self, method: str, path: str, name: str, accepted: int, **options: Any) -> Any:
        """The answer's JSON if its status is the `accepted` one; None when the market is busy, after a pause."""
        with self.client.request(method, path, name=name, catch_response=True, **options) as answer:
            if answer.status_code == accepted:
                answer.success()  # also where a refusal is what is right
                return answer.json()
            if answer.status_code in BUSY and (retry_after := answer.headers.get("Retry-After")):
                answer.success()
                time.sleep(float(retry_after))  # Locust has made it the greenlet's own
            elif answer.status_code:
                answer.failure(f"{answer.status_code}: {answer.text[:200]}")
        return None


def _zeros(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A tensor of one row for an input of a model's signature."""
    shape = [1 if axis == -1 else axis for axis in spec["shape"]]
    data = [ZERO.get(spec["datatype"], 0)] * prod(shape)
    return {"name": spec["name"], "datatype": spec["datatype"], "shape": shape, "data": data}


def _bound_the_run(environment: Environment, **_: object) -> None:
    """End a run that has sent enough, and call one that has sent nothing a failure."""

    def count(**_: object) -> None:
        if environment.stats.total.num_requests >= REQUESTS_MAX and environment.runner:
            environment.runner.quit()

    def judge(**_: object) -> None:
        if not environment.stats.total.num_requests:
            environment.process_exit_code = 1

    hooks: Any = environment.events  # Locust leaves them untyped
    hooks.request.add_listener(count)
    hooks.quitting.add_listener(judge)


_hooks: Any = events
_hooks.init.add_listener(_bound_the_run)
