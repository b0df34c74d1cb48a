"""Model files over HTTP: sent in chunks and fetched in ranges, gone on with by themselves after interruptions."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from random import random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from backend.cli.infer import Refused
from backend.domain.backoff import delay_s
from backend.domain.errors import ChecksumMismatch, Invalid, Unavailable
from backend.domain.uploads import CHUNK_BYTES_MAX, DIGEST_HEADER, digest_header

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 30.0
COMPLETE_TIMEOUT_S = 600.0  # the market reads the whole file and runs it
COMPLETE_EVERY_S = 2.0  # while an earlier request, whose answer was lost, is at it
COMPLETE_ASKED_MAX = 300
BUSY = (429, 502, 503, 504)  # of the market, and of what stands before it
ATTEMPTS_MAX = 6  # in a row without getting on
MODELS = "/api/v1/models"

Tell = Callable[[str, int, int | None], None]


class Transfers:
    """The registry of a market that is reached over HTTP with a key; `tell` hears how far a file is."""

    def __init__(self, url: str, key: str, tell: Tell, sleep: Callable[[float], None] = time.sleep) -> None:
        import httpx

        try:
            self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S)
        except httpx.InvalidURL as error:
            raise _unreachable(url, error) from None
        self._url = url
        self._tell = tell
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def upload(self, name: str, path: Path) -> dict[str, Any]:
        """Send a file, from where an earlier attempt ended; the version that it is. Raises Refused, Unavailable."""
        sha256, size = self._sum(path), path.stat().st_size
        wish = {"name": name, "size_bytes": size, "sha256": sha256}
        try:
            upload = self._json("POST", f"{MODELS}/uploads", json=wish)
        except Refused as refused:
            if refused.code != "model_registered":
                raise
            return self._registered(name, sha256)
        place = f"{MODELS}/uploads/{upload['id']}"
        with path.open("rb") as file:
            offset = int(upload["offset"])
            while offset < size:
                self._tell("sent", offset, size)
                file.seek(offset)
                offset = self._put(place, offset, file.read(CHUNK_BYTES_MAX))
        self._tell("sent", size, size)
        try:
            return self._complete(place)
        except Refused as refused:
            if refused.code != "unknown_upload":  # else it was completed, and the answer lost
                raise
            return self._registered(name, sha256)

    def download(self, reference: str, version: int | None, path: Path) -> dict[str, Any]:
        """Fetch a version's file, from where an earlier attempt ended; the version. Nothing is at `path` until it is
        whole. Raises Refused, Unavailable, ChecksumMismatch."""
        model = self._json(
            "GET", f"{MODELS}/{quote(reference, safe='@')}", params={"version": version} if version else None
        )
        checksum, size = model["checksum"], model["size_bytes"]
        place = f"{MODELS}/{model['name']}/versions/{model['version']}/file"
        partial = path.with_name(f"{path.name}.{checksum[:16]}.part")
        failures = 0
        while (done := partial.stat().st_size if partial.exists() else 0) < size:
            refused = self._fetch(place, checksum, partial, done, size)
            failures = 0 if partial.stat().st_size > done else failures + 1
            self._pause(failures, refused)
        found = self._sum(partial)
        if found != checksum:
            partial.unlink()
            raise ChecksumMismatch(checksum, found)
        partial.replace(path)
        return model

    def _complete(self, place: str) -> dict[str, Any]:
        """Have a file registered that was sent; the version that it is. One request at a time is at that."""
        self._tell("looked into", 0, None)
        for _ in range(COMPLETE_ASKED_MAX):
            try:
                return self._json("POST", f"{place}/complete", timeout=COMPLETE_TIMEOUT_S)
            except Refused as refused:
                if refused.code != "upload_completing":
                    raise
            self._sleep(COMPLETE_EVERY_S)
        raise Unavailable("the file is being looked into for very long", accepted="the same again, later")

    def _put(self, place: str, offset: int, chunk: bytes) -> int:
        """Send a chunk; where the next one begins. An answer that was lost is asked for, not guessed."""
        headers = {DIGEST_HEADER: digest_header(hashlib.sha256(chunk).hexdigest())}
        try:
            sent = self._json("PUT", place, params={"offset": offset}, content=chunk, headers=headers)
        except Refused as refused:
            if refused.code != "wrong_offset":
                raise
            sent = self._json("GET", place)
        return int(sent["offset"])

    def _fetch(self, place: str, checksum: str, partial: Path, done: int, size: int) -> Refused | None:
        """Append what comes to the partial file, until the connection breaks off; the refusal of a busy market."""
        import httpx

        headers = {"Range": f"bytes={done}-", "If-Range": f'"{checksum}"'} if done else {}
        try:
            with self._http.stream("GET", place, headers=headers) as answer:
                if not answer.is_success:
                    answer.read()
                    refused = _refusal(answer)
                    if answer.status_code not in BUSY:
                        raise refused
                    partial.touch()
                    return refused
                with partial.open("ab" if answer.status_code == 206 else "wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
                        self._tell("fetched", file.tell(), size)
        except httpx.TransportError:
            partial.touch()
        return None

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """An answer, asked for again while none comes: all that is asked here may be repeated."""
        import httpx

        failures = 0
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.UnsupportedProtocol as error:
                raise _unreachable(self._url, error) from None
            except httpx.TransportError as error:
                failures += 1
                self._pause(failures, error)
                continue
            if answer.status_code in BUSY:
                failures += 1
                self._pause(failures, _refusal(answer))
                continue
            if not answer.is_success:
                raise _refusal(answer)
            found: dict[str, Any] = answer.json()
            return found

    def _pause(self, failures: int, error: Exception | None = None) -> None:
        """Wait before the next attempt; raises when there were too many in a row."""
        if failures >= ATTEMPTS_MAX:
            raise error if isinstance(error, Refused) else _unreachable(self._url, error)
        if failures:
            self._sleep(delay_s(failures, random()))  # noqa: S311  jitter, not a secret

    def _registered(self, name: str, sha256: str) -> dict[str, Any]:
        """The version that has this file already."""
        before: str | None = None
        while True:
            params = {"prefix": name, "limit": 500} | ({"before": before} if before else {})
            page = self._json("GET", MODELS, params=params)
            for model in page["models"]:
                if (model["name"], model["checksum"]) == (name, sha256):
                    return dict(model)
            before = page["next_before"]
            if before is None:
                raise Invalid(
                    f"{name} has no version with this file, which was refused perhaps while no answer came through",
                    code="unknown_model_version",
                    field="file",
                    accepted="the same again, to hear why",
                )

    def _sum(self, path: Path) -> str:
        """SHA-256 of a file in hex."""
        digest, done, size = hashlib.sha256(), 0, path.stat().st_size
        with path.open("rb") as file:
            while piece := file.read(CHUNK_BYTES_MAX):
                digest.update(piece)
                done += len(piece)
                self._tell("checksum", done, size)
        return digest.hexdigest()


def _refusal(answer: "httpx.Response") -> Refused:
    try:
        error = answer.json()["error"]
        return Refused(*(error[name] for name in ("code", "message", "field", "accepted")))
    except (ValueError, KeyError, TypeError):
        return Refused(f"http_{answer.status_code}", f"{answer.url} answered {answer.status_code}")


def _unreachable(url: str, error: Exception | None) -> Unavailable:
    return Unavailable(
        f"no answer from {url}: {error or 'it breaks off again and again'}",
        code="api_unreachable",
        field="SWARMEX_URL",
        accepted="the API's address",
    )
