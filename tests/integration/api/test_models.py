"""Models over HTTP: every way of reading one, changes that are seen at once, files in chunks and in ranges."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.bootstrap import Settings, Swarmex, connect, utc_now
from backend.domain.uploads import CHUNK_BYTES_MAX, digest_header
from backend.messaging.read_cache import KEPT_S
from backend.services import model_changes
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.supply import Supply
from tests.onnx_files import request, write_doubling

MODELS = "/api/v1/models"
PIECE = 60


def digest_of(chunk: bytes) -> dict[str, str]:
    """The header that a chunk travels with."""
    return {"Content-Digest": digest_header(hashlib.sha256(chunk).hexdigest())}


def upload(client: Client, name: str, content: bytes) -> dict[str, Any]:
    """Send a file in small chunks; the version that it became."""
    wish = {"name": name, "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    begun = client.post(f"{MODELS}/uploads", json=wish)
    assert begun.status_code == 201, begun.text
    path, offset = f"{MODELS}/uploads/{begun.json()['id']}", begun.json()["offset"]
    while offset < len(content):
        chunk = content[offset : offset + PIECE]
        sent = client.put(path, params={"offset": offset}, content=chunk, headers=digest_of(chunk))
        assert sent.status_code == 200, sent.text
        offset = sent.json()["offset"]
    done = client.post(f"{path}/complete")
    assert done.status_code == 201, done.text
    found: dict[str, Any] = done.json()
    return found


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A model's file."""
    return write_doubling(tmp_path / "doubling.onnx").read_bytes()


def test_a_model_is_read_by_name_version_alias_and_id_and_changes_are_seen_at_once(
    callers: Callers, content: bytes, tmp_path: Path
) -> None:
    provider, user = callers.provider, callers.user
    first = upload(provider, "mine", content)
    upload(provider, "mine", write_doubling(tmp_path / "b.onnx", 3.0).read_bytes())
    ways = (
        f"{MODELS}/mine@best",
        f"{MODELS}/mine/versions/1",
        f"{MODELS}/mine?version=1",
        f"{MODELS}/by-id/{first['id']}",
    )
    assert user.get(f"{MODELS}/mine").json()["version"] == 2
    assert problem(user.get(ways[0]))[:2] == (404, "unknown_model_alias")
    assert provider.put(f"{MODELS}/mine/aliases/best", json={"version": 1}).json()["aliases"] == ["best"]
    for _ in range(2):
        assert len({user.get(way).text for way in ways}) == 1
    told = {"description": "doubles", "tags": {"team": "maths"}}
    changed = provider.post(f"{MODELS}/mine/versions/1", json=told).json()
    assert changed | told == changed
    assert all(user.get(way).json() == changed for way in ways)
    assert provider.post(f"{MODELS}/mine/versions/1/stage", json={"stage": "staging"}).json()["stage"] == "staging"
    assert all(user.get(way).json()["stage"] == "staging" for way in ways)
    assert provider.delete(f"{MODELS}/mine/aliases/best").status_code == 204
    assert provider.delete(f"{MODELS}/mine/versions/1").json()["deleted_at"]
    assert [user.get(way).status_code for way in ways] == [404, 404, 404, 200]
    assert provider.post(f"{MODELS}/mine/versions/1/restore").json()["deleted_at"] is None
    assert user.get(ways[1]).status_code == 200


def test_versions_are_listed_by_filters_in_pages(callers: Callers, content: bytes) -> None:
    provider = callers.provider
    for name in ("mine-a", "mine-b", "other"):
        upload(provider, name, content)
    provider.post(f"{MODELS}/mine-b/versions/1", json={"tags": {"team": "maths"}})

    def names(**params: Any) -> list[str]:
        return [model["name"] for model in callers.user.get(MODELS, params=params).json()["models"]]

    assert names() == ["other", "mine-b", "mine-a", "scale"]
    assert names(prefix="mine") == ["mine-b", "mine-a"]
    assert names(tag="team=maths", stage="none", datatype="FP32", format="onnx", search="maths") == ["mine-b"]
    page = callers.user.get(MODELS, params={"limit": 3}).json()
    assert names(before=page["next_before"]) == ["scale"]
    assert callers.user.get(MODELS, params={"limit": 50}).json()["next_before"] is None
    assert problem(callers.user.get(MODELS, params={"stage": "live"})) == (422, "invalid_stage", "stage")
    assert problem(callers.user.get(MODELS, params={"sort": "name"}))[:2] == (422, "unknown_parameter")


