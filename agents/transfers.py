"""Files over HTTP: piece by piece, bounded in size, with patience for each piece rather than for the whole."""

from collections.abc import Mapping
from pathlib import Path

import httpx

CONNECT_TIMEOUT_S = 5.0
PIECE_TIMEOUT_S = 30.0  # between two pieces of a file
KEEP_TIMEOUT_S = 65.0  # from the last piece sent to the answer: the file is on its way into the store meanwhile
CHUNK_BYTES = 1 << 18


def download(http: httpx.Client, url: str, params: Mapping[str, str], path: Path, bytes_max: int) -> httpx.Response:
    """Write what is at `url` to `path`; an answer that is no success has been read instead.

    No more than a piece above `bytes_max` is written, which whoever compares sums refuses. Raises httpx.HTTPError.
    """
    patience = httpx.Timeout(PIECE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    with http.stream("GET", url, params=params, timeout=patience) as answer:
        if not answer.is_success:
            answer.read()
            return answer
        size = 0
        with path.open("wb") as file:
            for chunk in answer.iter_bytes():
                size += len(chunk)
                file.write(chunk)
                if size > bytes_max:
                    break
        return answer


def upload(http: httpx.Client, url: str, params: Mapping[str, str], path: Path) -> httpx.Response:
    """Send the file at `path` to `url`, its length declared; the answer. Raises httpx.HTTPError."""
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
    patience = httpx.Timeout(PIECE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, read=KEEP_TIMEOUT_S)
    with path.open("rb") as file:
        pieces = iter(lambda: file.read(CHUNK_BYTES), b"")
        return http.put(url, params=params, content=pieces, headers=headers, timeout=patience)
