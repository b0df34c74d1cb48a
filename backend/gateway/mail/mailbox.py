"""The mailboxes of nodes in Redis: what waits for each, and where answers go. Nothing here waits for anybody."""

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import orjson
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backend.domain.ids import NodeId
from backend.domain.mail import LETTERS_MAX, REQUESTS_BYTES_MAX, MailedAnswer, MailedRequest
from backend.domain.urgency import PATIENCE_S, kept_of, tier_named
from backend.gateway.mail.counts import MailCounts
from backend.gateway.mail.limits import (
    CONNECTIONS_MAX,
    FETCH_S,
    READ_S,
    REDIS_TIMEOUT_S,
    REPLY_KEPT_S,
    SEEN_S,
    WAITING_BYTES_MAX,
    WAITING_MAX,
    WITHDRAW_S,
)
from backend.gateway.mail.scripts import ANSWER, FETCH, PUT, WITHDRAW
from backend.gateway.routing.node_client import NodeAnswered

AWAY = (RedisError, OSError, TimeoutError)
NOT_HANDED_OVER = 0  # in the place of a status: the node never got the request


class MailboxAway(NodeAnswered):
    """Redis does not answer, so nothing reaches the nodes that cannot be dialled: that says nothing of any of them."""

    code = "mailbox_unreachable"


