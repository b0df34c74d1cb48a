"""Start a server that outlives us, recognise it later, wait for it, and end it; never another process."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from backend.embedded.account import Account
from backend.embedded.failure import EmbeddedServerFailed, tail

POLL_S = 0.01
LOG_BYTES_MAX = 10_000_000  # a larger log is set aside when its server is started

# The shell leaves the server to init, so that it never is our zombie; it tells its pid on stdout, which the
# server does not keep. POSIX gives a background command an empty stdin unless it is redirected: hence 3.
DETACH = 'exec 3<&0; "$@" <&3 3<&- >&2 & echo $!'


def launch(
    command: Sequence[str | Path], account: Account, log: IO[bytes], stdin: int | IO[bytes]
) -> psutil.Process | None:
    """Start `command` as a daemon that writes to `log`; None if it has ended already. Raises OSError."""
    done = account.run(["/bin/sh", "-c", DETACH, "sh", *command], stdin=stdin, stderr=log)
    try:
        return psutil.Process(int(done.stdout))
    except (ValueError, psutil.NoSuchProcess):
        return None


def open_log(path: Path) -> IO[bytes]:
    """Open a server's log to append to, readable by its owner only; sets an overlong one aside."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def recognise(pid_file: Path, marker: str) -> psutil.Process | None:
    """The living process that `pid_file` names on its first line, if `marker` is a word of its command line.

    The command line is used because it is all that a root without CAP_SYS_PTRACE (as in a container) may see.
    """
    try:
        process = psutil.Process(int(pid_file.read_text().splitlines()[0]))
        return process if is_alive(process) and shows(process, marker) else None
    except (OSError, ValueError, IndexError, OverflowError, psutil.Error):
        return None


def showing(marker: str) -> list[psutil.Process]:
    """All processes with `marker` as a word in their command line or title; slow, as it looks at every process."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if shows(process, marker):
                found.append(process)
    return found


def shows(process: psutil.Process, marker: str) -> bool:
    """True if `marker` occurs as a word in the command line (or the title) of `process`."""
    return f" {marker} " in f" {' '.join(process.cmdline())} "


def is_alive(process: psutil.Process | None) -> bool:
    """False for a process that has ended, also if nobody has collected it."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def await_true(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll `condition` until it holds; False if it does not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def end(processes: Sequence[psutil.Process], steps: Sequence[tuple[signal.Signals, float]]) -> bool:
    """Send each step's signal to those that live and wait its seconds; True once all have ended."""
    for number, timeout_s in steps:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                if is_alive(process):
                    process.send_signal(number)
        if await_true(lambda: not any(map(is_alive, processes)), timeout_s):
            return True
    return not any(map(is_alive, processes))


def silent(server: str, timeout_s: float, log: Path) -> EmbeddedServerFailed:
    """The error for a server of ours that lives and does not answer."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return EmbeddedServerFailed(
        server,
        f"its process is alive, but has not answered for {timeout_s:.0f} s",
        "Wait if its log shows a recovery at work, else stop the servers of this folder and start them again",
        tail(text),
    )
