"""The processes of a fleet on this machine, and what they are."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from agents.runtimes.base import Member
from agents.runtimes.environment import from_label
from backend.cli import processes


def members_of(folder: Path) -> Iterator[tuple[psutil.Process, Member]]:
    """The members of the fleet of a data folder that run."""
    for process in processes.members_of(folder):
        with suppress(psutil.Error):
            title = processes.title_of(process)
            member = None if title is None else from_label(title.facts)
            if member is not None:
                yield process, member
