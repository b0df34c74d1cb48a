"""One file from one peer, over HTTP, hashed as it comes."""

import hashlib
import time
from pathlib import Path

import httpx

from agents.peers import PeerAway, PeerLied, PeerRefused
from backend.domain.peers import FILE_PATH, Peer

CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 5.0  # between two pieces of a file
FETCH_S_MAX = 120.0  # for the whole of it


def download(peer: Peer, checksum: str, path: Path, bytes_max: int) -> None:
    """Write the file of that checksum to `path`; raises PeerLied, PeerAway, PeerRefused."""
    headers = {"Authorization": f"Bearer {peer.token}", "Accept-Encoding": "identity"}
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    url = peer.endpoint + FILE_PATH.format(checksum=checksum)
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout, trust_env=False) as answer:
            if answer.status_code != httpx.codes.OK:
                raise PeerRefused(f"answered {answer.status_code}")
            found = _written(answer, path, bytes_max)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PeerAway(repr(error)) from error
    if found != checksum:
        raise PeerLied(f"sha256 {found}")


def _written(answer: httpx.Response, path: Path, bytes_max: int) -> str:
    """The sum of what came."""
    deadline = time.monotonic() + FETCH_S_MAX
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in answer.iter_raw():
            size += len(chunk)
            if size > bytes_max:
                raise PeerLied(f"more than {bytes_max} bytes")
            if time.monotonic() > deadline:
                raise PeerAway(f"not within {FETCH_S_MAX:.0f} s")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
