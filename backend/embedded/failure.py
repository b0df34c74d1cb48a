"""The one error of this package, and the end of a log that explains it."""

from pathlib import Path

from backend.domain.errors import SwarmexError

LOG_TAIL_LINES = 20


class EmbeddedServerFailed(SwarmexError):
    """An embedded server could not be started, reached or stopped; says what to do about it."""

    code = "embedded_server_failed"

    def __init__(self, server: str, reason: str, remedy: str, log_tail: str = "") -> None:
        log = f"\n--- end of its log ---\n{log_tail}" if log_tail else ""
        super().__init__(f"{server}: {reason}. {remedy}.{log}")
        self.server = server
        self.reason = reason
        self.remedy = remedy
        self.log_tail = log_tail


def log_since(log: Path, offset: int) -> str:
    """Text that was appended to `log` after byte `offset`."""
    with log.open("rb") as file:
        file.seek(offset)
        return file.read().decode(errors="replace")


def tail(text: str) -> str:
    """The last LOG_TAIL_LINES lines of `text`."""
    return "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
