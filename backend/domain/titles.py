"""What the processes of a fleet's members show of themselves, in `ps` and to whoever looks for them."""

import re
from dataclasses import dataclass
from typing import Self

_TITLE = re.compile(r"swarmex: (?P<label>\S+) of (?P<fleet>\S+) (?P<facts>\[.*\])", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Title:
    """`swarmex: NAME of FLEET FACTS`; the facts are all that makes the member, as one label has them."""

    label: str
    fleet: str
    facts: str

    def __str__(self) -> str:
        return f"swarmex: {self.label} of {self.fleet} {self.facts}"

    @classmethod
    def of(cls, command: str) -> Self | None:
        """The inverse of `str`; None for the command of any other process."""
        found = _TITLE.fullmatch(command.rstrip())  # a title leaves blanks where a longer command was
        return None if found is None else cls(**found.groupdict())
