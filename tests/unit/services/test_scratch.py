"""Room for temporary files."""

import shutil
from collections import namedtuple

import pytest

from backend.services import scratch
from backend.services.scratch import RESERVE_BYTES, RESERVE_PARTS, DiskFull

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("total", [RESERVE_BYTES, 100 * RESERVE_BYTES])
def test_a_disk_keeps_its_reserve_and_a_small_one_not_all_of_itself(
    total: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total, 0, total))
    room = total - min(RESERVE_BYTES, total // RESERVE_PARTS)
    with scratch.folder(room, "somebody"):
        pass
    with pytest.raises(DiskFull), scratch.folder(room + 1, "somebody"):
        pass
