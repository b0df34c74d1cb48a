"""A checked inference request, as it goes to a node whatever it came by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from backend.domain.errors import InvalidTensor, TooLarge
from backend.domain.tensors import GivenTensor, Signature, read_id, read_inputs, read_wishes, split_body
from backend.gateway.errors import InvalidJson


@dataclass(frozen=True, slots=True)
class Payload:
    """What a node is sent, and what its answer must have.

    `body` goes as it came; `header_length` is the length of its JSON part where raw buffers follow it. `wishes` are
    the wanted outputs and whether each may come as a raw buffer. `inputs` shares its memory with `body`.
    """

    body: bytes | memoryview
    header_length: int | None
    inputs: Sequence[GivenTensor]
    wishes: Mapping[str, bool]
    id: str | None = None

    @property
    def rows(self) -> int:
        """How many rows it has: the longest free leading axis, or 1 for models of fixed shape."""
        free = [given.shape[0] for given in self.inputs if given.spec.shape[:1] == (-1,)]
        return max(free, default=1)


def read_payload(raw: bytes | memoryview, header_length: str | None, signature: Signature) -> Payload:
    """The request in an HTTP body, checked whole; raises InvalidJson, InvalidTensor."""
    header, buffers = split_body(raw, header_length)
    try:
        body: Any = orjson.loads(header)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"the body is not JSON: {error}") from None
    inputs = read_inputs(body, signature, buffers)
    return Payload(
        raw, len(header) if header_length is not None else None, inputs, read_wishes(body, signature), read_id(body)
    )


async def body_of(receive: Receive, bytes_max: int | None = None) -> bytes | memoryview:
    """A request's whole body, one that came in one piece as it is.

    Raises ClientDisconnect for half of one, TooLarge above `bytes_max`; without it whoever gives `receive` has a limit.
    """
    pieces: list[bytes | memoryview] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if piece := message.get("body", b""):
            pieces.append(piece)
            size += len(piece)
            if bytes_max is not None and size > bytes_max:
                raise TooLarge("the request is too large", accepted=f"at most {bytes_max} bytes")
        more = message.get("more_body", False)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def refuse_encoded(encoding: str | None) -> None:
    """Raise InvalidTensor for a compressed body: unpacked it could have any size."""
    if encoding not in (None, "identity"):
        raise InvalidTensor(
            "compressed requests are not offered",
            code="compression_not_offered",
            field="Content-Encoding",
            accepted="identity",
        )
