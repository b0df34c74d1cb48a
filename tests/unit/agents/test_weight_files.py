"""Weights on an executor's disk: fetched once, believed by their sum only, and never more than so many bytes."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from agents.inference.weight_files import PARTIAL, STALE_S, VERIFIED_MAX, WeightFiles
from backend.domain.errors import ChecksumMismatch, Invalid
from backend.domain.federated.tasks import UPDATE_BYTES_MAX, WeightsRef


class Store:
    """Writes what it was given, and counts how often."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.fetched = 0

    def fetch(self, path: Path) -> None:
        self.fetched += 1
        path.write_bytes(self.content)


def ref(content: bytes) -> WeightsRef:
    return WeightsRef("any/key", hashlib.sha256(content).hexdigest(), len(content))


@pytest.fixture
def files(tmp_path: Path) -> WeightFiles:
    return WeightFiles(tmp_path / "weights")


def test_weights_are_fetched_once_for_all_participants_of_a_round(files: WeightFiles, tmp_path: Path) -> None:
    store = Store(b"weights")
    paths = {files.path_of(ref(b"weights"), store.fetch) for _ in range(50)}
    [path] = paths
    assert (path.read_bytes(), store.fetched) == (b"weights", 1)
    another = WeightFiles(tmp_path / "weights")
    assert another.path_of(ref(b"weights"), store.fetch) == path
    assert store.fetched == 1, "processes share a folder"


def test_other_bytes_than_announced_are_refused_and_leave_nothing(files: WeightFiles, tmp_path: Path) -> None:
    with pytest.raises(ChecksumMismatch):
        files.path_of(ref(b"weights"), Store(b"forged").fetch)
    assert list((tmp_path / "weights").iterdir()) == []


def test_a_fetch_that_fails_leaves_nothing_and_the_next_one_may_work(files: WeightFiles, tmp_path: Path) -> None:
    def cut_off(path: Path) -> None:
        path.write_bytes(b"wei")
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        files.path_of(ref(b"weights"), cut_off)
    assert list((tmp_path / "weights").iterdir()) == []
    assert files.path_of(ref(b"weights"), Store(b"weights").fetch).read_bytes() == b"weights"


def test_a_file_that_the_disk_has_changed_is_fetched_again(files: WeightFiles) -> None:
    store = Store(b"weights")
    path = files.path_of(ref(b"weights"), store.fetch)
    path.write_bytes(b"damaged")  # as many bytes
    assert files.path_of(ref(b"weights"), store.fetch).read_bytes() == b"weights"
    assert store.fetched == 2


def test_the_sum_of_a_file_that_has_not_changed_is_computed_once(
    files: WeightFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(b"weights")
    files.path_of(ref(b"weights"), store.fetch)
    monkeypatch.setattr("agents.inference.weight_files.sha256_of", lambda _: pytest.fail("summed again"))
    for _ in range(3):
        files.path_of(ref(b"weights"), store.fetch)


def test_sums_of_many_files_are_forgotten_again(files: WeightFiles) -> None:
    for number in range(VERIFIED_MAX + 5):
        content = b"%d" % number
        files.path_of(ref(content), Store(content).fetch)
    assert len(files._verified) == VERIFIED_MAX


def test_the_files_used_longest_ago_make_room(tmp_path: Path) -> None:
    files = WeightFiles(tmp_path, bytes_max=20)
    contents = [b"first 6789", b"second 789", b"third 6789"]
    first, second = (files.path_of(ref(content), Store(content).fetch) for content in contents[:2])
    os.utime(first, ns=(1, first.stat().st_mtime_ns))
    os.utime(second, ns=(2, second.stat().st_mtime_ns))
    files.path_of(ref(contents[0]), lambda _: pytest.fail("it is here"))  # which is a use of it
    third = files.path_of(ref(contents[2]), Store(contents[2]).fetch)
    assert [path.exists() for path in (first, second, third)] == [True, False, True]


def test_what_is_in_use_stays_though_it_is_larger_than_all_that_is_allowed(tmp_path: Path) -> None:
    files = WeightFiles(tmp_path, bytes_max=3)
    assert files.path_of(ref(b"weights"), Store(b"weights").fetch).read_bytes() == b"weights"


def test_weights_above_every_limit_are_not_fetched(files: WeightFiles) -> None:
    with pytest.raises(Invalid) as refused:
        files.path_of(WeightsRef("k", "0" * 64, UPDATE_BYTES_MAX + 1), lambda _: pytest.fail("fetched"))
    assert refused.value.code == "weights_too_large"


def test_a_scratch_file_goes_with_its_block_and_an_abandoned_one_with_the_next_start(tmp_path: Path) -> None:
    files = WeightFiles(tmp_path)
    with files.scratch() as path:
        path.write_bytes(b"update")
    assert not path.exists()
    abandoned, fresh = tmp_path / f"old{PARTIAL}", tmp_path / f"new{PARTIAL}"
    for left in (abandoned, fresh):
        left.write_bytes(b"left behind")
    long_ago = time.time() - STALE_S - 60
    os.utime(abandoned, (long_ago, long_ago))
    WeightFiles(tmp_path)
    assert [abandoned.exists(), fresh.exists()] == [False, True]
