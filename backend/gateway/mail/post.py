"""The way to nodes that cannot be dialled: a request is left for the node, which fetches it and brings the answer.

At most once: what was not fetched in time never runs, and what was fetched and not answered is an error.
"""

import asyncio
from collections.abc import Collection, Mapping
from secrets import token_hex
from uuid import UUID

import structlog

from backend.domain.errors import TooLarge, Unavailable
from backend.domain.ids import NodeId
from backend.domain.joining import POLLED
from backend.domain.mail import ID_CHARS, REQUEST_BYTES_MAX, MailedAnswer, MailedRequest
from backend.domain.tensors import HEADER_LENGTH
from backend.domain.urgency import TIER_HEADER, tier_named
from backend.gateway.errors import code_of
from backend.gateway.mail.ending import end
from backend.gateway.mail.limits import FETCH_S, RETRY_S
from backend.gateway.mail.mailbox import NOT_HANDED_OVER, Mailbox
from backend.gateway.mail.watch import Living, Watch
from backend.gateway.routing.node_client import NodeAnswer, NodeBusy, NodeFailed, NodeUnreachable
from backend.messaging.spans import clock_ns, finished
from backend.messaging.tracing import carried

NS_PER_US = 1_000

log = structlog.get_logger(__name__)


class NodeGone(NodeFailed):
    """The node fetched the request and fell silent: whether it ran is not known, so it is not run again."""

    code = "node_gone"


async def all_of(nodes: Collection[NodeId]) -> Collection[NodeId]:
    """All of these nodes live, as far as anybody here knows."""
    return nodes


class Post:
    """The gateway's side; made and used in one event loop. Who asks first starts the one reader of answers.

    `living` says which of some nodes give signs of life.
    """

    def __init__(self, mailbox: Mailbox, living: Living = all_of) -> None:
        self.mailbox = mailbox
        self.watch = Watch(mailbox.waiting, living, self._gone)
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
        not answered: NodeGone as soon as its node gives no sign of life; MailboxAway. Cancelled, it is withdrawn.
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
            tier_named(headers.get(TIER_HEADER)),
        )
        answer = self._waiting[request.id] = asyncio.get_running_loop().create_future()
        left_ns = clock_ns()
        self._listen()
        try:
            async with asyncio.timeout(timeout_s):
                told = self._told(await self._answered(node, request, answer))
                if told.busy_us is not None:  # the machine records nothing that reaches the operator's collector
                    finished("node.run", max(left_ns, clock_ns() - told.busy_us * NS_PER_US), [carried()])
                return told
        except asyncio.CancelledError:
            self.mailbox.counts.deserted += 1
            self._withdraw(node, request.id)
            raise
        except NodeGone:
            self.mailbox.counts.lost += 1
            self._withdraw(node, request.id)
            raise
        except TimeoutError as error:
            self.mailbox.counts.lost += 1
            raise NodeFailed("the node did not finish the request") from error
        finally:
            self.watch.over(request.id)
            del self._waiting[request.id]

    async def close(self) -> None:
        """Wait for no answers any more."""
        await asyncio.gather(*self._withdrawing, return_exceptions=True)
        await self.watch.close()
        await end(self._reader)
        await self.mailbox.close()

    async def _answered(
        self, node: NodeId, request: MailedRequest, answer: "asyncio.Future[MailedAnswer]"
    ) -> MailedAnswer:
        if not await self.mailbox.put(node, self._name, request):
            self.mailbox.counts.refused += 1
            raise NodeBusy("too many requests wait for the node")
        self.mailbox.counts.left += 1
        self.watch.left(request.id, node)
        await asyncio.wait([answer], timeout=FETCH_S)
        if not answer.done():
            waited, there = await self.mailbox.withdraw(node, request.id)
            if waited:
                self.mailbox.counts.withdrawn += 1
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

    def _told(self, answer: MailedAnswer) -> NodeAnswer:
        if answer.status == NOT_HANDED_OVER:
            self.mailbox.counts.withdrawn += 1
            raise NodeBusy("the node left before it got the request")
        self.mailbox.counts.answered += 1
        length = answer.header_length
        return NodeAnswer(answer.status, answer.body, None if length is None else str(length), answer.busy_us)

    def _gone(self, request: str) -> None:
        answer = self._waiting.get(request)
        if answer is not None and not answer.done():
            answer.set_exception(NodeGone("the node fell silent with the request in its hands"))

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
