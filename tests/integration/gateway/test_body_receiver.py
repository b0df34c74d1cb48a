"""Bodies that are received into their place: whole, in order, whatever pieces they come in and whoever leaves."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Thread

import numpy as np
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from backend.api.server import bind
from backend.gateway.oip.body_receiver import (
    ALIGNED_BYTES,
    BODY_RECEIVER,
    PLACED_BYTES_MAX,
    PLACED_BYTES_MIN,
    READ_BYTES,
)

WAIT_S = 10.0
LARGE = 5 * PLACED_BYTES_MIN + 77


@dataclass
class App:
    """Keeps what it receives, and answers with its length."""

    bodies: list[bytes] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)
    left: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"] == b"refuse":
            await self._answer(send, b"no")
            return
        body, pieces, more = b"", 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            piece = message["body"]
            if len(piece):
                self.addresses.append(np.frombuffer(piece, np.uint8).ctypes.data)
            body += piece
            pieces += 1
            more = message["more_body"]
        self.bodies.append(body)
        self.pieces.append(pieces)
        await self._answer(send, str(len(body)).encode())

    @staticmethod
    async def _answer(send: Send, text: bytes) -> None:
        head = [(b"content-length", str(len(text)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": text})


@contextmanager
def serving(app: App, keep_alive_s: int = 5) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BODY_RECEIVER,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=keep_alive_s,
    )
    server = uvicorn.Server(config)
    with bind("127.0.0.1", 0) as bound:
        address: tuple[str, int] = bound.getsockname()
        thread = Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.should_exit = True
            thread.join(WAIT_S)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def client(app: App) -> Iterator[socket.socket]:
    with serving(app) as address, socket.create_connection(address, timeout=WAIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def head(length: int, *more: str, path: str = "/v2/models/m/infer", method: str = "POST") -> bytes:
    lines = (f"{method} {path} HTTP/1.1", "Host: here", f"Content-Length: {length}", *more)
    return "\r\n".join((*lines, "", "")).encode()


def random_bytes(length: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(length)


def answer(connection: socket.socket) -> bytes:
    """The body of the next answer."""
    got = b""
    while b"\r\n\r\n" not in got:
        read = connection.recv(1)
        assert read, got
        got += read
    [length] = [int(line.split(b":")[1]) for line in got.split(b"\r\n") if line.lower().startswith(b"content-length")]
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return body


def test_an_answer_comes_in_one_piece(client: socket.socket) -> None:
    for _ in range(3):
        client.sendall(head(4) + b"body")
        assert client.recv(READ_BYTES).endswith(b"\r\n\r\n4")


@pytest.mark.parametrize("cuts", [(), (1,), (10, 300), (100_000,), (70, 71, 200_000, 300_001)])
@pytest.mark.parametrize("length", [PLACED_BYTES_MIN - 1, PLACED_BYTES_MIN, LARGE])
def test_a_body_arrives_as_it_was_sent(app: App, client: socket.socket, length: int, cuts: tuple[int, ...]) -> None:
    sent = random_bytes(length)
    message = head(length) + sent
    places = [0, *(cut for cut in cuts if cut < len(message)), len(message)]
    for start, end in pairwise(places):
        client.sendall(message[start:end])
        time.sleep(0.005)  # so that it goes as a piece of its own
    assert answer(client) == str(length).encode()
    assert app.bodies == [sent]


def test_a_large_body_of_known_length_comes_in_one_piece_and_all_others_as_ever(
    app: App, client: socket.socket
) -> None:
    client.sendall(head(LARGE) + random_bytes(LARGE))
    answer(client)
    assert app.pieces == [1]
    for other in (head(LARGE, path="/v1/files"), head(LARGE, method="PUT"), head(PLACED_BYTES_MAX + 1)):
        [length] = [int(line.split(b":")[1]) for line in other.split(b"\r\n") if line.startswith(b"Content-Length")]
        client.sendall(other + random_bytes(length))
        assert answer(client) == str(length).encode()
    assert all(pieces > 1 for pieces in app.pieces[1:])


@pytest.mark.parametrize("json_bytes", [1, 63, 64, 100, 1_001])
def test_raw_buffers_lie_where_arrays_may(app: App, client: socket.socket, json_bytes: int) -> None:
    client.sendall(head(LARGE, f"Inference-Header-Content-Length: {json_bytes}") + random_bytes(LARGE))
    answer(client)
    assert (app.addresses[0] + json_bytes) % ALIGNED_BYTES == 0


@pytest.mark.parametrize("told", ["-1", "99999999999999999999", "x", str(LARGE + 5)])
def test_what_nobody_can_align_to_is_received_all_the_same(app: App, client: socket.socket, told: str) -> None:
    client.sendall(head(LARGE, f"Inference-Header-Content-Length: {told}") + random_bytes(LARGE))
    assert answer(client) == str(LARGE).encode()


def test_a_connection_carries_one_request_after_the_other(app: App, client: socket.socket) -> None:
    sizes = [LARGE, 10, 0, LARGE + 1, PLACED_BYTES_MIN, 3, READ_BYTES * 4]
    for seed, size in enumerate(sizes):
        client.sendall(head(size) + random_bytes(size, seed))
        assert answer(client) == str(size).encode()
    assert app.bodies == [random_bytes(size, seed) for seed, size in enumerate(sizes)]


def test_requests_that_are_sent_before_the_first_is_answered_are_answered_in_order(
    app: App, client: socket.socket
) -> None:
    sizes = [LARGE, 5, LARGE + 9, 7, 0, LARGE]
    messages = b"".join(head(size) + random_bytes(size, seed) for seed, size in enumerate(sizes))
    sender = Thread(target=client.sendall, args=(messages,), daemon=True)
    sender.start()
    assert [answer(client) for _ in sizes] == [str(size).encode() for size in sizes]
    sender.join(WAIT_S)
    assert app.bodies == [random_bytes(size, seed) for seed, size in enumerate(sizes)]


def test_a_body_in_chunks_is_uvicorns(app: App, client: socket.socket) -> None:
    sent = random_bytes(LARGE)
    lines = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.sendall(lines + b"%x\r\n" % LARGE + sent + b"\r\n0\r\n\r\n")
    assert answer(client) == str(LARGE).encode()
    assert app.bodies == [sent]


def test_a_client_that_waits_to_be_asked_is_asked(app: App, client: socket.socket) -> None:
    client.sendall(head(LARGE, "Expect: 100-continue"))
    assert client.recv(1024).startswith(b"HTTP/1.1 100")
    client.sendall(random_bytes(LARGE))
    assert answer(client) == str(LARGE).encode()


def test_whoever_leaves_in_the_middle_has_left(app: App) -> None:
    with serving(app) as address:
        with socket.create_connection(address, timeout=WAIT_S) as connection:
            connection.sendall(head(LARGE) + random_bytes(LARGE // 2))
            time.sleep(0.05)
        deadline = time.monotonic() + WAIT_S
        while not app.left and time.monotonic() < deadline:
            time.sleep(0.01)
        assert app.left == 1
        assert app.bodies == []


def test_a_request_that_is_refused_unread_leaves_its_connection_in_order(app: App, client: socket.socket) -> None:
    client.sendall(head(LARGE, path="/v2/models/m/infer?refuse") + random_bytes(LARGE // 2))
    assert answer(client) == b"no"
    client.sendall(random_bytes(LARGE - LARGE // 2))
    client.sendall(head(LARGE) + random_bytes(LARGE, 2))
    assert answer(client) == str(LARGE).encode()
    assert app.bodies == [random_bytes(LARGE, 2)]


def test_lengths_that_contradict_each_other_are_refused(app: App, client: socket.socket) -> None:
    client.sendall(head(LARGE, f"Content-Length: {LARGE - 1}") + random_bytes(100))
    assert client.recv(1024).startswith(b"HTTP/1.1 400")
    assert app.bodies == []


def test_a_refused_body_that_comes_slowly_is_heard_to_its_end(app: App) -> None:
    with serving(app, keep_alive_s=1) as address, socket.create_connection(address, timeout=WAIT_S) as client:
        client.sendall(head(LARGE, path="/v2/models/m/infer?refuse"))
        assert answer(client) == b"no"
        body = random_bytes(LARGE)
        for start in range(0, LARGE, LARGE // 4 + 1):
            client.sendall(body[start : start + LARGE // 4 + 1])
            time.sleep(0.5)  # in all, twice as long as a connection may be idle
        client.sendall(head(3) + b"abc")
        assert answer(client) == b"3"
