"""Objects by key, in a folder and in a store that is none."""

import errno
import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend.storage.ids import new_id
from backend.storage.objects import ObjectStore
from backend.storage.store_away import StoreAway, reached


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


def test_bytes_are_stored_in_the_place_of_others_and_dropped_one_by_one_or_by_folder(store: ObjectStore) -> None:
    for content in (b"old", b"new content"):
        store.put(content, "uploads/1/0")
    store.put(b"2", "uploads/10/0")
    assert b"".join(store.chunks("uploads/1/0", 2, 5)) == b"w c"
    assert b"".join(store.chunks("uploads/1/0", 4)) == b"content"
    store.delete_folder("uploads/1/")
    store.delete_folder("uploads/1/")
    assert list(dict(store.keys())) == ["uploads/10/0"]
    store.delete("uploads/10/0")
    store.delete("uploads/10/0")
    assert list(store.keys()) == []


def test_what_fails_on_its_way_into_the_store_leaves_nothing_there(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "nothing", "key")
    assert list(store.keys()) == []
    assert not store.exists("key")


def test_a_store_that_cannot_be_used_is_told_from_an_object_that_is_not_there(tmp_path: Path) -> None:
    file, root = tmp_path / "file", tmp_path / "root"
    file.write_bytes(b"1")
    root.write_bytes(b"where a folder should be")
    store = ObjectStore(root.as_uri())
    uses: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(b"1", "key"),
        "put_file": lambda: store.put_file(file, "key"),
        "checksum": lambda: store.checksum("key"),
        "delete": lambda: store.delete("key"),
    }
    for name, use in uses.items():
        with pytest.raises(StoreAway) as refusal:
            use()
        assert (refusal.value.code, str(tmp_path) in str(refusal.value)) == ("object_store_unreachable", False), name
    root.unlink()
    for use in (lambda: store.checksum("key"), lambda: store.get_file("key", file)):
        with pytest.raises(StoreAway):  # its disk is not mounted: that is no word on any object
            use()
    store.put(b"1", "key")
    with pytest.raises(FileNotFoundError):
        store.get_file("other", tmp_path / "copy")


def test_a_store_without_room_says_so_to_whoever_stores_something() -> None:
    for storing, code in ((True, "object_store_full"), (False, "object_store_unreachable")):
        with pytest.raises(StoreAway) as refusal, reached(storing=storing):
            raise OSError(errno.ENOSPC, "No space left on device", "/a/path")
        assert (refusal.value.code, "/a/path" in str(refusal.value)) == (code, False)


def test_a_store_whose_folder_is_mounted_elsewhere_is_not_here(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "store").as_uri())
    assert not store.is_here()
    store.put(b"1", "key")
    assert store.is_here()


def test_what_killed_writers_left_behind_goes_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, now = ObjectStore((tmp_path / "store").as_uri()), datetime.now(UTC)
    store.put(b"whole", "models/kept")
    with monkeypatch.context() as killed:
        killed.setattr(type(store._files), "mv", lambda *_: None)  # writers that came no further
        store.put(b"old", "models/old")
        store.put(b"new", "models/new")
    for path in (tmp_path / "store").rglob("*"):
        when = (now - timedelta(days=0 if "new" in path.name else 2)).timestamp()
        os.utime(path, (when, when))
    assert store.drop_partials(now - timedelta(days=1)) == 1
    assert {path.name.split(".")[0] for path in (tmp_path / "store" / "models").iterdir()} == {"kept", "new"}
    assert store.drop_partials(now + timedelta(days=1)) == 1
    assert list(dict(store.keys())) == ["models/kept"]


def test_a_store_that_is_no_folder_or_is_elsewhere_has_no_partials(tmp_path: Path) -> None:
    for url in (f"memory://{new_id()}", (tmp_path / "nowhere").as_uri()):
        assert ObjectStore(url).drop_partials(datetime.now(UTC)) == 0
