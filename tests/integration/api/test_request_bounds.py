"""No route reads a body of any size or waits for ever: the limits stand in front of all of them."""

import re
import socket
from collections.abc import Iterator

import pytest
from fastapi.routing import iter_route_contexts

from backend.api.app import create_app
from backend.api.exchange import UPDATE, UPDATES, UPLOAD_BYTES_MAX, UPLOADS
from backend.api.front import Front
from backend.api.limits import ANSWER_TIMEOUT_S, BODY_BYTES_MAX
from backend.bootstrap import Settings, Swarmex
from backend.domain.federated.tasks import UPDATE_BYTES_MAX
from backend.gateway.limits import LOOKUP_TIMEOUT_S, REQUEST_TIMEOUT_S, SESSION_WAIT_S
from tests.waiting import PATIENCE_S


def writing_routes() -> Iterator[tuple[str, str]]:
    """Method and path of every route that may be sent a body, on all faces."""
    unwired = Swarmex(Settings(), "postgresql://", "redis://127.0.0.1:1/0")  # it connects when first used
    for route in iter_route_contexts(create_app(unwired).routes):
        for method in sorted((route.methods or set()) - {"GET", "HEAD"}):
            yield method, re.sub(r"{\w+(:\w+)?}", "x", str(route.path))


def status(url: str, method: str, path: str) -> int:
    """The status of a request that declares more than may be sent, and sends nothing."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as connection:
        files = {("POST", UPLOADS): UPLOAD_BYTES_MAX, ("PUT", f"{UPDATES}x{UPDATE}"): UPDATE_BYTES_MAX}
        most = files.get((method, path), BODY_BYTES_MAX)
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {most + 1}\r\n\r\n"
        connection.sendall(head.encode())
        return int(connection.recv(12).split()[1])


def test_a_body_above_the_limit_is_refused_by_every_route_before_it_is_read(
    url: str, subtests: pytest.Subtests
) -> None:
    routes = list(writing_routes())
    assert {"/api/v1/orders", "/v2/models/x/infer", "/api/v1/node/work/x/results"} & {path for _, path in routes}
    for method, path in routes:
        with subtests.test(f"{method} {path}"):
            assert status(url, method, path) == 413


def test_the_time_of_a_whole_request_is_bounded_above_that_of_its_parts() -> None:
    unwired = Swarmex(Settings(), "postgresql://", "redis://127.0.0.1:1/0")
    kinds: list[object] = [middleware.cls for middleware in create_app(unwired).user_middleware]
    assert kinds == [Front]
    assert ANSWER_TIMEOUT_S > LOOKUP_TIMEOUT_S + SESSION_WAIT_S + REQUEST_TIMEOUT_S