class Mailbox:
    """Used in one event loop; each method is one trip to Redis, and raises MailboxAway when it does not answer."""

    def __init__(self, redis_url: str, namespace: str) -> None:
        self._redis = _client(redis_url, REDIS_TIMEOUT_S)
        self._waiting = _client(redis_url, READ_S + REDIS_TIMEOUT_S)
        self._put, self._fetch, self._withdraw, self._answer = (
            self._redis.register_script(script) for script in (PUT, FETCH, WITHDRAW, ANSWER)
        )
        self._prefix = f"{namespace}.mail."
        self.trips = 0  # to Redis, well or not
        self.counts = MailCounts()

    async def put(self, node: NodeId, reply: str, request: MailedRequest) -> bool:
        """Let a request wait for the node, until it is withdrawn or lapses; False when too many do already.

        Some of the places are kept for each tier.
        """
        fetch_ms = min(request.left_ms, int((FETCH_S + WITHDRAW_S) * 1_000))
        head = orjson.dumps([request.path, request.header_length, request.traceparent, request.tier])
        return bool(
            await self._trip(
                self._put(
                    keys=[self._ids(node), self._request(node) + request.id],
                    args=[
                        *(request.id, self._request(node), WAITING_MAX, WAITING_BYTES_MAX),
                        *(fetch_ms, request.left_ms - fetch_ms, self._replies(reply), head, request.body),
                        *(self._calls, str(node)),
                        *(request.tier, int(PATIENCE_S[request.tier] * 1_000_000)),
                        *(word for kept in kept_of(WAITING_MAX).items() for word in kept),
                    ],
                )
            )
        )

    async def fetch(self, node: NodeId, places: int) -> list[MailedRequest]:
        """What waits for the node, the most urgent first, as much as one message carries; nobody fetches it again."""
        most = min(places, LETTERS_MAX)
        found = await self._trip(
            self._fetch(
                keys=[self._ids(node), self._seen(node)],
                args=[self._request(node), self._fetched(node), most, REQUESTS_BYTES_MAX, int(SEEN_S * 1_000)],
            )
        )
        self.counts.fetched += len(found) // 4
        return [_request(*found[at : at + 4]) for at in range(0, len(found), 4)]

    async def waiting(self, requests: Sequence[tuple[NodeId, str]]) -> set[str]:
        """Those of these requests that their nodes have not fetched."""
        trip = self._redis.pipeline(transaction=False)
        for node, request in requests:
            trip.exists(self._request(node) + request)
        there = await self._trip(trip.execute())
        return {request for (_, request), waits in zip(requests, there, strict=True) if waits}

    async def withdraw(self, node: NodeId, request: str, *, forget: bool = False) -> tuple[bool, bool]:
        """Whether the request still waited, which it does no longer, and if so whether the node was there lately.

        With `forget` an answer to it is not wanted any more if it was fetched.
        """
        stand = await self._trip(
            self._withdraw(
                keys=[
                    self._ids(node),
                    self._request(node) + request,
                    self._fetched(node) + request,
                    self._seen(node),
                ],
                args=[request, int(forget)],
            )
        )
        return stand > 0, stand > 1

    async def answer(self, node: NodeId, answers: Sequence[MailedAnswer]) -> int:
        """Hand answers to the gateways that wait for them; how many did. Those to another node's requests are void."""
        if not answers:
            return 0
        return int(
            await self._trip(
                self._answer(
                    keys=[self._fetched(node) + one.id for one in answers],
                    args=[
                        int(REPLY_KEPT_S * 1_000),
                        self._seen(node),
                        int(SEEN_S * 1_000),
                        *(_reply(one) for one in answers),
                    ],
                )
            )
        )

    async def read(self, reply: str) -> MailedAnswer | None:
        """The next answer for a gateway, waiting up to READ_S for it."""
        popped = cast("Awaitable[list[bytes] | None]", self._waiting.blpop([self._replies(reply)], timeout=READ_S))
        found = await self._trip(popped)
        return _answered(found[1]) if found else None

    async def calls(self) -> AsyncIterator[NodeId | None]:
        """The nodes that something is put for, as it happens; None when it begins. Raises MailboxAway and ends."""
        channel = self._waiting.pubsub(ignore_subscribe_messages=False)
        try:
            await channel.subscribe(self._calls)
            while True:
                message = await channel.get_message(timeout=READ_S)
                if message is None:
                    continue
                yield _node(message["data"]) if message["type"] == "message" else None
        except AWAY as error:
            raise MailboxAway("Redis does not answer") from error
        finally:
            with suppress(*AWAY):
                await channel.aclose()  # type: ignore[no-untyped-call]  # as redis declares it

    async def close(self) -> None:
        """Drop all connections."""
        for client in (self._redis, self._waiting):
            await client.aclose()
            await client.connection_pool.disconnect()

    async def _trip(self, call: Awaitable[Any]) -> Any:
        self.trips += 1
        try:
            return await call
        except AWAY as error:
            raise MailboxAway("Redis does not answer") from error

    @property
    def _calls(self) -> str:
        return f"{self._prefix}calls"

    def _ids(self, node: NodeId) -> str:
        return f"{self._prefix}due.{node}"

    def _request(self, node: NodeId) -> str:
        return f"{self._prefix}request.{node}."

    def _fetched(self, node: NodeId) -> str:
        return f"{self._prefix}fetched.{node}."

    def _seen(self, node: NodeId) -> str:
        return f"{self._prefix}seen.{node}"

    def _replies(self, reply: str) -> str:
        return f"{self._prefix}replies.{reply}"


def _client(redis_url: str, timeout_s: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=CONNECTIONS_MAX,
        timeout=REDIS_TIMEOUT_S,
        socket_timeout=timeout_s,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)


def _request(name: bytes, left_ms: int, head: bytes, body: bytes) -> MailedRequest:
    path, header_length, traceparent, tier = orjson.loads(head)
    return MailedRequest(name.decode(), path, header_length, left_ms, body, traceparent, tier_named(tier))


def _reply(answer: MailedAnswer) -> bytes:
    head = orjson.dumps([answer.id, answer.status, answer.header_length, answer.busy_us])
    return b"".join([head, b"\n", answer.body])


def _answered(reply: bytes) -> MailedAnswer:
    head, _, body = reply.partition(b"\n")
    name, status, header_length, busy_us = orjson.loads(head)
    return MailedAnswer(name, status, header_length, busy_us, body)


def _node(told: bytes) -> NodeId | None:
    try:
        return NodeId(UUID(told.decode()))
    except ValueError:
        return None
