"""A room of its own on the network (Linux namespace), with one cable to this machine that can be pulled."""

import os
import shutil
import subprocess
from types import TracebackType
from typing import Self

COMMAND_TIMEOUT_S = 60.0
NET = "10.213.77"  # of nobody's; the cable has one end here and one in the room


def possible() -> bool:
    """Whether this machine lets us make one: Linux, root, iproute2."""
    return shutil.which("ip") is not None and os.geteuid() == 0


class Room:
    """Up from entering to leaving."""

    def __init__(self, name: str) -> None:
        self.name = f"chaos-{name}"
        self._near, self._far = f"cn{name}"[:15], f"cf{name}"[:15]
        self.host = f"{NET}.1"

    def __enter__(self) -> Self:
        try:
            _ip("netns", "add", self.name)
            _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
            _ip("addr", "add", f"{self.host}/30", "dev", self._near)
            _ip("-n", self.name, "addr", "add", f"{NET}.2/30", "dev", self._far)
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "set", self._far, "up")
            self.plug()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def command(self, *words: str) -> list[str]:
        """How to run a command inside."""
        return ["ip", "netns", "exec", self.name, *words]

    def unplug(self) -> None:
        """Pull the cable: nothing is refused, nothing answers, and what is on its way is lost."""
        _ip("link", "set", self._near, "down")

    def plug(self) -> None:
        """Put it back."""
        _ip("link", "set", self._near, "up")

    def _remove(self) -> None:
        for words in (("link", "del", self._near), ("netns", "del", self.name)):
            subprocess.run(["ip", *words], check=False, capture_output=True, timeout=COMMAND_TIMEOUT_S)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
