"""Where the agent of a remote node gets its real-time requests: HTTPS with the node's key, as its work port.

A poll is tried once, since the next one follows. Bringing an answer twice is safe: the second one counts for nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import random

import httpx

from agents.remote_port import (
    ATTEMPTS_MAX,
    BASE,
    CALL_TIMEOUT_S,
    PASSING,
    KeyRefused,
    refusal_in,
    unreachable,
)
from agents.transfers import CONNECT_TIMEOUT_S
from backend.domain.backoff import delay_s
from backend.domain.errors import Invalid, SwarmexError, Unavailable
from backend.domain.ids import AgentId
from backend.domain.joining import POLL_S_MAX, PROTOCOL
from backend.domain.mail import MailedAnswer, MailedRequest, pack_answers, unpack_requests

CONNECTIONS_MAX = 4


class MailPort:
    """Used in the event loop in which it is opened.

    `on_refused` is called, perhaps more than once, when the key turns out to be revoked. Errors that last are
    Unavailable(`api_unreachable`), Refused or KeyRefused.
    """

    def __init__(self, url: str, key: str, agent_id: AgentId, on_refused: Callable[[], None] = lambda: None) -> None:
        self._url = url.rstrip("/") + BASE
        self._key = key
        self._agent_id = agent_id
        self._on_refused = on_refused
        self._http: httpx.AsyncClient | None = None

    def open(self) -> None:
        """Be used in this event loop from now on."""
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=httpx.Timeout(CALL_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX),
        )

    async def fetch(self, places: int, wait_s: float = POLL_S_MAX) -> list[MailedRequest]:
        """Requests to run, as soon as there are any; none after `wait_s`."""
        body = {"version": PROTOCOL, "agent": str(self._agent_id), "places": places, "wait_s": wait_s}
        answer = await self._call("/work/requests/poll", 1, wait_s + CALL_TIMEOUT_S, json=body)
        try:
            return unpack_requests(answer.content)
        except Invalid as error:
            raise Unavailable("the coordinator's answer cannot be read", code="corrupt_answer") from error

    async def answer(self, answers: Sequence[MailedAnswer]) -> None:
        """Bring answers, as many as one message carries."""
        as_binary = {"Content-Type": "application/octet-stream"}
        content = pack_answers(answers)
        await self._call("/work/requests/answer", ATTEMPTS_MAX, CALL_TIMEOUT_S, content=content, headers=as_binary)

    async def close(self) -> None:
        """Drop all connections."""
        if self._http is not None:
            await self._http.aclose()

    async def _call(
        self,
        path: str,
        attempts: int,
        timeout_s: float,
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        assert self._http is not None, "it has been opened"
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        for attempt in range(1, attempts + 1):
            try:
                answer = await self._http.post(path, json=json, content=content, headers=headers, timeout=timeout)
                if answer.is_success:
                    return answer
                error: Exception = self._refusal(answer)
                if answer.status_code not in PASSING:
                    raise error
            except httpx.HTTPError as failure:
                error = unreachable(failure)
            if attempt < attempts:
                await asyncio.sleep(delay_s(attempt, random()))
        raise error

    def _refusal(self, answer: httpx.Response) -> SwarmexError:
        told = refusal_in(answer)
        if answer.status_code == 401:
            self._on_refused()
            return KeyRefused(told.message, field=told.field, accepted=told.accepted)
        return told
