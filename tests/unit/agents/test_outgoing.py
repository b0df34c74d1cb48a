"""Answers leave together, in order, within the limits of a message, whatever becomes of the message before."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agents.inference import outgoing as outgoing_module
from agents.inference.outgoing import Outgoing
from backend.domain.mail import LETTERS_MAX, MailedAnswer
from tests.waiting import PATIENCE_S


def answer(number: int, size: int = 2) -> MailedAnswer:
    return MailedAnswer(f"{number:032}", 200, None, 7, bytes(size))


def sent(answers: list[MailedAnswer], send: Callable[[list[MailedAnswer]], Awaitable[None]]) -> None:
    """Let all of these leave by `send`."""

    async def run() -> None:
        outgoing = Outgoing(send)
        for one in answers:
            outgoing.add(one)
        sending = asyncio.create_task(outgoing.run())
        await outgoing.sent(PATIENCE_S)
        sending.cancel()

    asyncio.run(run())


def test_what_is_ready_leaves_in_one_message_of_so_many() -> None:
    messages: list[list[MailedAnswer]] = []

    async def send(message: list[MailedAnswer]) -> None:
        messages.append(message)

    answers = [answer(number) for number in range(LETTERS_MAX + 3)]
    sent(answers, send)
    assert messages == [answers[:LETTERS_MAX], answers[LETTERS_MAX:]]


def test_a_message_carries_so_many_bytes_and_what_none_carries_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing_module, "ANSWER_BYTES_MAX", 60)
    messages: list[list[MailedAnswer]] = []

    async def send(message: list[MailedAnswer]) -> None:
        messages.append(message)

    sent([answer(0, 40), answer(1, 40), answer(2, 61)], send)
    assert [[one.id[-1] for one in message] for message in messages] == [["0"], ["1"], ["2"]]
    assert messages[2][0].status == 500
    assert b"too large" in messages[2][0].body


def test_a_message_that_cannot_be_sent_does_not_hold_up_those_after_it() -> None:
    came: list[str] = []

    async def send(message: list[MailedAnswer]) -> None:
        if message[0].id.endswith("0"):
            raise OSError("gone")
        came.extend(one.id for one in message)

    answers = [answer(number) for number in range(LETTERS_MAX + 1)]
    sent(answers, send)
    assert came == [answers[-1].id]
