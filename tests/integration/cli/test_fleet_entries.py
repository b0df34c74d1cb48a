"""`swarmex agents add`, `set` and `remove`."""

import pytest

from backend.bootstrap import new_id, utc_now
from backend.domain.fleet import AgentKind, FleetSpec
from backend.domain.ids import AgentId
from backend.domain.scaling import ScalingPolicy
from backend.domain.work import AgentBeat
from backend.services import fleet, log, managers
from tests.integration.cli.runner import Cli
from tests.market import Market

SETTLEMENT = FleetSpec("settlement", AgentKind.SETTLEMENT)
EDGE = FleetSpec("pool.edge", AgentKind.INFERENCE, ("--pool", "edge"))


def managed(market: Market) -> None:
    """Somebody is there to act."""
    managers.take_over(market.app.uow(), utc_now(), AgentId(new_id()))


def test_a_pool_is_added_with_bounds_and_limits(cli: Cli, market: Market) -> None:
    done = cli.run("agents", "add", "inference", "--pool", "west", "--min", 0, "--max", 4, "--cpus", 2, "--json")
    assert "`swarmex up`" in done.err, "nobody acts on it"
    assert "take effect with" in done.err, "processes have no limits"
    [spec] = fleet.desired(market.app.uow())
    assert (spec.name, spec.arguments) == ("pool.west", ("--pool", "west"))
    assert done.document == {
        "name": "pool.west",
        "kind": "inference",
        "arguments": ["--pool", "west"],
        "replicas": 1,
        "replicas_min": 0,
        "replicas_max": 4,
        "image": None,
        "cpu": 2.0,
        "memory_mb": None,
        "policy": ScalingPolicy().wire(),
    }
    managed(market)
    plain = cli.run("agents", "add", "inference", "--pool", "south")
    assert "pool.south" in plain.out
    assert "--pool south` brings one" in plain.err, "nobody stands in it"
    market.node("a", pool="east")
    assert cli.run("agents", "add", "inference", "--pool", "east").err == ""
    assert [told.subject for told in log.list_entries(market.app.uow(), action="fleet.add")] == [
        "fleet pool.east",
        "fleet pool.south",
        "fleet pool.west",
    ]


def test_a_second_entry_of_a_kind_has_a_name_of_its_own(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [SETTLEMENT])
    managed(market)
    assert cli.refused("agents", "add", "settlement") == ("fleet_entry_exists", "name")
    added = cli.json("agents", "add", "settlement", "--name", "settlement.b")
    assert (added["name"], added["kind"], added["policy"]) == ("settlement.b", "settlement", None)
    assert cli.json("agents", "remove", "settlement")["kind"] == "settlement", "now it can be done without"


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("inference",), ("invalid_pool", "pool")),
        (("pricing", "--pool", "west"), ("invalid_pool", "pool")),
        (("manager",), ("invalid_kind", "kind")),
        (("inference", "--pool", "edge"), ("fleet_entry_exists", "name")),
        (("inference", "--pool", "edge-1"), ("ambiguous_name", "name")),
        (("inference", "--pool", "west", "--min", 3, "--max", 2), ("invalid_replicas_min", "replicas_min")),
        (("inference", "--pool", "west", "--max", 101), ("invalid_replicas_max", "replicas_max")),
        (("inference", "--pool", "west", "--image", "no image"), ("invalid_image", "image")),
        (("inference", "--pool", "west", "--cpus", 300), ("invalid_cpu", "resources.cpu")),
        (("inference", "--pool", "west", "--memory-mb", 1), ("invalid_memory_mb", "resources.memory_mb")),
    ],
)
def test_an_entry_that_cannot_be_is_refused_and_not_written(
    cli: Cli, market: Market, arguments: tuple[object, ...], refusal: tuple[str, str]
) -> None:
    fleet.set_desired(market.app.uow(), [EDGE])
    assert cli.refused("agents", "add", *arguments) == refusal
    assert fleet.desired(market.app.uow()) == [EDGE]


def test_image_and_limits_are_changed_and_taken_away(cli: Cli, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARMEX_RUNTIME", "docker")
    fleet.set_desired(market.app.uow(), [EDGE])
    managed(market)
    changed = cli.json("agents", "set", "pool.edge", "--image", "swarmex:1.1", "--cpus", "0.5", "--memory-mb", 512)
    assert (changed["image"], changed["cpu"], changed["memory_mb"]) == ("swarmex:1.1", 0.5, 512)
    freed = cli.json("agents", "set", "pool.edge", "--image", "", "--cpus", 0)
    assert (freed["image"], freed["cpu"], freed["memory_mb"]) == (None, None, 512)
    assert cli.refused("agents", "set", "pool.edge") == ("nothing_to_change", "name")
    assert cli.refused("agents", "set", "nobody", "--cpus", 1) == ("unknown_fleet_entry", "name")
    assert cli.refused("agents", "set", "pool.edge", "--memory-mb", 1) == ("invalid_memory_mb", "resources.memory_mb")


def test_who_leaves_with_a_removed_entry_is_told_and_which_nodes_have_nobody_then(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [EDGE, SETTLEMENT])
    managed(market)
    market.node("a", pool="edge")
    market.node("b", pool="core")
    for name in ("pool.edge-0", "pool.edgeless-0"):
        sign = AgentBeat(AgentId(new_id()), "inference", name, "host", 1, "pool.edge")
        fleet.beat(market.app.uow(), utc_now(), sign)
    done = cli.run("agents", "remove", "pool.edge")
    assert "120 s at most" in done.err
    assert "get no work" in done.err
    fleet.set_desired(market.app.uow(), [EDGE])
    document = cli.json("agents", "remove", "pool.edge")
    assert document == {
        "name": "pool.edge",
        "kind": "inference",
        "leaving": ["pool.edge-0"],
        "nodes_without_agents": ["a"],
    }
    assert cli.refused("agents", "remove", "pool.edge") == ("unknown_fleet_entry", "name")


def test_nodes_that_another_entry_serves_are_not_told_of(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [EDGE, FleetSpec("spare", AgentKind.INFERENCE, ("--pool", "edge"))])
    managed(market)
    market.node("a", pool="edge")
    assert cli.json("agents", "remove", "spare")["nodes_without_agents"] == []


def test_what_the_market_cannot_do_without_is_kept(cli: Cli, market: Market) -> None:
    fleet.set_desired(market.app.uow(), [EDGE, SETTLEMENT])
    assert cli.refused("agents", "remove", "settlement") == ("entry_needed", "name")
    assert fleet.desired(market.app.uow()) == [EDGE, SETTLEMENT]
