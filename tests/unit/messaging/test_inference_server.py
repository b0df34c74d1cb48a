"""Calls to servers that are not ours: bounded in all, at addresses that were looked at, and never sent elsewhere."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backend.gateway import limits
from backend.messaging import bounded_network, inference_server, look_ups
from backend.messaging.bounded_network import AddressNotAllowed
from backend.messaging.inference_server import (
    InferenceServer,
    ServerAway,
    ServerBroke,
    ServerRefused,
)
from tests.waiting import PATIENCE_S, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that talks so with everybody who comes, once it has heard something."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(line,), daemon=True).start()

    def answer(line: socket.socket) -> None:
        with line:
            line.recv(1 << 16)
            try:
                talk(line)
            except OSError:
                return

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


def called(port: int, **options: Any) -> tuple[dict[str, str], bytes]:
    """What a call that may take a while, but not for ever, gets."""
    calls = InferenceServer(f"http://127.0.0.1:{port}", None)
    try:
        return calls.call("POST", "/", b"{}", **({"timeout_s": PATIENCE_S} | options))
    finally:
        calls.close()


def test_an_answer_is_its_headers_and_its_body() -> None:
    with server(lambda line: line.sendall(OK)) as port:
        assert called(port) == ({"content-length": "2"}, b"hi")


def test_a_server_that_sends_a_byte_now_and_then_is_left_when_the_call_is_over() -> None:
    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while True:
            line.sendall(b"x")
            time.sleep(0.01)

    with server(drip) as port, pytest.raises(ServerBroke):
        called(port, timeout_s=0.3)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", b"SSH-2.0-x\r\n\r\n", b"\x00" * 100]
)
def test_one_that_breaks_off_or_speaks_otherwise_may_have_run_it(said: bytes) -> None:
    with server(lambda line: line.sendall(said)) as port, pytest.raises(ServerBroke):
        called(port)


def test_one_that_is_not_there_has_run_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(ServerAway):
        called(port, attempts=1)


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "a..example"])
@pytest.mark.parametrize("public_only", [False, True])
def test_a_name_that_cannot_be_one_is_not_there(name: str, *, public_only: bool) -> None:
    calls = InferenceServer(f"http://{name}:80", None, public_only=public_only)
    with pytest.raises(ServerAway):
        calls.call("GET", "/", attempts=1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("429 Too Many Requests", ServerAway),
        ("503 Service Unavailable", ServerAway),
        ("502 Bad Gateway", ServerBroke),
        ("504 Gateway Timeout", ServerBroke),
        ("302 Found\r\nLocation: /elsewhere", ServerRefused),
        ("400 Bad Request", ServerRefused),
        ("500 Internal Server Error", ServerRefused),
    ],
)
def test_a_status_says_whether_it_may_have_run(status: str, error: type[Exception]) -> None:
    said = f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode()
    with server(lambda line: line.sendall(said)) as port, pytest.raises(error):
        called(port, attempts=1)


def test_only_what_cannot_have_run_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_server, "delay_s", lambda *_: 0.0)
    asked: list[bytes] = []
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    def talk(line: socket.socket) -> None:
        asked.append(b"")
        line.sendall(busy if len(asked) == 1 else OK)

    with server(talk) as port:
        assert called(port)[1] == b"hi"
    with server(lambda _: asked.append(b"")) as port, pytest.raises(ServerBroke):
        called(port)
    assert len(asked) == 3


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_a_name_of_a_private_address_is_not_called_for_whoever_may_not(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    found = [(0, 0, 0, "", ("93.184.215.14", 80)), (0, 0, 0, "", (address, 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    calls = InferenceServer("http://models.example:80", None, public_only=True)
    with pytest.raises(AddressNotAllowed):
        calls.call("GET", "/")


def test_what_was_looked_at_is_what_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:

    def talk(line: socket.socket) -> None:
        line.sendall(OK.replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n"))

    looked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, *rest: Any, **more: Any) -> Any:
        if host == "models.example":
            looked.append(host)
            host = "127.0.0.1" if len(looked) == 1 else "127.0.0.9"  # who asks twice is told something else
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(bounded_network, "is_public", lambda _: True)
    with server(talk) as port:
        calls = InferenceServer(f"http://models.example:{port}", None, public_only=True)
        assert [calls.call("GET", "/")[1] for _ in range(2)] == [b"hi", b"hi"]
        calls.close()
    assert looked == ["models.example"]


def test_a_server_that_takes_a_request_slowly_is_left_when_the_call_is_over() -> None:
    taken, size = [0], 48 << 20

    def sip(line: socket.socket) -> None:
        while came := line.recv(1 << 16):
            taken[0] += len(came)
            time.sleep(0.01)

    with server(sip) as port:
        calls = InferenceServer(f"http://127.0.0.1:{port}", None)
        with pytest.raises(ServerBroke):
            calls.call("POST", "/", bytes(size), timeout_s=0.3)
    assert taken[0] < size // 2, "each piece that it took would have been given the whole time again"


def test_an_answer_is_not_larger_than_what_a_gateway_passes_on() -> None:
    def talk(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (limits.ANSWER_BYTES_MAX + 1))
        line.sendall(bytes(limits.ANSWER_BYTES_MAX + 1))
        while line.recv(1 << 16):  # until the caller has gone
            pass

    with server(talk) as port, pytest.raises(ServerRefused, match="too large"):
        called(port)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], threading.Event]]:
    """Which names were looked up; those that begin with `slow` are not found until the event is set."""
    asked: list[str] = []
    found = threading.Event()

    def look_up(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        if host.startswith("slow"):
            found.wait(PATIENCE_S)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked, found
    found.set()
    until(lambda: not look_ups._under_way, "no thread is left behind")


def look(name: str) -> str:
    """How a call to a server of that name fails."""
    calls = InferenceServer(f"https://{name}:443", None, public_only=True)
    with pytest.raises(ServerAway) as failure:
        calls.call("GET", "/", timeout_s=0.2, attempts=1)
    return failure.value.message


def test_a_name_that_is_not_found_in_time_holds_up_nobody(resolver: tuple[list[str], threading.Event]) -> None:
    asked, found = resolver
    assert "in time" in look("slow.example")
    assert "in time" in look("slow.example")
    assert "no such name" in look("other.example")
    assert asked == ["slow.example", "other.example"], "one that is being looked up is not looked up beside it"
    found.set()
    until(lambda: not look_ups._under_way, "it is over")
    assert "no such name" in look("slow.example")


def test_only_so_many_names_are_looked_up_at_once(
    monkeypatch: pytest.MonkeyPatch, resolver: tuple[list[str], threading.Event]
) -> None:
    monkeypatch.setattr(look_ups, "LOOK_UPS_MAX", 1)
    look("slow.example")
    assert "too many" in look("slow-too.example")
    assert resolver[0] == ["slow.example"]
