"""The process that trainers run in: one child with lines of JSON in and out, which can be killed at any moment."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any

LINE_BYTES_MAX = 1 << 20
END_S = 2.0  # for a process that is asked to end
END = b""  # after the last line

# What Python, the C library, number crunchers and TLS need. No keys, no passwords, none of the market's addresses.
PASSED_PREFIXES = ("CUDA_", "LC_", "MKL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON")
PASSED = {"HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "PATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # unless it says otherwise


class ProcessEnded(Exception):
    """The child is gone; `status` is as subprocess has it, negative for a signal, None where it is not known."""

    def __init__(self, status: int | None) -> None:
        super().__init__(f"the process ended with {status}")
        self.status = status


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Of this process's environment what a trainer may know."""
    passed = {name: value for name, value in own.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}
    return ONE_THREAD | passed


class TrainerProcess:
    """One child, from its start to its end. It dies with this process, however this one ends."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = child_environment(environment)
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._process: SimpleQueue[subprocess.Popen[bytes] | OSError] = SimpleQueue()
        self._reaping = Lock()
        self._reaped = False
        # The kernel tells a child of the end of the thread that made it: this one lives as long as the child.
        self._keeper = Thread(target=self._keep, name="trainer-process", daemon=True)
        self._keeper.start()
        started = self._process.get()
        if isinstance(started, OSError):
            raise ProcessEnded(None) from started
        self._child = started

    @property
    def pid(self) -> int:
        """The child's."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether it may be asked something."""
        return not self._has_ended()

    def send(self, message: Mapping[str, object]) -> None:
        """Write one line; raises ProcessEnded."""
        try:
            _pipe(self._child.stdin).write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            _pipe(self._child.stdin).flush()
        except (OSError, ValueError):
            self.kill()
            raise ProcessEnded(self._child.returncode) from None

    def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next line, None if there is none within `timeout_s`; raises ProcessEnded, also for what is no line."""
        line = self._next(timeout_s)
        if line is None and self._has_ended():  # its own children may have held the pipe open
            self._keeper.join(END_S)
            line = self._next(0) or END
        if line is None:
            return None
        if line == END:
            self.kill()
            raise ProcessEnded(self._child.returncode)
        with suppress(ValueError):
            message = json.loads(line)
            if isinstance(message, dict):
                return message
        self.kill()
        raise ProcessEnded(None)

    def kill(self) -> None:
        """End the child and its children now; returns when it is gone. For any thread, any number of times."""
        self._signal_all()
        self._keeper.join(END_S)
        with suppress(OSError):
            _pipe(self._child.stdin).close()

    def end(self) -> None:
        """Let the child end as it likes, for END_S at most."""
        with suppress(OSError):
            _pipe(self._child.stdin).close()
        self._keeper.join(END_S)
        self.kill()

    def _next(self, timeout_s: float) -> bytes | None:
        try:
            return self._lines.get(timeout=max(0.0, timeout_s))
        except Empty:
            return None

    def _keep(self) -> None:
        command = [sys.executable, "-P", "-m", "agents.trainers.child", str(os.getpid())]
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,  # so that it is killed with its own children
            )
        except OSError as error:
            self._process.put(error)
            return
        self._process.put(child)
        with _pipe(child.stdout) as answers:
            while (line := answers.readline(LINE_BYTES_MAX)).endswith(b"\n"):
                self._lines.put(line)
        with self._reaping:
            if not self._reaped:
                _kill_group(child.pid)  # while its number cannot be another's
                child.wait()
                self._reaped = True
        self._lines.put(END)

    def _signal_all(self) -> None:
        with self._reaping:
            if not self._reaped:
                _kill_group(self._child.pid)

    def _has_ended(self) -> bool:
        with self._reaping:
            if not self._reaped and self._child.poll() is not None:
                _kill_group(self._child.pid)
                self._reaped = True
            return self._reaped


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # both were asked for
    return pipe
