"""The owner's side: starts a zygote when one is first needed, and asks it for processes."""

import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from agents.zygote.birth import TITLE_BYTES_MAX, Birth

SHARED = "SWARMEX_ZYGOTE"  # the socket of one that somebody else keeps
ROOM = "SWARMEX_TITLE_ROOM"  # titles are written over the first environment, so that has to be long enough
ROOT = Path(__file__).parent.parent.parent
BACKLOG = 128
ANSWER_TIMEOUT_S = 60.0  # that a small, busy machine may take to import everything
REPLY_BYTES = 32


class Child:
    """A process that a zygote forked: its number, and its exit code once it has ended."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self._connection = connection
        self.ended = False
        self.code: int | None = None  # negative for a signal; None while it runs, or if nobody knows

    def poll(self) -> bool:
        """Whether no more is to be heard of it: it has ended, or its zygote has."""
        return self.ended or self._hear(0.0)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, negative for a signal, None if nobody knows; raises TimeoutError while it runs."""
        if not (self.ended or self._hear(timeout_s)):
            raise TimeoutError(f"process {self.pid} runs on after {timeout_s} s")
        return self.code

    def _hear(self, timeout_s: float) -> bool:
        self._connection.settimeout(timeout_s)
        try:
            message = self._connection.recv(REPLY_BYTES)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError:
            message = b""
        self._connection.close()
        self.ended, self.code = True, int(message) if message else None
        return True


class Zygote:
    """A zygote of this process's, which ends with it, or one that others keep and `SWARMEX_ZYGOTE` names."""

    def __init__(self, environment: Mapping[str, str], shared: str | None = None) -> None:
        self._environment = environment
        self._shared = shared
        self._process: subprocess.Popen[bytes] | None = None
        self._address = ""

    def warm(self) -> str:
        """Start it unless it runs, without waiting until it is ready; its socket's address."""
        if self._shared:
            return self._shared
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        return self._address

    def fork(self, birth: Birth, output: int) -> Child:
        """A process as `birth` has it, in a session of its own, that writes to `output`; raises OSError."""
        message = birth.message()
        try:
            connection = self._connected()
        except ConnectionRefusedError:  # it has just died
            self.close()
            connection = self._connected()
        try:
            socket.send_fds(connection, [message], [output])
            reply = connection.recv(REPLY_BYTES)
            if not reply:
                raise OSError(f"the zygote did not start {birth.module}")
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                self.close()  # the next one may be better
            raise
        return Child(int(reply), connection)

    def close(self) -> None:
        """End a zygote of our own; what it forked lives on."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
            shutil.rmtree(Path(self._address).parent, ignore_errors=True)

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(ANSWER_TIMEOUT_S)
            connection.connect(self.warm())
        except BaseException:
            connection.close()
            raise
        return connection

    def _start(self) -> None:
        """Its socket is there before it is: who asks too early waits."""
        self._address = str(Path(tempfile.mkdtemp(prefix="swarmex-zygote-")) / "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self._address)
            listener.listen(BACKLOG)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agents.zygote", str(listener.fileno())],
                env={**self._environment, ROOM: " " * TITLE_BYTES_MAX},
                cwd=ROOT,
                stdin=subprocess.PIPE,  # which closes when we end, however we do
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
