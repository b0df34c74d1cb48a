"""Uploads as `multipart/form-data`: one file, streamed to the disk, and a few short fields. Never whole in memory.

The parser is aiohttp's, which webhooks need anyway; the body comes from the server piece by piece.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from aiohttp import BodyPartReader, MultipartReader, StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from backend.domain.errors import Invalid, TooLarge
from backend.domain.files import FILE_BYTES_MAX
from backend.services import scratch

CHUNK_BYTES = 1 << 16
BUFFER_BYTES = 1 << 18  # of what has arrived and is not written yet
FIELDS_MAX = 16
FIELD_BYTES_MAX = 1_000
FORM_BYTES_MAX = 1 << 16  # around the file: fields, boundaries and headers of parts
DIGITS_MAX = 19
ACCEPTED = "multipart/form-data with a file and its purpose"


@dataclass
class Form:
    """What was sent: the file's place until the block ends, the name that it was sent under, and the fields."""

    path: Path
    filename: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def need(self, name: str) -> str:
        """A field; raises Invalid where it is missing."""
        if name not in self.fields:
            raise Invalid(f"{name} is missing", code="missing_field", field=name, accepted="a value")
        return self.fields[name]

    def sent_as(self) -> str:
        """The file's name; raises Invalid where no file came."""
        if self.filename is None:
            raise Invalid("file is missing", code="missing_field", field="file", accepted="a file with its name")
        return self.filename


def declared_bytes(request: Request) -> int:
    """The length of a body as its header says, 0 where it says none."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < DIGITS_MAX else 0


@asynccontextmanager
async def received(request: Request, owner: str) -> AsyncIterator[Form]:
    """The form in a request's body; raises Invalid for what is none, TooLarge for a file above FILE_BYTES_MAX.

    Raises DiskFull before anything of it is read.
    """
    with scratch.folder(declared_bytes(request) or FILE_BYTES_MAX, owner) as folder:
        form = Form(folder / "file")
        content = _Arriving(request)
        try:
            reader = MultipartReader(request.headers, content.stream)
            with form.path.open("wb") as target:
                await _read(reader, form, target)
        except (ValueError, AssertionError, KeyError, RuntimeError, HttpProcessingError):
            raise Invalid("the body is not a form", code="invalid_form", field="body", accepted=ACCEPTED) from None
        finally:
            await content.close()
        yield form


async def _read(reader: MultipartReader, form: Form, target: BinaryIO) -> None:
    for _ in range(FIELDS_MAX):
        part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise ValueError("a part without a name")
        if part.name == "file":
            if form.filename is not None:
                raise Invalid("the form has two files", code="invalid_form", field="file", accepted="one file")
            form.filename = part.filename or "file"
            await _store(part, target)
        else:
            form.fields[part.name] = await _text(part)
    raise TooLarge("too many fields", field="body", accepted=f"at most {FIELDS_MAX}")


async def _store(part: BodyPartReader, target: BinaryIO) -> None:
    size = 0
    while chunk := await part.read_chunk(CHUNK_BYTES):
        size += len(chunk)
        if size > FILE_BYTES_MAX:
            raise TooLarge("the file is too large", field="file", accepted=f"at most {FILE_BYTES_MAX} bytes")
        await run_in_threadpool(target.write, chunk)


async def _text(part: BodyPartReader) -> str:
    value = b""
    while chunk := await part.read_chunk(CHUNK_BYTES):
        value += chunk
        if len(value) > FIELD_BYTES_MAX:
            raise TooLarge("a field is too large", field=str(part.name)[:60], accepted=f"{FIELD_BYTES_MAX} bytes")
    return value.decode()


class _Arriving:
    """A request's body as aiohttp reads it; no more is asked of the server while BUFFER_BYTES wait to be read."""

    def __init__(self, request: Request) -> None:
        self._flow = _Flow(asyncio.get_running_loop())
        self.stream = StreamReader(self._flow, BUFFER_BYTES)
        self._pump = asyncio.create_task(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            async for chunk in request.stream():
                if chunk:
                    self.stream.feed_data(chunk)
                await self._flow.open.wait()
            self.stream.feed_eof()
        except Exception as error:
            self.stream.set_exception(error)
            raise

    async def close(self) -> None:
        """Stop asking for more."""
        self._pump.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._pump


class _Flow(BaseProtocol):
    """What the stream says when it has enough."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.open = asyncio.Event()
        self.open.set()

    @property
    def connected(self) -> bool:
        """More may come: whether the client is still there, the server says."""
        return True

    def pause_reading(self) -> None:
        """Enough for now."""
        self._reading_paused = True
        self.open.clear()

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: ARG002  there is no parser behind
        """More."""
        self._reading_paused = False
        self.open.set()
