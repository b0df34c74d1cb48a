"""The process that agents are forked from: what it forks, what it survives, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.zygote import client
from agents.zygote.birth import TITLE_BYTES_MAX, Birth
from agents.zygote.client import Child, Zygote
from tests.integration.agents.processes import alive
from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[3]
ODD = "tests.integration.agents.odd_member"
OWNER = """
import os, sys, time
from agents.zygote.birth import Birth
from agents.zygote.client import Zygote
zygote = Zygote(dict(os.environ))
child = zygote.fork(Birth(sys.argv[1], (), {}, "of an owner"), 1)
print("owner of", child.pid, "at", zygote.warm(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    zygote = Zygote(dict(os.environ))
    yield zygote
    zygote.close()


def fork(zygote: Zygote, log: Path, module: str = ODD, title: str = "of a test", **environment: str) -> Child:
    with log.open("ab") as output:
        return zygote.fork(Birth(module, ("one", "two"), environment, title), output.fileno())


def zygote_of(child: Child) -> psutil.Process:
    parent = psutil.Process(child.pid).parent()
    assert parent is not None
    return parent


def test_what_it_forks_knows_what_it_is_told_and_no_more(zygote: Zygote, tmp_path: Path) -> None:
    child = fork(zygote, tmp_path / "log", ONLY="this")
    until(lambda: "has ONLY" in (tmp_path / "log").read_text(), "it has begun")
    assert (tmp_path / "log").read_text() == "up one two\nhas ONLY\n"
    shown = Path(f"/proc/{child.pid}")
    assert (shown / "cmdline").read_bytes().rstrip(b"\0") == b"of a test"
    assert sorted(path.name for path in (shown / "fd").iterdir()) == ["0", "1", "2"]
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(PATIENCE_S) == -signal.SIGKILL


@pytest.mark.parametrize(("module", "code", "said"), [("tests.nothing", 1, "ModuleNotFoundError"), ("math", 1, "main")])
def test_what_cannot_run_ends_with_the_reason_in_its_output(
    zygote: Zygote, tmp_path: Path, module: str, code: int, said: str
) -> None:
    assert fork(zygote, tmp_path / "log", module).wait(PATIENCE_S) == code
    assert said in (tmp_path / "log").read_text()


def test_an_agents_exit_code_for_bad_usage_is_its_own(zygote: Zygote, tmp_path: Path) -> None:
    assert fork(zygote, tmp_path / "log", "agents.__main__").wait(PATIENCE_S) == 2
    assert "usage: python -m agents" in (tmp_path / "log").read_text()


def test_what_was_forked_outlives_a_zygote_that_is_killed_and_the_next_comes_from_another(
    zygote: Zygote, tmp_path: Path
) -> None:
    first = fork(zygote, tmp_path / "log")
    zygote_of(first).kill()
    assert first.wait(PATIENCE_S) is None  # nobody can know
    assert alive(first.pid)
    second = fork(zygote, tmp_path / "log")
    assert zygote_of(second).ppid() == os.getpid()
    for child in (first, second):
        os.kill(child.pid, signal.SIGKILL)


def test_it_ends_with_its_owner_however_that_ends_and_leaves_no_socket_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, ODD], cwd=ROOT, stdout=(tmp_path / "log").open("wb"), stdin=subprocess.DEVNULL
    ) as owner:
        until(lambda: "owner of" in (tmp_path / "log").read_text(), "it has forked")
        words = (tmp_path / "log").read_text().split("owner of ")[1].split()
        child, address = int(words[0]), Path(words[2])
        zygote = psutil.Process(child).ppid()
        assert address.is_socket()
        assert address.parent.stat().st_mode & 0o077 == 0
        owner.kill()
    until(lambda: not alive(zygote) and not address.parent.exists(), "the zygote has ended")
    assert alive(child)
    os.kill(child, signal.SIGKILL)


def test_a_message_that_is_none_is_refused_and_the_zygote_lives_on(zygote: Zygote, tmp_path: Path) -> None:
    for message in (b"", b"{", b"[1]", b"\xff" * 9, b'["m", [], 7, "t"]', b'["m", [], {}, "t"]'):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as other:
            other.settimeout(PATIENCE_S)
            other.connect(zygote.warm())
            other.send(message)
            assert other.recv(client.REPLY_BYTES) == b""
    os.kill(fork(zygote, tmp_path / "log").pid, signal.SIGKILL)


def test_more_than_a_title_or_a_message_holds_is_refused_before_anything_is_sent(
    zygote: Zygote, tmp_path: Path
) -> None:
    with pytest.raises(OSError, match="too much"):
        fork(zygote, tmp_path / "log", title="é" * (TITLE_BYTES_MAX // 2 + 1))
    with pytest.raises(OSError, match="too much"):
        fork(zygote, tmp_path / "log", MUCH="x" * 200_000)
    assert zygote._process is None


def test_siblings_draw_other_ids_and_other_dice(zygote: Zygote, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert fork(zygote, tmp_path / name, "tests.integration.agents.drawing").wait(PATIENCE_S) == 0
    first, second = ((tmp_path / name).read_text().split() for name in ("one", "two"))
    assert len(first) == len(second) == len(set(first + second)) / 2
