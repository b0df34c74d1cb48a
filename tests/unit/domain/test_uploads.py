"""What may be uploaded, in which chunks, and the digests that travel with them."""

import base64
import hashlib
from dataclasses import replace

import pytest

from agents.model_cache import MODEL_BYTES_MAX
from backend.bootstrap import new_id, utc_now
from backend.domain.errors import Conflict, Invalid, SwarmexError, TooLarge
from backend.domain.ids import AccountId, UploadId
from backend.domain.uploads import (
    CHUNK_BYTES_MAX,
    CHUNKS_MAX,
    FILE_BYTES_MAX,
    KEPT,
    OPEN_BYTES_MAX,
    OPEN_MAX,
    Upload,
    check_digest,
    check_room,
    check_wish,
    digest_header,
)

NOW = utc_now()
SHA256 = "a" * 64
UPLOAD = Upload(UploadId(new_id()), AccountId(new_id()), "digits", 100, SHA256, 40, 2, NOW, NOW + KEPT)


def test_as_much_may_be_uploaded_as_a_node_fetches() -> None:
    assert FILE_BYTES_MAX == MODEL_BYTES_MAX


@pytest.mark.parametrize("size", [0, CHUNK_BYTES_MAX + 1, 61])
def test_a_chunk_has_bytes_and_belongs_to_the_file(size: int) -> None:
    UPLOAD.check_fits(60)
    with pytest.raises(TooLarge):
        UPLOAD.check_fits(size)


def test_a_file_in_crumbs_is_refused() -> None:
    with pytest.raises(Conflict) as refused:
        replace(UPLOAD, chunks=CHUNKS_MAX).check_fits(1)
    assert refused.value.code == "too_many_chunks"


def test_a_wrong_offset_is_told_the_right_one() -> None:
    refused = UPLOAD.wrong_offset()
    assert (refused.code, refused.accepted) == ("wrong_offset", "40")


def test_what_is_missing_is_told() -> None:
    replace(UPLOAD, received_bytes=100).check_whole()
    with pytest.raises(Conflict) as refused:
        UPLOAD.check_whole()
    assert (refused.value.code, refused.value.accepted) == ("upload_incomplete", "the chunks from 40 on")


def test_chunks_lie_in_a_folder_of_their_upload() -> None:
    assert UPLOAD.folder == f"uploads/{UPLOAD.id}/"


@pytest.mark.parametrize(
    ("name", "size", "sha256", "code"),
    [
        ("Not A Name", 1, SHA256, "invalid_name"),
        ("digits", 0, SHA256, "too_large"),
        ("digits", FILE_BYTES_MAX + 1, SHA256, "too_large"),
        ("digits", 1, "A" * 64, "invalid_sha256"),
        ("digits", 1, "a" * 63, "invalid_sha256"),
    ],
)
def test_a_file_that_could_never_be_registered_is_not_begun(name: str, size: int, sha256: str, code: str) -> None:
    check_wish("digits", FILE_BYTES_MAX, SHA256)
    with pytest.raises(SwarmexError) as refused:
        check_wish(name, size, sha256)
    assert refused.value.code == code


@pytest.mark.parametrize(("uploads", "bytes_open"), [(OPEN_MAX, 0), (1, OPEN_BYTES_MAX)])
def test_an_account_has_a_few_uploads_at_once(uploads: int, bytes_open: int) -> None:
    check_room(OPEN_MAX - 1, OPEN_BYTES_MAX - 1, 1)
    with pytest.raises(Conflict) as refused:
        check_room(uploads, bytes_open, 1)
    assert refused.value.code == "too_many_uploads"


def test_a_chunk_is_what_its_digest_says() -> None:
    sha256 = hashlib.sha256(b"chunk").hexdigest()
    header = digest_header(sha256)
    assert header == f"sha-256=:{base64.b64encode(hashlib.sha256(b'chunk').digest()).decode()}:"
    assert check_digest(b"chunk", header) == sha256


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "invalid_digest"),
        ("", "invalid_digest"),
        ("md5=:AAAA:", "invalid_digest"),
        (f"sha-256=:{'=' * 44}:", "digest_mismatch"),
        (digest_header(SHA256), "digest_mismatch"),
    ],
)
def test_a_chunk_without_its_digest_is_refused(header: str | None, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_digest(b"chunk", header)
    assert (refused.value.code, refused.value.field) == (code, "Content-Digest")
