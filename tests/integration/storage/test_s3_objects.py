"""The object store on S3, spoken to over HTTP."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from backend.bootstrap import utc_now
from backend.domain.preconditions import Conditions
from backend.domain.uploads import digest_header
from backend.services import model_files, model_uploads
from backend.storage.ids import new_id
from backend.storage.objects import PART_BYTES, ObjectStore
from tests.backups import make
from tests.integration.services.registering import with_key
from tests.market import Market
from tests.onnx_files import write_doubling


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where a server that speaks S3 answers."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store in a bucket of its own, found by the standard variables only."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    bucket = f"bucket-{new_id()}"
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one may know a server that has ended meanwhile
    fsspec.filesystem("s3").mkdir(bucket)
    return ObjectStore(f"s3://{bucket}/below")


def test_objects_are_put_found_summed_listed_and_dropped(store: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert list(store.keys()) == []
    for content, replace, kept in ((b"1", False, b"1"), (b"2", False, b"1"), (b"3", True, b"3")):
        file.write_bytes(content)
        store.put_file(file, "models/a", replace=replace)
        assert store.checksum("models/a") == hashlib.sha256(kept).hexdigest()
    store.put(b"part", "uploads/1/0")
    store.put(b"part of another", "uploads/10/0")
    assert store.exists("uploads/1/0")
    assert list(store.keys()) == [("models/a", 1), ("uploads/1/0", 4), ("uploads/10/0", 15)]
    store.delete_folder("uploads/1/")
    store.delete("models/a")
    store.delete("models/a")
    assert list(dict(store.keys())) == ["uploads/10/0"]
    assert not store.exists("models/a")
    assert store.is_here()
    assert not store.is_around(tmp_path)
    with pytest.raises(FileNotFoundError):
        store.chunks("models/a")
    with pytest.raises(FileNotFoundError):
        store.get_file("models/a", file)


def test_a_large_file_goes_there_in_parts_and_comes_back_in_ranges(store: ObjectStore, tmp_path: Path) -> None:
    file, back = tmp_path / "large", tmp_path / "back"
    content = b"".join(number.to_bytes(8, "big") for number in range(PART_BYTES * 3 // 8))
    file.write_bytes(content)
    store.put_file(file, "large")
    store.get_file("large", back)
    assert back.read_bytes() == content
    assert b"".join(store.chunks("large", 5, PART_BYTES + 7)) == content[5 : PART_BYTES + 7]
    assert sum(map(len, store.chunks("large"))) == len(content)


def test_a_market_whose_files_are_on_s3_takes_them_in_chunks_gives_ranges_and_is_backed_up(
    store: ObjectStore, market: Market, tmp_path: Path
) -> None:
    app, now, owner = market.app, utc_now(), with_key(market, "owner")
    app.__dict__["objects"] = store
    market.register("doubling")  # whose file this store has not had yet
    content = write_doubling(tmp_path / "new.onnx", 5.0).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    upload = model_uploads.begin_upload(app.uow(), now, owner, "new", len(content), sha256)
    for start in (0, 50):
        piece = content[start : start + 50] if start == 0 else content[start:]
        digest = digest_header(hashlib.sha256(piece).hexdigest())
        model_uploads.put_chunk(app.uow(), now, owner, store, upload.id, start, piece, digest)
    model = model_uploads.complete_upload(app.uow(), now, owner, store, upload.id)
    assert store.checksum(model.ref.uri) == sha256
    assert [key for key in dict(store.keys()) if key.startswith(upload.folder)] == []
    opened = model_files.open_file(app.uow(), store, "new", 1, Conditions(range="bytes=3-60"))
    assert b"".join(opened.pieces or ()) == content[3:61]
    manifest = make(market, tmp_path / "backup")
    assert {kept.sha256 for kept in manifest.objects.values()} == {sha256, market.model.ref.checksum}
