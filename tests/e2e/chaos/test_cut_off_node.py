"""A node behind a cable that is pulled while it works: its work runs elsewhere, and what it tells later is void."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from backend.bootstrap import utc_now
from backend.domain.joining import TokenWish
from backend.services import joining
from tests.e2e.chaos import network
from tests.e2e.chaos.arena import Arena
from tests.e2e.chaos.conftest import ORDERS
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

# By asking, or, where it had not yet begun to run what it held, by the answer to what it then tells.
LOST = re.compile(r'"claims\.lost"|"lost": [1-9]')
ON_ATTIC = """
    SELECT i.id FROM work_items i JOIN leases l ON l.id = i.lease_id JOIN nodes n ON n.id = l.node_id
    WHERE n.name = 'attic' AND i.state = 'running'
"""


@pytest.fixture
def room() -> Iterator[network.Room]:
    if not network.possible():
        pytest.skip("network namespaces need Linux, root and `ip`")
    with network.Room(f"{os.getpid()}") as room:
        yield room


def test_a_node_that_is_cut_off_keeps_nothing_and_comes_back(
    room: network.Room, open_arena: Callable[..., Arena], ended: Callable[[Arena], None]
) -> None:
    arena = open_arena(api_host=room.host)
    attic = join(arena, room)
    try:
        arena.flood(ORDERS)
        arena.until(lambda: len(arena.query(ON_ATTIC)) > 1, "the machine has work in hand")
        arena.strike("a node cut off")
        room.unplug()
        cut_off = [row.id for row in arena.query(ON_ATTIC)]
        arena.until(lambda: not arena.query(ON_ATTIC), "its claims have lapsed")
        ended(arena)
        room.plug()
        arena.until(lambda: alive(arena), "it is back")
        assert cut_off
        arena.until(lambda: LOST.search(arena.log("attic")), "it knows what it has lost")
        [again] = arena.market.place(model="brisk", deadline_s=600)
        arena.until(lambda: arena.market.show(again).closed_at, "the market goes on")
        arena.prove()
    finally:
        attic.terminate()
        attic.wait(PATIENCE_S)


def join(arena: Arena, room: network.Room) -> "subprocess.Popen[bytes]":
    """The machine `attic`, joined over the cable and alive."""
    wish = TokenWish("fog", "north", slots_max=200)
    secret = joining.create_token(arena.market.app.uow(), utc_now(), arena.market.provider.account_id, wish).secret
    url = (arena.folder / "api.url").read_text().strip()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SWARMEX_")}
    words = ["node", "join", url, "--token", secret, "--name", "attic", "--slots", "200", "--ask", "0.0005"]
    with (arena.folder / "logs" / "attic.log").open("ab") as log:
        process = subprocess.Popen(
            room.command(sys.executable, "-m", "backend.cli", *words),
            env=clean | {"SWARMEX_DATA_FOLDER": str(arena.folder / "attic")},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    arena.until(lambda: alive(arena), "it is alive")
    return process


def alive(arena: Arena) -> bool:
    """Whether the machine's agent has beaten in the last seconds."""
    return bool(
        arena.query(
            "SELECT 1 FROM agents a JOIN nodes n ON n.queue = a.queue WHERE n.name = 'attic'"
            " AND a.state = 'up' AND a.beat_at > now() - interval '2 s'"
        )
    )
