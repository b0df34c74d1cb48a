"""What a fleet can be asked to have."""

from dataclasses import replace

import pytest

from backend.domain.errors import Invalid
from backend.domain.fleet import (
    ARGUMENT_CHARS_MAX,
    ARGUMENTS_MAX,
    REPLICAS_MAX,
    AgentKind,
    FleetSpec,
    Resources,
    check_spec,
    fleet_label,
    missing_members,
)
from backend.domain.scaling import ScalingPolicy

POOL = FleetSpec("pool.edge", AgentKind.INFERENCE, ("--pool", "edge"), 2)


@pytest.mark.parametrize(
    "spec",
    [
        POOL,
        replace(POOL, replicas=0),
        replace(POOL, replicas=3, replicas_min=3, replicas_max=3, policy=ScalingPolicy()),
        replace(POOL, image="registry.local:5000/swarmex:1.0", resources=Resources(0.5, 512)),
        FleetSpec("api", AgentKind.API),
    ],
)
def test_what_can_be_passes_unchanged(spec: FleetSpec) -> None:
    assert check_spec(spec) is spec


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (replace(POOL, name="Not a name"), "name"),
        (replace(POOL, kind=AgentKind.MANAGER), "kind"),
        (replace(POOL, arguments=("x",) * (ARGUMENTS_MAX + 1)), "arguments"),
        (replace(POOL, arguments=("x" * (ARGUMENT_CHARS_MAX + 1),)), "arguments"),
        (replace(POOL, replicas_max=REPLICAS_MAX + 1), "replicas_max"),
        (replace(POOL, replicas_min=3, replicas_max=2), "replicas_min"),
        (replace(POOL, replicas_min=3), "replicas"),
        (replace(POOL, replicas_max=1), "replicas"),
        (replace(POOL, image="no image"), "image"),
        (replace(POOL, resources=Resources(cpu=0.0)), "resources.cpu"),
        (replace(POOL, resources=Resources(memory_mb=1)), "resources.memory_mb"),
        (FleetSpec("api", AgentKind.API, policy=ScalingPolicy()), "policy"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(spec: FleetSpec, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_spec(spec)
    assert refused.value.field == field
    assert refused.value.accepted


def test_the_audit_log_gets_the_whole_entry() -> None:
    spec = replace(POOL, resources=Resources(0.5, 512), policy=ScalingPolicy())
    assert spec.facts() == {
        "kind": "inference",
        "arguments": ["--pool", "edge"],
        "replicas": [0, 2, REPLICAS_MAX],
        "image": None,
        "resources": {"cpu": 0.5, "memory_mb": 512},
        "policy": ScalingPolicy().wire(),
    }
    assert POOL.facts()["policy"] is None


def test_missing_are_as_many_as_lack_whatever_numbers_live() -> None:
    assert missing_members([POOL], []) == ["pool.edge-0", "pool.edge-1"]
    assert missing_members([POOL], ["pool.edge-1"]) == ["pool.edge-0"]
    assert missing_members([POOL], ["pool.edge-7", "pool.edge-3"]) == []
    assert missing_members([POOL], ["pool.edge-0", "poolxedge-1", "pool.edge-x"]) == ["pool.edge-1"]


def test_fleets_of_different_folders_are_told_apart() -> None:
    assert fleet_label("/a") != fleet_label("/b")
