"""A file that is the whole body of a request, streamed to the disk. Never whole in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from backend.api.multipart import declared_bytes
from backend.domain.errors import Invalid, TooLarge
from backend.services import scratch


@asynccontextmanager
async def received(request: Request, owner: str, bytes_max: int) -> AsyncIterator[Path]:
    """The file that a request's body is, until the block ends.

    Raises Invalid(`missing_length`) where its length was not declared, TooLarge above `bytes_max`, DiskFull; all of
    them before anything of it is read.
    """
    size = declared_bytes(request)
    if not size:
        accepted = f"1 to {bytes_max} bytes, declared"
        raise Invalid("no length was declared", code="missing_length", field="Content-Length", accepted=accepted)
    if size > bytes_max:
        raise TooLarge("the file is too large", field="body", accepted=f"at most {bytes_max} bytes")
    with scratch.folder(size, owner) as folder:
        path = folder / "file"
        with path.open("wb") as target:
            async for chunk in request.stream():
                if chunk:
                    await run_in_threadpool(target.write, chunk)
        yield path