def test_a_file_is_downloaded_whole_and_in_ranges(callers: Callers, content: bytes) -> None:
    model = upload(callers.provider, "mine", content)
    path = f"{MODELS}/mine/versions/1/file"
    whole = callers.user.get(path)
    assert (whole.status_code, whole.content) == (200, content)
    etag = f'"{model["checksum"]}"'
    told = {name: whole.headers[name] for name in ("ETag", "Accept-Ranges", "Content-Length", "Repr-Digest")}
    digest = digest_header(hashlib.sha256(content).hexdigest())
    assert list(told.values()) == [etag, "bytes", str(len(content)), digest]
    part = callers.user.get(path, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(content)}"
    assert callers.user.get(path, headers={"Range": "bytes=-5"}).content == content[-5:]
    assert callers.user.get(path, headers={"Range": "bytes=10-19", "If-Range": '"old"'}).content == content
    beyond = callers.user.get(path, headers={"Range": f"bytes={len(content)}-"})
    assert problem(beyond) == (416, "range_not_satisfiable", "Range")
    assert beyond.headers["Content-Range"] == f"bytes */{len(content)}"
    assert problem(callers.user.get(f"{MODELS}/mine/versions/2/file"))[:2] == (404, "unknown_model_version")
    assert problem(callers.user.get(f"{MODELS}/mine/versions/x/file"))[:2] == (404, "unknown_model_version")


