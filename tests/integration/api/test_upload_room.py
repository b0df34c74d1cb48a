"""Whoever has no room for a file is told so before it is sent, and no disk is filled for it."""

import hashlib
import http.client
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from backend.bootstrap import Swarmex
from backend.domain.uploads import digest_header
from backend.services import scratch
from tests.integration.api.callers import TIMEOUT_S, Callers, Client, problem
from tests.onnx_files import write_doubling

FORM = {"purpose": "batch"}
MODEL_FILE = "/api/v1/models/scale/versions/1/file"
CONTENT = b'{"custom_id": "a"}\n'


def announced(url: str, client: Client, size_bytes: int) -> tuple[int, str]:
    """Status and body of the answer to an upload that is announced, and of which not a byte is sent."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
    connection.putrequest("POST", "/v1/files")
    connection.putheader("Authorization", f"Bearer {client.key.secret}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=x")
    connection.putheader("Content-Length", str(size_bytes))
    connection.endheaders()
    answer = connection.getresponse()
    told = answer.status, answer.read().decode()
    connection.close()
    return told


def test_an_account_without_room_is_told_before_the_file_is_sent(
    callers: Callers, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.domain.files.ACCOUNT_BYTES_MAX", 1 << 20)
    status, told = announced(url, callers.user, 100 << 20)
    assert (status, "too_many_bytes" in told) == (413, True)
    monkeypatch.setattr("backend.domain.files.FILES_PER_ACCOUNT_MAX", 0)
    status, told = announced(url, callers.user, 1_000)
    assert (status, "too_many_files" in told) == (413, True)


def test_a_full_disk_is_not_filled_further(callers: Callers, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(scratch, "RESERVE_BYTES", 1 << 60)
        full.setattr(scratch, "RESERVE_PARTS", 1)  # all of the disk is for others
        status, told = announced(url, callers.user, 1 << 20)
    assert (status, "temporary_disk_full" in told) == (503, True)
    sent = callers.user.post("/v1/files", data=FORM, files={"file": ("a.jsonl", CONTENT)})
    assert sent.status_code == 200, sent.text


def test_while_the_store_cannot_be_used_everything_about_files_may_be_tried_again(
    market: Swarmex, callers: Callers, tmp_path: Path
) -> None:
    def sent() -> httpx.Response:
        return callers.user.post("/v1/files", data=FORM, files={"file": ("a.jsonl", CONTENT)})

    kept = sent().json()["id"]
    model = callers.provider.get(MODEL_FILE).content
    store = tmp_path / "data" / "objects"
    store.rename(tmp_path / "aside")
    store.write_bytes(b"where a folder should be")
    for refused in (sent(), callers.user.get(f"/v1/files/{kept}/content"), callers.provider.get(MODEL_FILE)):
        code = refused.json()["error"]["code"]
        assert (refused.status_code, code, refused.headers["Retry-After"]) == (503, "object_store_unreachable", "1")
        assert str(tmp_path) not in refused.text
    store.unlink()
    (tmp_path / "aside").rename(store)
    assert callers.user.get(f"/v1/files/{kept}/content").content == CONTENT
    assert callers.provider.get(MODEL_FILE).content == model
    listed = callers.user.get("/v1/files").json()["data"]
    assert [file["id"] for file in listed] == [kept], "of the refused upload nothing is left"
    assert sent().status_code == 200


def test_a_model_waits_for_room_and_none_of_its_chunks_is_lost(
    callers: Callers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = write_doubling(tmp_path / "m.onnx", 3.0).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    wish = {"name": "sent", "size_bytes": len(content), "sha256": sha256}
    upload = callers.provider.post("/api/v1/models/uploads", json=wish).json()["id"]
    headers = {"Content-Digest": digest_header(sha256)}
    sent = callers.provider.put(f"/api/v1/models/uploads/{upload}", content=content, headers=headers)
    assert sent.json()["offset"] == len(content)
    with monkeypatch.context() as full:
        full.setattr(scratch, "RESERVE_BYTES", 1 << 60)
        full.setattr(scratch, "RESERVE_PARTS", 1)  # all of the disk is for others
        refused = callers.provider.post(f"/api/v1/models/uploads/{upload}/complete")
    assert problem(refused) == (503, "temporary_disk_full", None)
    assert callers.provider.post(f"/api/v1/models/uploads/{upload}/complete").status_code == 201


def test_a_file_that_was_begun_with_another_size_is_told_so(callers: Callers) -> None:
    wish = {"name": "sent", "size_bytes": 10, "sha256": "0" * 64}
    begun = callers.provider.post("/api/v1/models/uploads", json=wish)
    assert callers.provider.post("/api/v1/models/uploads", json=wish).json()["id"] == begun.json()["id"]
    other = callers.provider.post("/api/v1/models/uploads", json=wish | {"size_bytes": 11})
    assert problem(other) == (409, "upload_of_other_size", "size_bytes")
    assert other.json()["error"]["accepted"].startswith("10, or delete upload")


def test_what_is_promised_to_some_is_not_promised_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    monkeypatch.setattr(scratch, "RESERVE_BYTES", 0)
    half = free * 2 // 3
    with scratch.folder(half, "a") as one:
        assert one.is_dir()
        with pytest.raises(scratch.DiskFull), scratch.folder(half, "b"):
            pass
    assert not one.exists()
    with scratch.folder(half, "b"):
        pass


def test_who_uploads_much_at_once_waits_for_their_own_and_keeps_room_from_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scratch, "OWNER_BYTES_MAX", 100)
    with scratch.folder(60, "a"):
        with pytest.raises(scratch.DiskFull, match="too much at once"), scratch.folder(60, "a"):
            pass
        with scratch.folder(60, "b"), scratch.folder(40, "a"):
            pass
    with scratch.folder(200, "a"):  # one file may be larger
        pass
