"""A response of JSON and raw tensors; nothing of the gateway's own, so that nodes answer by it as well."""

from collections.abc import Mapping, Sequence

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backend.domain.tensors import HEADER_LENGTH


class TensorReply(Response):
    """A response whose JSON part is followed by raw buffers, sent from where they are."""

    def __init__(self, header: bytes, buffers: Sequence[memoryview], headers: Mapping[str, str]) -> None:
        lengths = {
            HEADER_LENGTH: str(len(header)),
            "Content-Length": str(len(header) + sum(len(buffer) for buffer in buffers)),
        }
        super().__init__(header, headers={**headers, **lengths}, media_type="application/octet-stream")
        self._buffers = buffers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI calls it
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        parts = [self.body, *self._buffers]
        for index, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": index < len(parts)})
