"""Temporary folders, and those of processes that were killed."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from backend.storage import temporary
from backend.storage.temporary import ORPHAN_AGE_S

HOLDER = """
import time
from backend.storage import temporary
with temporary.folder() as folder:
    (folder / "secret").write_text("a password")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def held() -> tuple[subprocess.Popen[str], Path]:
    """A process that uses a folder, which looks as old as one that was left behind."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    folder = Path(process.stdout.readline().strip())
    age(folder)
    return process, folder


def age(folder: Path) -> None:
    before = folder.stat().st_mtime - 2 * ORPHAN_AGE_S
    os.utime(folder, (before, before))


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_folder_is_private_and_goes_with_its_block() -> None:
    with temporary.folder() as folder:
        (folder / "file").touch()
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_a_folder_goes_with_a_block_that_fails_too(place: Path) -> None:
    with pytest.raises(OSError, match="the disk is full"), temporary.folder():
        raise OSError("the disk is full")
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_goes_with_the_first_folder_of_the_next() -> None:
    process, folder = held()
    kill(process)
    assert (folder / "secret").exists()
    age(folder)
    subprocess.run([sys.executable, "-c", HOLDER.replace("600", "0")], check=True, stdout=subprocess.DEVNULL)
    assert not folder.exists()


def test_what_is_in_use_just_made_or_of_somebody_else_stays(place: Path) -> None:
    process, folder = held()
    try:
        fresh = place / f"{temporary.PREFIX}fresh"
        fresh.mkdir()
        other = place / "swarmex-other"
        other.mkdir()
        linked = place / f"{temporary.PREFIX}linked"
        linked.symlink_to(other)
        for path in (other, fresh):
            (path / "file").touch()
        age(other)
        os.utime(linked, (0, 0), follow_symlinks=False)
        assert temporary.sweep() == 0
        assert (folder / "secret").exists()
        assert (fresh / "file").exists()
        assert (other / "file").exists()
        age(fresh)
        assert temporary.sweep() == 1
        assert not fresh.exists()
    finally:
        kill(process)
