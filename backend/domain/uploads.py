"""Uploads of files in chunks: their limits, how far one has come, and the checksums that travel with them."""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from backend.domain.errors import Conflict, Invalid, TooLarge
from backend.domain.ids import AccountId, UploadId
from backend.domain.registry import check_model_name

CHUNK_BYTES_MAX = 4 << 20  # half of what a body of the API may have
CHUNKS_MAX = 10_000  # of one upload: chunks so small that it takes more are refused
FILE_BYTES_MAX = 4 << 30  # as much as a node fetches of one model
OPEN_MAX = 4  # uploads of one account at the same time
OPEN_BYTES_MAX = 8 << 30  # of them together
KEPT = timedelta(hours=24)  # since its last chunk
COMPLETE_S = 180  # to look into a file that is whole, and besides:
COMPLETE_BYTES_S = 20 << 20  # to join, store and check it: in a slower store, another may begin with it as well
FOLDER = "uploads/"  # where the store keeps chunks until the file is whole; no backup needs them
DIGEST_HEADER = "Content-Digest"
_DIGEST = re.compile(r"\s*sha-256=:([A-Za-z0-9+/=]{44}):\s*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on its way: `received_bytes` of `size_bytes` are here, and the rest is awaited until `expires_at`."""

    id: UploadId
    account_id: AccountId
    name: str
    size_bytes: int
    sha256: str
    received_bytes: int
    chunks: int
    created_at: datetime
    expires_at: datetime
    completing_until: datetime | None = None

    @property
    def completed_within(self) -> timedelta:
        """How long whoever completes it has it for themselves."""
        return timedelta(seconds=COMPLETE_S + self.size_bytes / COMPLETE_BYTES_S)

    @property
    def folder(self) -> str:
        """Where its chunks are."""
        return f"{FOLDER}{self.id}/"

    def check_fits(self, size: int) -> None:
        """Raise Invalid or Conflict for a next chunk of so many bytes that cannot belong to this file."""
        if not 0 < size <= CHUNK_BYTES_MAX:
            raise TooLarge("a chunk of this size", field="body", accepted=f"1 to {CHUNK_BYTES_MAX} bytes")
        if self.received_bytes + size > self.size_bytes:
            left = self.size_bytes - self.received_bytes
            raise TooLarge("more than the file has", field="body", accepted=f"at most {left} bytes")
        if self.chunks >= CHUNKS_MAX:
            accepted = f"at most {CHUNKS_MAX}: make them larger"
            raise Conflict("too many chunks", code="too_many_chunks", field="body", accepted=accepted)

    def wrong_offset(self) -> Conflict:
        """The refusal of a chunk that is not the next one; `accepted` is the offset to go on from, in digits."""
        return Conflict(
            f"{self.received_bytes} bytes are here",
            code="wrong_offset",
            field="offset",
            accepted=str(self.received_bytes),
        )

    def check_whole(self) -> None:
        """Raise Conflict(`upload_incomplete`) while bytes are missing."""
        if self.received_bytes < self.size_bytes:
            raise Conflict(
                f"{self.size_bytes - self.received_bytes} bytes are missing",
                code="upload_incomplete",
                field="offset",
                accepted=f"the chunks from {self.received_bytes} on",
            )

    def check_idle(self, now: datetime) -> None:
        """Raise Conflict(`upload_completing`) while somebody is about to complete it."""
        if self.completing_until is not None and now < self.completing_until:
            raise Conflict(
                "this upload is being completed",
                code="upload_completing",
                field="upload",
                accepted="the same request in some seconds; the file is being looked into",
            )


def check_wish(name: str, size_bytes: int, sha256: str) -> None:
    """Raise Invalid for a file that could never be registered."""
    check_model_name(name)
    if not 0 < size_bytes <= FILE_BYTES_MAX:
        raise TooLarge("a file of this size", field="size_bytes", accepted=f"1 to {FILE_BYTES_MAX} bytes")
    if not _SHA256.fullmatch(sha256):
        raise Invalid(
            "this is no SHA-256", code="invalid_sha256", field="sha256", accepted="64 hexadecimal digits in lower case"
        )


def check_room(open_uploads: int, open_bytes: int, size_bytes: int) -> None:
    """Raise Conflict for one upload more than an account may have open; sizes in bytes."""
    if open_uploads >= OPEN_MAX or open_bytes + size_bytes > OPEN_BYTES_MAX:
        raise Conflict(
            f"{open_uploads} uploads of {open_bytes} bytes are open",
            code="too_many_uploads",
            field="size_bytes",
            accepted=f"at most {OPEN_MAX} at once, of {OPEN_BYTES_MAX} bytes together: complete or delete one",
        )


def check_digest(chunk: bytes, header: str | None) -> str:
    """SHA-256 of a chunk in hex, which is what its header (RFC 9530) says; raises Invalid(`digest_mismatch`)."""
    found = hashlib.sha256(chunk)
    match = _DIGEST.fullmatch(header or "")
    if match is None or _decoded(match[1]) != found.digest():
        raise Invalid(
            "the chunk is not what its digest says" if match else "the chunk has no digest",
            code="digest_mismatch" if match else "invalid_digest",
            field=DIGEST_HEADER,
            accepted="sha-256=:…:, the SHA-256 of the chunk in base64",
        )
    return found.hexdigest()


def digest_header(sha256_hex: str) -> str:
    """A SHA-256 as the headers of RFC 9530 write it."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256_hex)).decode()}:"


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
