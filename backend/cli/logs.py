"""`swarmex agents logs`: what an agent wrote; of a process from its file, of a container from its engine."""

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.connection import quiet_logs
from backend.cli.options import AsJson, examples
from backend.cli.output import print_json
from backend.cli.printable import printable
from backend.domain.errors import Invalid, NotFound, SwarmexError, Unavailable
from backend.domain.fleet import AgentKind
from backend.domain.incident_rules import entry_of

if TYPE_CHECKING:
    from backend.bootstrap import Settings

EXAMPLES = examples("swarmex agents logs pool.edge-0", "swarmex agents logs settlement-0 -n 200 --follow")
LINES_MAX = 10_000
FOLLOW_EVERY_S = 0.5
CONTAINERS_EVERY_S = 2.0
ENGINE_TIMEOUT_S = 30.0
CHUNK_BYTES = 1 << 20
NOT_RUNNING = 3  # what `agents.tail` says by its exit code
TOLD_CHARS = 300
NAMED_MAX = 20  # logs, in a refusal
ENDED_NAMED_MAX = 3  # of these, whose agents have ended


def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An agent's name, as in pool.edge-0.")],
    lines: Annotated[int, typer.Option("-n", "--lines", help=f"How many at most, up to {LINES_MAX:,}.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more is written, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the last lines that an agent of this machine wrote, the oldest first."""
    from backend import bootstrap

    if not 1 <= lines <= LINES_MAX:
        raise Invalid(f"{lines} lines", code="invalid_lines", field="lines", accepted=f"1 to {LINES_MAX}")
    if follow and as_json:
        raise Invalid("--json prints one document", code="invalid_follow", field="follow", accepted="without --json")
    settings = bootstrap.settings()
    if settings.runtime == "process":
        path = _file_of(settings.folder / "logs", name)
        end = path.stat().st_size
        last, more = tail(path, lines, end), growing(path, end)
    else:
        # Who follows needs all of it, to tell what is new from what only looks alike.
        seen = _from_engine(settings, name, LINES_MAX if follow else lines)
        last, more = seen[-lines:], growing_in_engine(settings, name, seen)
    if as_json:
        print_json({"agent": name, "lines": last})
        return
    _print(last)
    while follow:
        _print(next(more))


def tail(path: Path, lines: int, end: int | None = None) -> list[str]:
    """The last lines of a file that may be large, or of its first `end` bytes, the oldest first."""
    found: deque[bytes] = deque()
    with path.open("rb") as file:
        left, rest = file.seek(0, os.SEEK_END) if end is None else end, b""
        while left > 0 and len(found) <= lines:
            start = max(0, left - CHUNK_BYTES)
            file.seek(start)
            chunk = file.read(left - start) + rest
            rest, *whole = chunk.splitlines(keepends=True) or [b""]
            found.extendleft(reversed(whole))
            left = start
        found.appendleft(rest)
    kept = [line.decode(errors="replace").rstrip("\r\n") for line in found if line]
    return kept[-lines:]


def growing(path: Path, position: int) -> Iterator[list[str]]:
    """Whole lines as they are written from a position on; a file that is begun anew is read from its front."""
    inode, partial = path.stat().st_ino, b""
    while True:
        time.sleep(FOLLOW_EVERY_S)
        try:
            seen = path.stat()
        except FileNotFoundError:  # between two lives of the agent
            yield []
            continue
        if seen.st_ino != inode or seen.st_size < position:
            position, inode, partial = 0, seen.st_ino, b""
        with path.open("rb") as file:
            file.seek(position)
            chunk = file.read(CHUNK_BYTES)
        position += len(chunk)
        *whole, partial = (partial + chunk).split(b"\n")
        yield [line.decode(errors="replace").rstrip("\r") for line in whole]


def growing_in_engine(settings: "Settings", name: str, seen: list[str]) -> Iterator[list[str]]:
    """What comes after the lines that were seen, asked for again and again."""
    while True:
        time.sleep(CONTAINERS_EVERY_S)
        now = _from_engine(settings, name, LINES_MAX)
        yield newer(seen, now)
        seen = now


def newer(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """What of `now` comes after what both have in common; all of it if that is nothing."""
    for start in range(len(before)):
        common = len(before) - start
        if list(before[start:]) == list(now[:common]):
            return list(now[common:])
    return list(now)


def _file_of(folder: Path, name: str) -> Path:
    if name.startswith(f"{AgentKind.MANAGER}-"):  # each has a name of its own, and they write into one file
        name = AgentKind.MANAGER
    known = sorted(path.stem for path in folder.glob("*.log"))
    mine = [stem for stem in known if stem == name] or [stem for stem in known if entry_of(stem) == name]
    if len(mine) != 1:
        accepted = named(folder, mine or known, _living()) or "nothing yet: no agent ran here"
        raise NotFound("log", name, field="name", accepted=accepted)
    return folder / f"{mine[0]}.log"


def named(folder: Path, stems: Sequence[str], living: Collection[str]) -> str:
    """Logs as a refusal names them: of agents that live, then some of those that wrote last."""
    shown = sorted(stem for stem in stems if stem in living)[:NAMED_MAX]
    ended = sorted((stem for stem in stems if stem not in living), key=lambda stem: -_written(folder, stem))
    shown += ended[: min(ENDED_NAMED_MAX, NAMED_MAX - len(shown))]
    more = len(stems) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _written(folder: Path, stem: str) -> float:
    """When a log was last written to; 0 if it is gone meanwhile."""
    try:
        return (folder / f"{stem}.log").stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _living() -> set[str]:
    """Names of the logs of agents that live; none where the market cannot be asked, since logs outlive it."""
    from backend import bootstrap
    from backend.services import activity

    settings = bootstrap.settings()
    quiet_logs(settings)
    try:
        with closing(bootstrap.connect(settings, start_servers=False)) as wired:
            now = bootstrap.utc_now()
            agents = [one.agent for one in activity.look(wired.uow(), now) if one.lives(now)]
    except SwarmexError:
        return set()
    return {AgentKind.MANAGER if agent.kind is AgentKind.MANAGER else agent.name for agent in agents}


def _from_engine(settings: "Settings", name: str, lines: int) -> list[str]:
    """By a process of the agents' side: verbs know nothing of engines."""
    command = [sys.executable, "-m", "agents.tail", name, str(lines)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{settings.runtime} does not answer", code="engine_unreachable") from error
    if done.returncode == NOT_RUNNING:  # of one that has ended, its last words are kept here
        return tail(_file_of(settings.folder / "logs", name), lines)
    if done.returncode:
        told = done.stderr.strip()[-TOLD_CHARS:]
        raise Unavailable(f"{settings.runtime} does not answer: {told}", code="engine_unreachable")
    return done.stdout.splitlines()


def _print(lines: Sequence[str]) -> None:
    if lines:
        sys.stdout.write(printable("\n".join(lines)) + "\n")
        sys.stdout.flush()
