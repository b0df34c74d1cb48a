"""The way to nodes that cannot be dialled: a request is left for the node, which fetches it and brings the answer.

At most once: what was not fetched in time never runs, and what was fetched and not answered is an error.
"""

import asyncio
from collections.abc import Mapping
from secrets import token_hex
from uuid import UUID

import structlog

from backend.domain.errors import TooLarge, Unavailable
from backend.domain.ids import NodeId
from backend.domain.joining import POLLED
from backend.domain.mail import ID_CHARS, REQUEST_BYTES_MAX, MailedAnswer, MailedRequest
from backend.domain.tensors import HEADER_LENGTH
from backend.gateway.errors import code_of
from backend.gateway.mail.ending import end
from backend.gateway.mail.limits import FETCH_S, RETRY_S
from backend.gateway.mail.mailbox import NOT_HANDED_OVER, Mailbox
from backend.gateway.routing.node_client import NodeAnswer, NodeBusy, NodeFailed, NodeUnreachable

log = structlog.get_logger(__name__)


class Post:
    """The gateway's side; made and used in one event loop. Who asks first starts the one reader of answers."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self._name = token_hex(ID_CHARS // 2)
        self._waiting: dict[str, asyncio.Future[MailedAnswer]] = {}
        self._asked = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._withdrawing: set[asyncio.Task[None]] = set()

    def check(self, body: bytes | memoryview) -> None:
        """Raise TooLarge(`too_large_for_polled_node`) for a body that is not left in Redis."""
        if len(body) > REQUEST_BYTES_MAX:
            raise TooLarge(
                "the leased node cannot be dialled, and takes no request of this size",
                code="too_large_for_polled_node",
                field="body",
                accepted=f"at most {REQUEST_BYTES_MAX} bytes",
            )

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes | memoryview, timeout_s: float
    ) -> NodeAnswer:
        """The node's answer, whatever it is, within `timeout_s`.

        Raises NodeUnreachable or NodeBusy when it was never fetched and so has not run, NodeFailed when it was and is
        not answered; MailboxAway. Cancelled, it is withdrawn.
        """
        node, path = _address(url)
        length = headers.get(HEADER_LENGTH)
        request = MailedRequest(
            token_hex(ID_CHARS // 2),
            path,
            None if length is None else int(length),
            max(1, int(timeout_s * 1_000)),
            bytes(body),
            headers.get("traceparent"),
        )
        answer = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        self._listen()
        try:
            async with asyncio.timeout(timeout_s):
                return _read(await self._answered(node, request, answer))
        except asyncio.CancelledError:
            self._withdraw(node, request.id)
            raise
        except TimeoutError as error:
            raise NodeFailed("the node did not finish the request") from error
        finally:
            del self._waiting[request.id]

    async def close(self) -> None:
        """Wait for no answers any more."""
        await asyncio.gather(*self._withdrawing, return_exceptions=True)
        await end(self._reader)
        await self.mailbox.close()

    async def _answered(
        self, node: NodeId, request: MailedRequest, answer: "asyncio.Future[MailedAnswer]"
    ) -> MailedAnswer:
        if not await self.mailbox.put(node, self._name, request):
            raise NodeBusy("too many requests wait for the node")
        await asyncio.wait([answer], timeout=FETCH_S)
        if not answer.done():
            waited, there = await self.mailbox.withdraw(node, request.id)
            if waited:
                raise NodeBusy("the node has no place") if there else NodeUnreachable("the node does not poll")
        return await answer

    def _listen(self) -> None:
        self._asked.set()
        if self._reader is None:
            self._reader = asyncio.create_task(self._keep_reading())

    async def _keep_reading(self) -> None:
        while True:
            if not self._waiting:
                self._asked.clear()
                await self._asked.wait()
            try:
                answer = await self.mailbox.read(self._name)
            except Exception as error:  # of Redis or of the unforeseen: every request would wait in vain
                log.warning("answers_unread", code=code_of(error), waiting=len(self._waiting))
                await asyncio.sleep(RETRY_S)
                continue
            if answer and (waiting := self._waiting.get(answer.id)) and not waiting.done():
                waiting.set_result(answer)

    def _withdraw(self, node: NodeId, request: str) -> None:
        """Aside: nobody waits for that."""

        async def withdraw() -> None:
            try:
                await self.mailbox.withdraw(node, request, forget=True)
            except Unavailable as error:  # then it lapses
                log.info("request_not_withdrawn", code=code_of(error))

        task = asyncio.create_task(withdraw())
        self._withdrawing.add(task)
        task.add_done_callback(self._withdrawing.discard)


def _address(url: str) -> tuple[NodeId, str]:
    node, _, path = url.removeprefix(POLLED).partition("/")
    return NodeId(UUID(node)), f"/{path}"


def _read(answer: MailedAnswer) -> NodeAnswer:
    if answer.status == NOT_HANDED_OVER:
        raise NodeBusy("the node left before it got the request")
    length = answer.header_length
    return NodeAnswer(answer.status, answer.body, None if length is None else str(length), answer.busy_us)
