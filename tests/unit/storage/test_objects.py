"""Objects by key, in a folder and in a store that is none."""

import hashlib
from pathlib import Path

import pytest

from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store."""
    return ObjectStore((tmp_path / "store").as_uri() if request.param == "folder" else f"memory://{new_id()}")


def test_every_object_is_walked_by_its_key(store: ObjectStore, tmp_path: Path) -> None:
    assert list(store.keys()) == []
    for key, content in {"models/b.onnx": b"bb", "models/a.onnx": b"a", "top": b""}.items():
        (tmp_path / "file").write_bytes(content)
        store.put_file(tmp_path / "file", key)
    store.put_file(tmp_path / "file", "models/c.onnx.part")  # as it is while somebody stores it
    assert list(store.keys()) == [("models/a.onnx", 1), ("models/b.onnx", 2), ("top", 0)]
    assert store.checksum("models/b.onnx") == hashlib.sha256(b"bb").hexdigest()
    with pytest.raises(FileNotFoundError):
        store.checksum("models/d.onnx")


def test_an_object_is_replaced_only_when_that_is_said(store: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content, replace, kept in ((b"1", False, b"1"), (b"2", False, b"1"), (b"3", True, b"3")):
        file.write_bytes(content)
        store.put_file(file, "key", replace=replace)
        assert store.checksum("key") == hashlib.sha256(kept).hexdigest()


def test_a_folder_knows_what_lies_in_it(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "store").as_uri())
    assert store.is_around(tmp_path / "store" / "models")
    assert not store.is_around(tmp_path / "elsewhere")
    assert not ObjectStore(f"memory://{tmp_path}").is_around(tmp_path / "models")
