"""The swarm at work fits the terminal: names stay whole, and what matters least is left out."""

from typing import Any

import pytest
from rich.console import Console

from backend.cli.top import COLUMNS, drawn

AGENT: dict[str, Any] = {
    "name": "pool.core-10",
    "state": "draining",
    "verdict": "starting",
    "per_s": 1234.5,
    "work_done": 1234567,
    "in_flight": 500,
    "queued": 100000,
    "cpu_percent": 100.0,
    "memory_mb": 1024,
    "seen_s": 0.123,
}
LONG = AGENT | {"name": "a-pool-with-quite-a-long-name.east-10"}


def lines(width: int, *agents: dict[str, Any]) -> list[str]:
    """What a terminal of that width shows."""
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(drawn(list(agents), width))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [72, 80, 100, 160])
@pytest.mark.parametrize("agent", [AGENT, LONG])
def test_an_agent_is_one_line_with_its_whole_name_at_any_usual_width(width: int, agent: dict[str, Any]) -> None:
    head, _, *rows = lines(width, AGENT, agent)
    assert [row.split()[0] for row in rows] == [AGENT["name"], agent["name"]]
    assert all(len(line) <= width for line in (head, *rows))
    assert all(name in head for name in ("Agent", "Health", "Per s", "In flight")), "these are always there"


def test_everything_is_there_where_there_is_room_and_the_least_goes_first() -> None:
    assert all(name in lines(160, AGENT)[0] for name in COLUMNS.values())
    narrow = lines(80, AGENT)[0]
    assert "Seen s" not in narrow
    assert "CPU %" in narrow


def test_nobody_at_work_is_a_table_too() -> None:
    assert "none" in lines(80)[-1]
