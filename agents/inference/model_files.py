"""A node's cached model files, for its peers: one file for whoever shows what opens just that one here."""

import asyncio
import hmac
import re
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from agents.model_cache import ModelCache
from backend.domain.peers import FILE_PATH, file_token

SERVED_AT_ONCE_MAX = 2  # requests of users come first
SERVE_S_MAX = 120.0
RETRY_AFTER_S = 1
CHECKSUM = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger(__name__)


class ModelFiles:
    """The route `FILE_PATH`; made and used inside one event loop. Ranges are answered as HTTP has them."""

    def __init__(self, cache: ModelCache, agent_token: str) -> None:
        self._cache = cache
        self._agent_token = agent_token
        self._serving = 0
        self.served = 0
        self.route = Route(FILE_PATH, self._file)

    async def _file(self, request: Request) -> Response:
        checksum: str = request.path_params["checksum"]
        wanted = f"Bearer {file_token(self._agent_token, checksum)}".encode()
        if not hmac.compare_digest(request.headers.get("authorization", "").encode("latin-1"), wanted):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        path = self._cache.file_of(checksum) if CHECKSUM.fullmatch(checksum) else None
        if path is None:
            return Response(status_code=404)
        if self._serving >= SERVED_AT_ONCE_MAX:
            return Response(status_code=429, headers={"Retry-After": str(RETRY_AFTER_S)})
        self._serving += 1
        return _Served(self, path)

    def ended(self, *, whole: bool) -> None:
        """A file is not being served any more."""
        self._serving -= 1
        self.served += whole


class _Served(FileResponse):
    """A file on its way; a reader that is too slow is left."""

    def __init__(self, files: ModelFiles, path: Path) -> None:
        super().__init__(path, media_type="application/octet-stream")
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False
        try:
            async with asyncio.timeout(SERVE_S_MAX):
                await super().__call__(scope, receive, send)
            whole = True
        except TimeoutError:
            log.warning("peer.too_slow", file=Path(self.path).name)
        finally:
            self._files.ended(whole=whole)
