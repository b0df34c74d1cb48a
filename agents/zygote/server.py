"""The zygote's side: waits for births, forks, tells who ended how, and ends when its owner does."""

import os
import selectors
import signal
import socket
import sys
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import structlog
from setproctitle import setproctitle

from agents.leaving import leave
from agents.zygote.birth import MESSAGE_BYTES_MAX, Birth

REQUEST_TIMEOUT_S = 1.0
WAKE_BYTES = 512

log = structlog.get_logger(__name__)


class Server:
    """Forks a process a connection, and keeps the connection until that process has ended.

    One thread, so that a fork finds no lock held. `lifeline` can be read once the owner is gone.
    """

    def __init__(self, listener: socket.socket, lifeline: int) -> None:
        self._listener = listener
        self._lifeline = lifeline
        self._waiting: dict[int, socket.socket] = {}  # for the end of the process of this number
        self._woken, self._waker = os.pipe()

    def serve(self) -> None:
        """Fork until the owner is gone; what was forked lives on."""
        for descriptor in (self._woken, self._waker):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)
        with selectors.DefaultSelector() as selector:
            for source in (self._listener.fileno(), self._lifeline, self._woken):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._lifeline in ready:
                    self._remove_socket()
                    return
                if self._woken in ready:
                    os.read(self._woken, WAKE_BYTES)
                    self._collect()
                if self._listener.fileno() in ready:
                    self._accept(selector)

    def _accept(self, selector: selectors.BaseSelector) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(REQUEST_TIMEOUT_S)
        outputs: list[int] = []
        try:
            message, outputs, _, _ = socket.recv_fds(connection, MESSAGE_BYTES_MAX, 1)
            birth, (output,) = Birth.of(message), outputs
            pid = self._fork(birth, output, [connection, selector])
            self._waiting[pid] = connection
            connection.send(b"%d" % pid)
        except (OSError, ValueError, TypeError) as error:
            log.warning("zygote.refused", error=str(error))
            connection.close()
        finally:
            for output in outputs:
                os.close(output)

    def _fork(self, birth: Birth, output: int, open_here: "list[socket.socket | selectors.BaseSelector]") -> int:
        """The child's number, once it leads its session and shows its title; raises OSError if it did not get there."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            for resource in (self._listener, *self._waiting.values(), *open_here):
                resource.close()
            os.close(self._woken)
            os.close(self._waker)
            _live(birth, output, write)
        os.close(write)
        try:
            if not os.read(read, 1):
                raise OSError("it ended at once")
        finally:
            os.close(read)
        return pid

    def _collect(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                connection = self._waiting.pop(pid, None)
                if connection is not None:
                    with suppress(OSError), connection:  # the owner may not want to know any more
                        connection.send(b"%d" % os.waitstatus_to_exitcode(status))

    def _remove_socket(self) -> None:
        path = Path(self._listener.getsockname())
        with suppress(OSError):
            path.unlink()
            path.parent.rmdir()


def _live(birth: Birth, output: int, told: int) -> NoReturn:
    """What a forked process does, from the first to the last."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        os.close(nothing)
        os.close(output)
        os.environ.clear()
        os.environ.update(birth.environment)
        setproctitle(birth.title)
        sys.argv = [birth.module, *birth.arguments]
        os.write(told, b".")
        os.close(told)
        code = import_module(birth.module).main() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)
