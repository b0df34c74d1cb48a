"""A request that is not answered in time is ended and says so; one whose answer has begun is left alone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.api.front import Front
from backend.api.limits import ANSWER_TIMEOUT_S, BODY_TIMEOUT_S, COMPLETE_TIMEOUT_S
from backend.api.request_metrics import RequestMetrics

PIECES = 3
START: Message = {"type": "http.response.start", "status": 200, "headers": []}
END: Message = {"type": "http.response.body", "body": b"done"}


class Clock:
    """An event loop's time, which a test sets forward."""

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ahead_s = 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead_s)

    async def pass_s(self, seconds: float) -> None:
        """Let so much time pass, and all happen that is due by then."""
        self._ahead_s += seconds
        for _ in range(5):
            await asyncio.sleep(0)


Play = Callable[[Clock, Receive, Send], Awaitable[None]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Message]]:
    """What is sent to a client whose body comes in pieces, so far apart, and is answered as `play` does."""

    def ask(play: Play, apart_s: float = 0.0, path: str = "/api/v1/things") -> list[Message]:
        async def scenario() -> list[Message]:
            clock, sent, pieces = Clock(asyncio.get_running_loop(), monkeypatch), [], iter(range(PIECES))

            async def receive() -> Message:
                piece = next(pieces, None)
                if piece is None:
                    return {"type": "http.disconnect"}
                await clock.pass_s(apart_s)
                return {"type": "http.request", "body": b"x", "more_body": piece < PIECES - 1}

            async def send(message: Message) -> None:
                sent.append(message)

            async def app(_: Scope, receive: Receive, send: Send) -> None:
                await play(clock, receive, send)

            guarded: ASGIApp = Front(app, RequestMetrics())
            await guarded({"type": "http", "method": "POST", "path": path, "headers": []}, receive, send)
            return sent

        return asyncio.run(scenario())

    return ask


async def hang(clock: Clock, receive: Receive, send: Send) -> None:  # as plays are called
    await clock.pass_s(ANSWER_TIMEOUT_S - 1)
    await clock.pass_s(2)
    await send(START)


def body_of(sent: list[Message]) -> Any:
    return orjson.loads(sent[1]["body"])


def test_what_hangs_is_ended_and_answered(answers: Callable[..., list[Message]]) -> None:
    sent = answers(hang)
    assert sent[0]["status"] == 503
    assert body_of(sent)["error"]["code"] == "request_timed_out"
    assert (b"retry-after", b"1") in sent[0]["headers"]


def test_on_the_protocol_face_it_is_told_in_its_words(answers: Callable[..., list[Message]]) -> None:
    sent = answers(hang, path="/v2/models/x/infer")
    assert (b"swarmex-error-code", b"request_timed_out") in sent[0]["headers"]
    assert isinstance(body_of(sent)["error"], str)


def test_an_answer_that_has_begun_takes_as_long_as_it_takes(answers: Callable[..., list[Message]]) -> None:
    async def stream(clock: Clock, receive: Receive, send: Send) -> None:  # as plays are called
        await send(START)
        await clock.pass_s(10 * ANSWER_TIMEOUT_S)
        await send(END)

    assert answers(stream) == [START, END]


def test_an_upload_takes_longer_to_complete_than_other_requests(answers: Callable[..., list[Message]]) -> None:
    async def look(clock: Clock, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            continue
        await clock.pass_s(COMPLETE_TIMEOUT_S - 1)
        await send(START)
        await send(END)

    assert answers(look, path="/api/v1/models/uploads/some/complete") == [START, END]
    assert answers(look, path="/api/v1/things/some/complete")[0]["status"] == 503


def test_a_body_that_comes_slowly_does_not_count(answers: Callable[..., list[Message]]) -> None:
    async def read(clock: Clock, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            continue
        await clock.pass_s(ANSWER_TIMEOUT_S - 1)
        await send(START)
        await send(END)

    assert answers(read, apart_s=BODY_TIMEOUT_S / (PIECES + 1)) == [START, END]
    assert answers(read, apart_s=BODY_TIMEOUT_S / (PIECES - 1))[0]["status"] == 408


def test_an_answer_that_comes_too_late_is_not_sent_as_well(answers: Callable[..., list[Message]]) -> None:
    async def stubborn(clock: Clock, receive: Receive, send: Send) -> None:  # as plays are called
        try:
            await clock.pass_s(2 * ANSWER_TIMEOUT_S)
        except asyncio.CancelledError:
            await send(START)
            raise

    assert [message.get("status") for message in answers(stubborn)] == [503, None]


def test_a_time_out_of_something_else_is_not_taken_for_it(answers: Callable[..., list[Message]]) -> None:
    async def fail(clock: Clock, receive: Receive, send: Send) -> None:  # as plays are called
        raise TimeoutError("of something else")

    sent = answers(fail)
    assert (sent[0]["status"], body_of(sent)["error"]["code"]) == (500, "internal_error")
