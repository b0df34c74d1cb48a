"""The one message that a zygote understands: what the process to fork is to be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

MESSAGE_BYTES_MAX = 131_072  # below what a socket takes at once
TITLE_BYTES_MAX = 4_000  # of /proc/<pid>/cmdline the kernel shows a page


@dataclass(frozen=True, slots=True)
class Birth:
    """A module with a `main() -> int | None`, its arguments, its whole environment, and what `ps` shows of it."""

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    title: str

    def message(self) -> bytes:
        """The birth as bytes; raises OSError when it is too large to be sent or shown."""
        facts = [self.module, self.arguments, dict(self.environment), self.title]
        message = json.dumps(facts).encode()
        if len(message) > MESSAGE_BYTES_MAX or len(self.title.encode()) > TITLE_BYTES_MAX:
            raise OSError(f"too much to start {self.module} with: {len(message)} bytes of {MESSAGE_BYTES_MAX}")
        return message

    @classmethod
    def of(cls, message: bytes) -> Self:
        """The inverse of `message`; raises ValueError or TypeError for anything else."""
        module, arguments, environment, title = json.loads(message)
        return cls(str(module), tuple(map(str, arguments)), dict(environment), str(title))
