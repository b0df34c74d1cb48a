"""Users who upload a file of requests, run it as a batch, and read what came out."""

import json
import time
from typing import Any

from locust import task
from locust.exception import CatchResponseError

from tests.load.user import TIMEOUT_S, MarketUser

REQUESTS = 20  # in a file
POLL_S = 0.2
BOUNDARY = "a-boundary-of-the-form"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
ENDED = ("completed", "failed", "expired", "cancelled")


class BatchUser(MarketUser):
    """One batch at a time."""

    @task
    def batch(self) -> None:
        """The whole way, also measured as a whole."""
        url = f"/v2/models/{self.model}/infer"
        lines = [
            {"custom_id": str(number), "method": "POST", "url": url, "body": {"inputs": self.inputs}}
            for number in range(REQUESTS)
        ]
        file = self.ask("POST", "/v1/files", "upload a file", 200, data=_form(lines), headers=FORM)
        if file is None:
            return
        wanted = {"input_file_id": file["id"], "endpoint": "/v2/models", "completion_window": "1h"}
        batch = self.ask("POST", "/v1/batches", "create a batch", 200, json=wanted)
        if batch is not None:
            self._await_end(batch["id"])

    def _await_end(self, batch: str) -> None:
        started, state = time.perf_counter(), "validating"
        counts: dict[str, int] = {}
        while state not in ENDED and time.perf_counter() - started < TIMEOUT_S:
            time.sleep(POLL_S)
            told = self.ask("GET", f"/v1/batches/{batch}", "look at it", 200)
            state, counts = (told["status"], told["request_counts"]) if told else (state, counts)
        well = state == "completed" and counts.get("completed") == REQUESTS
        self.environment.events.request.fire(
            request_type="",
            name="created to completed",
            response_time=(time.perf_counter() - started) * 1_000,
            response_length=0,
            exception=None if well else CatchResponseError(f"the batch is {state}: {counts}"),
            context={},
        )


def _form(lines: list[dict[str, Any]]) -> bytes:
    """What a browser or client sends for a file and its purpose: this client of Locust's has no forms."""
    file = "\n".join(map(json.dumps, lines))
    parts = [
        'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
        f'Content-Disposition: form-data; name="file"; filename="requests.jsonl"\r\n\r\n{file}\r\n',
    ]
    return "".join([*(f"--{BOUNDARY}\r\n{part}" for part in parts), f"--{BOUNDARY}--\r\n"]).encode()
