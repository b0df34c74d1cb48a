"""What is shown on a terminal until Ctrl-C: incidents as they come, the swarm as it works, a log as it grows."""

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fcntl import ioctl
from struct import pack
from termios import TIOCSWINSZ

from backend.bootstrap import new_id, utc_now
from backend.domain.ids import AgentId
from backend.domain.observations import BreakerSeen
from backend.domain.work import AgentBeat
from backend.services import fleet, incidents
from tests.integration.cli.runner import Cli
from tests.market import Market
from tests.waiting import PATIENCE_S

INTERRUPTED = 130


class Terminal:
    """A verb on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._ours, inside = pty.openpty()
        ioctl(inside, TIOCSWINSZ, pack("HHHH", 40, 160, 0, 0))
        command = [sys.executable, "-m", "backend.cli", *arguments]
        self.process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside)
        os.close(inside)
        self.seen = ""

    def shows(self, text: str) -> bool:
        """Whether that is shown in time."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self._ours], [], [], 0.1)[0]:
                with suppress(OSError):
                    self.seen += os.read(self._ours, 1 << 16).decode(errors="replace")
        return text in self.seen

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def interrupt(self) -> int:
        """Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


@contextmanager
def showing(*arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(*arguments)
    try:
        yield terminal
    finally:
        terminal.close()


def test_incidents_are_shown_as_they_come(cli: Cli, market: Market) -> None:
    with showing("alerts", "list", "--watch") as terminal:
        assert terminal.shows("none")
        incidents.watch(market.app.uow(), utc_now(), [BreakerSeen("node:10.0.0.7", True)])
        assert terminal.shows("calls to node:10.0.0.7 are refused")
        assert terminal.interrupt() == INTERRUPTED
        assert "Traceback" not in terminal.seen


def test_the_swarm_is_shown_as_it_works(cli: Cli, market: Market) -> None:
    agent, ended = AgentId(new_id()), threading.Event()

    def work() -> None:
        done = 0
        while not ended.wait(0.2):
            done += 1
            sign = AgentBeat(agent, "pricing", "pricing-0", "host", 1, work_done=done)
            fleet.beat(market.app.uow(), utc_now(), sign)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        with showing("agents", "top") as terminal:
            assert terminal.shows("pricing-0")
            assert terminal.shows("healthy")
            assert terminal.interrupt() == INTERRUPTED
            assert "Traceback" not in terminal.seen
    finally:
        ended.set()
        worker.join()


def test_a_log_is_followed(cli: Cli, market: Market) -> None:
    folder = market.app.folder / "logs"
    folder.mkdir(parents=True)
    path = folder / "pricing-0.log"
    path.write_text("begun\n")
    with showing("agents", "logs", "pricing-0", "--follow") as terminal:
        assert terminal.shows("begun")
        with path.open("a") as file:
            file.write("went on\n")
        assert terminal.shows("went on")
        assert terminal.interrupt() == INTERRUPTED
