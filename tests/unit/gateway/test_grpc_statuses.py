"""Refusals over gRPC, as a process of their own tells them: beside a client's messages ours cannot be loaded."""

import subprocess
import sys
from pathlib import Path

import orjson

from backend.api.errors import PROTOCOL_STATUS

ROOT = Path(__file__).parents[3]
SCRIPT = """
import json
from backend.domain.errors import NotFound, Unavailable
from backend.gateway.errors import RateLimited
from backend.gateway.grpc import statuses
told = {kind.__module__ + "." + kind.__name__: status.name for kind, status in statuses.STATUS.items()}
facts = [
    [statuses.status_of(error).name, statuses.sentence(error), statuses.told_with(error)]
    for error in (
        NotFound("model", "m", accepted="digits"), Unavailable("away"), RateLimited("in_flight", 3, 1.5),
    )
]
print(json.dumps([told, facts]))
"""


def test_every_family_that_http_tells_apart_has_a_status() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, cwd=ROOT, check=True)
    told, facts = orjson.loads(ran.stdout)
    shared = ("backend.domain.errors", "backend.gateway.errors")
    families = {f"{kind.__module__}.{kind.__name__}" for kind in PROTOCOL_STATUS if kind.__module__ in shared}
    # A body that is not JSON, and a tensor that does not fit, are invalid arguments here as any other.
    assert families - set(told) <= {"backend.gateway.errors.InvalidJson", "backend.domain.errors.InvalidTensor"}
    assert facts == [
        ["NOT_FOUND", "model: no model m (accepted: digits)", [["swarmex-error-code", "unknown_model"]]],
        ["UNAVAILABLE", "away", [["swarmex-error-code", "unavailable"], ["retry-after", "1"]]],
        [
            "RESOURCE_EXHAUSTED",
            "in_flight: too many requests (accepted: at most 3)",
            [["swarmex-error-code", "rate_limited"], ["retry-after", "2"]],
        ],
    ]
