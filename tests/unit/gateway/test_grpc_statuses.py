"""Refusals over gRPC, and what is told with them."""

import grpc
import pytest

from backend.api.errors import PROTOCOL_STATUS
from backend.domain.errors import NotFound, SwarmexError, Unavailable
from backend.gateway.errors import RateLimited
from backend.gateway.grpc.statuses import STATUS, sentence, status_of, told_with

SHARED = ("backend.domain.errors", "backend.gateway.errors")
# A body that is not JSON, and a tensor that does not fit, are invalid arguments here as any other.
ALIKE = {"InvalidJson", "InvalidTensor"}


def test_every_family_that_http_tells_apart_has_a_status() -> None:
    families = {kind for kind in PROTOCOL_STATUS if kind.__module__ in SHARED}
    assert {kind.__name__ for kind in families - STATUS.keys()} <= ALIKE


@pytest.mark.parametrize(
    ("error", "status", "told", "metadata"),
    [
        (
            NotFound("model", "m", accepted="digits"),
            grpc.StatusCode.NOT_FOUND,
            "model: no model m (accepted: digits)",
            {"swarmex-error-code": "unknown_model"},
        ),
        (
            Unavailable("away"),
            grpc.StatusCode.UNAVAILABLE,
            "away",
            {"swarmex-error-code": "unavailable", "retry-after": "1", "grpc-retry-pushback-ms": "1000"},
        ),
        (
            RateLimited("in_flight", 3, 1.5),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "in_flight: too many requests (accepted: at most 3)",
            {"swarmex-error-code": "rate_limited", "retry-after": "2", "grpc-retry-pushback-ms": "2000"},
        ),
    ],
)
def test_a_refusal_has_its_familys_status_its_sentence_its_code_and_when_to_try_again(
    error: SwarmexError, status: grpc.StatusCode, told: str, metadata: dict[str, str]
) -> None:
    assert status_of(error) is status
    assert sentence(error) == told
    assert dict(told_with(error)) == metadata
