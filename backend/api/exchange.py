"""One request and its answer as they pass: the body within its limits of size and time, the answer within its own."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from backend.api.errors import BodyTooLarge
from backend.api.limits import (
    ANSWER_TIMEOUT_S,
    BODY_BYTES_MAX,
    BODY_TIMEOUT_S,
    COMPLETE_TIMEOUT_S,
    UPLOAD_TIMEOUT_S,
)
from backend.domain.federated.tasks import UPDATE_BYTES_MAX
from backend.domain.files import FILE_BYTES_MAX
from backend.gateway.callers import VISIT_KEY
from backend.gateway.deadlines import Deadlines

UPLOADS = "/v1/files"
UPDATES = "/api/v1/node/work/items/"  # begins the paths of training updates, which end with UPDATE
UPDATE = "/update"
MODEL_UPLOADS = "/api/v1/models/uploads/"  # begins the paths of model files in chunks, whose last request ends with
COMPLETE = "/complete"
UPLOAD_BYTES_MAX = FILE_BYTES_MAX + (1 << 16)  # with what a form has around the file
DIGITS_MAX = 19  # of a declared length; longer numbers are too many as well
NOT_YET = 500  # the status of what ended without an answer

Headers = list[tuple[bytes, bytes]]


class Exchange:
    """The server's `receive` and `send` for one request, which are handed on as this one's methods.

    Files that are uploaded whole may be larger and slower: they are read as they come, and never held. An answer must
    begin `answer_s` after the last byte that came; a stream may go on once it has begun. Within `limit`, that is: the
    application must run inside of it.
    """

    __slots__ = (
        "_body_by_s",
        "_complete",
        "_labels",
        "_loop",
        "_ours",
        "_receive",
        "_scope",
        "_send",
        "answer_s",
        "begun",
        "body_bytes",
        "bytes_max",
        "chunked",
        "declared_bytes",
        "limit",
        "reading",
        "status",
        "upload",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, labels: Headers, limits: Deadlines) -> None:
        self._scope, self._receive, self._send, self._labels = scope, receive, send, labels
        self._loop = asyncio.get_running_loop()
        self._body_by_s: float | None = None
        self._complete = self._ours = False
        bytes_max = _upload_bytes_max(scope["method"], scope["path"])
        self.upload = bytes_max is not None
        self.bytes_max = bytes_max or BODY_BYTES_MAX
        self.body_bytes = self.declared_bytes = 0
        self.chunked = self.reading = self.begun = False
        self.status = NOT_YET
        self.answer_s = _answer_s(scope["path"])
        self.limit = limits.within(self.answer_s)
        for name, value in scope["headers"]:
            if name == b"content-length":
                self.declared_bytes = int(value[:DIGITS_MAX]) if value.isdigit() else 0
            elif name == b"transfer-encoding":
                self.chunked = True

    @property
    def oversize(self) -> bool:
        """Whether the body is declared to be above its limit, so that none of it need be read."""
        return self.declared_bytes > self.bytes_max

    async def receive(self) -> Message:
        """The next piece of the body, in time; after the last one, the client's leaving, which may take any time."""
        if self._complete:
            return await self._receive()
        if self._body_by_s is None:
            self._body_by_s = self._loop.time() + (UPLOAD_TIMEOUT_S if self.upload else BODY_TIMEOUT_S)
        self.limit.move(self._body_by_s)
        self.reading = True
        try:
            message = await self._receive()
        finally:
            if not self.limit.expired:  # also where somebody reads no further, though there is more
                self.reading = False
                self.limit.move(None if self.begun else self._loop.time() + self.answer_s)
        self._complete = not message.get("more_body", False)
        self.body_bytes += len(message.get("body", b""))
        if self.body_bytes > self.bytes_max:
            raise BodyTooLarge(self.bytes_max)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, its head with the ids and with what is left of the caller's limits."""
        if not self.begun:
            if self.limit.expired and not self._ours:
                raise asyncio.CancelledError  # too late: the answer is ours
            self.begun = True
            self.limit.move(None)
        if message["type"] == "http.response.start":
            self.status = message["status"]
            visit = self._scope.get(VISIT_KEY)
            message["headers"] = [*message["headers"], *(visit.headers() if visit else ()), *self._labels]
        await self._send(message)

    async def end(self, message: Message) -> None:
        """As `send`, for what is answered in the application's place."""
        self._ours = True
        await self.send(message)


def _answer_s(path: str) -> float:
    """How long an answer may take to begin."""
    is_completion = path.endswith(COMPLETE) and path.startswith(MODEL_UPLOADS)
    return COMPLETE_TIMEOUT_S if is_completion else ANSWER_TIMEOUT_S


def _upload_bytes_max(method: str, path: str) -> int | None:
    """How large a file may be that is sent to a route for files; None where none is taken."""
    if method == "POST":
        return UPLOAD_BYTES_MAX if path == UPLOADS else None
    if method == "PUT" and path.startswith(UPDATES) and path.endswith(UPDATE):
        return UPDATE_BYTES_MAX
    return None