def test_a_file_that_the_client_has_is_not_sent_again(callers: Callers, content: bytes) -> None:
    etag = f'"{upload(callers.provider, "mine", content)["checksum"]}"'
    path = f"{MODELS}/mine/versions/1/file"
    for known in (etag, f"W/{etag}", f'"old", {etag}', "*"):
        same = callers.user.get(path, headers={"If-None-Match": known, "Range": "bytes=10-19"})
        assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", etag)
    assert callers.user.get(path, headers={"If-None-Match": '"old"'}).content == content
    for wanted in (etag, f'"old", {etag}', "*"):
        part = callers.user.get(path, headers={"If-Match": wanted, "Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
    twice = callers.user.get(path, headers=[("If-Match", '"old"'), ("If-Match", etag), ("If-None-Match", '"old"')])
    assert twice.content == content
    for other in ('"old"', f"W/{etag}"):
        refused = callers.user.get(path, headers={"If-Match": other, "If-None-Match": etag})
        assert problem(refused) == (412, "precondition_failed", "If-Match")


def test_a_lost_file_is_told_as_such(callers: Callers, market: Swarmex, content: bytes) -> None:
    upload(callers.provider, "mine", content)
    market.objects.delete(f"models/{hashlib.sha256(content).hexdigest()}.onnx")
    assert problem(callers.user.get(f"{MODELS}/mine/versions/1/file"))[:2] == (404, "unknown_model_file")


def test_chunks_that_are_wrong_are_refused_with_what_would_be_right(callers: Callers, content: bytes) -> None:
    provider = callers.provider
    wish = {"name": "mine", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    begun = provider.post(f"{MODELS}/uploads", json=wish).json()
    path = f"{MODELS}/uploads/{begun['id']}"
    chunk = content[:PIECE]
    assert problem(provider.put(path, content=chunk)) == (422, "invalid_digest", "Content-Digest")
    assert problem(provider.put(path, content=chunk, headers=digest_of(b""))) == (
        422,
        "digest_mismatch",
        "Content-Digest",
    )
    early = provider.put(path, params={"offset": PIECE}, content=chunk, headers=digest_of(chunk))
    assert problem(early) == (409, "wrong_offset", "offset")
    assert early.json()["error"]["accepted"] == "0"
    huge = b"x" * (CHUNK_BYTES_MAX + 1)
    assert problem(provider.put(path, content=huge, headers=digest_of(huge)))[:2] == (413, "too_large")
    for _ in range(2):
        assert provider.put(path, content=chunk, headers=digest_of(chunk)).json()["offset"] == PIECE
    assert (
        provider.get(path).json()["offset"] == provider.post(f"{MODELS}/uploads", json=wish).json()["offset"] == PIECE
    )
    assert problem(provider.post(f"{path}/complete"))[:2] == (409, "upload_incomplete")
    assert problem(callers.user.get(path))[:2] == (403, "forbidden")
    assert provider.delete(path).status_code == 204
    assert problem(provider.get(path))[:2] == (404, "unknown_upload")


def test_a_file_that_is_no_model_is_refused_and_not_kept(callers: Callers, market: Swarmex) -> None:
    before = dict(market.objects.keys())
    content = json.dumps({"not": "a model"}).encode()
    wish = {"name": "mine", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path = f"{MODELS}/uploads/{callers.provider.post(f'{MODELS}/uploads', json=wish).json()['id']}"
    callers.provider.put(path, content=content, headers=digest_of(content))
    refused = callers.provider.post(f"{path}/complete")
    assert problem(refused) == (422, "invalid_model_file", "file")
    assert refused.json()["error"]["message"].startswith("the file cannot be served"), "not by a name it has here"
    assert dict(market.objects.keys()) == before
    assert problem(callers.user.get(f"{MODELS}/mine"))[:2] == (404, "unknown_model")


def test_somebody_elses_name_is_not_taken(callers: Callers, content: bytes) -> None:
    wish = {"name": "scale", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert problem(callers.provider.post(f"{MODELS}/uploads", json=wish)) == (403, "not_the_owner", "name")
    assert problem(callers.provider.delete(f"{MODELS}/scale/versions/1"))[:2] == (403, "not_the_owner")
    assert callers.admin.post(f"{MODELS}/scale/versions/1", json={"description": "the first"}).status_code == 200


def test_an_alias_is_usable_where_inference_and_orders_name_a_model(
    callers: Callers, supply: Supply, content: bytes
) -> None:
    upload(callers.provider, "mine", content)
    callers.provider.put(f"{MODELS}/mine/aliases/best", json={"version": 1})
    shown = callers.user.get("/v2/models/mine@best").json()
    assert (shown["name"], shown["versions"]) == ("mine", ["1"])
    body = {"workload": "inference", "model": "mine@best", "tier": "large", "requests": [request((1.0, 2.0))]}
    placed = callers.user.post("/api/v1/orders", json=body)
    assert placed.status_code == 201, placed.text
    wrong = callers.user.post("/api/v1/orders", json={**body, "model_version": 1})
    assert problem(wrong) == (422, "alias_and_version", "model")


@pytest.fixture
def without_cache(market: Swarmex, tmp_path: Path) -> Iterator[Swarmex]:
    """The same deployment, whose Redis is nowhere."""
    nowhere = "redis://127.0.0.1:1/0"
    settings = Settings(**{**market.settings.model_dump(), "redis_url": nowhere})
    wired = connect(settings)
    yield wired
    wired.close()


def test_a_model_that_was_changed_behind_the_cache_is_not_shown_for_long_when_redis_was_away(
    callers: Callers, market: Swarmex, without_cache: Swarmex
) -> None:
    assert callers.user.get(f"{MODELS}/scale").json()["description"] == ""
    model_changes.describe(without_cache.uow(), utc_now(), None, "scale", 1, "said without Redis")
    client = market.model_cache._redis
    [key] = list(client.scan_iter("*:models:scale"))
    assert 0 < client.ttl(key) <= KEPT_S, "until then the old answer may be shown"
    client.delete(key)  # as it is once that is over
    assert callers.user.get(f"{MODELS}/scale").json()["description"] == "said without Redis"
