import socket

import pytest

from backend.api.server import bind


def test_a_bound_address_takes_connections_before_anybody_serves_it() -> None:
    with bind("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname(), timeout=1.0) as caller:
        assert caller.getpeername() == bound.getsockname()


def test_an_address_is_bound_once() -> None:
    with bind("127.0.0.1", 0) as bound, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", bound.getsockname()[1])
