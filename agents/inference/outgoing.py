"""Answers on their way to the coordinator: those that are ready when a message leaves go together."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from backend.domain.mail import ANSWER_BYTES_MAX, LETTERS_MAX, MailedAnswer

GATHER_S = 0.001  # for those of the same batch, which are ready one right after the other
TOO_LARGE = b'{"error":"the answer is too large to be brought"}'

log = structlog.get_logger(__name__)


class Outgoing:
    """Sends one message at a time, in order; what cannot be sent is given up: whoever waits for it does so in vain."""

    def __init__(self, send: Callable[[list[MailedAnswer]], Awaitable[None]]) -> None:
        self._send = send
        self._ready: deque[MailedAnswer] = deque()
        self._some = asyncio.Event()
        self._none = asyncio.Event()
        self._none.set()

    def add(self, answer: MailedAnswer) -> None:
        """Send it soon; one that no message carries is a refusal from now on."""
        if len(answer.body) > ANSWER_BYTES_MAX:
            answer = MailedAnswer(answer.id, 500, None, answer.busy_us, TOO_LARGE)
        self._ready.append(answer)
        self._none.clear()
        self._some.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(GATHER_S)
            message = self._message()
            try:
                await self._send(message)
            except Exception as error:  # of any layer below; those after it must be sent
                log.warning("answers.not_brought", error=repr(error), answers=len(message))
            if not self._ready:
                self._some.clear()
                self._none.set()

    async def sent(self, timeout_s: float) -> None:
        """Return when all have been sent, or after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._none.wait()

    def _message(self) -> list[MailedAnswer]:
        """The first of them, as many as one message carries."""
        message: list[MailedAnswer] = []
        size = 0
        while self._ready and len(message) < LETTERS_MAX and size + len(self._ready[0].body) <= ANSWER_BYTES_MAX:
            message.append(self._ready.popleft())
            size += len(message[-1].body)
        return message
