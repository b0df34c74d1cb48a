"""Nodes and offers: what a provider brings."""

import re
from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Invalid, unknown_choice
from backend.domain.machines import check_hardware
from backend.domain.tiers import ResourceClass

SLOTS_MAX = 1_024
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)


class NodeState(StrEnum):
    """`draining` finishes its leases and takes no new ones."""

    ACTIVE = "active"
    DRAINING = "draining"


class OfferState(StrEnum):
    """Only one offer of a node is open."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A machine as its provider states it; `pool` names a queue shared with other nodes of one process.

    Memory is in MiB, that of a GPU of each accelerator; `residency` is the jurisdiction that its data stays in, and
    `latency_ms` how far it is from its region's users.
    """

    name: str
    resource_class: str
    region: str
    slots: int
    pool: str | None = None
    cores: int = 1
    memory_mb: int = 1_024
    gpu_model: str | None = None
    gpu_memory_mb: int = 0
    accelerators: int = 0
    residency: str | None = None
    latency_ms: int = 0


def check_name(name: str, field: str = "name") -> str:
    """`name` if it can name an account, node, model, pool or agent; raises Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"{name[:60]!r} cannot be a {field}",
            code=f"invalid_{field}",
            field=field,
            accepted="1 to 63 of a-z 0-9 . _ -, starting with a letter or digit",
        )
    return name


def check_region(region: str, field: str = "region") -> str:
    """`region` if it can name one; raises Invalid."""
    if not _REGION.fullmatch(region):
        raise Invalid(
            f"{region[:60]!r} cannot be a region",
            code=f"invalid_{field}",
            field=field,
            accepted="1 to 32 of a-z 0-9 -",
        )
    return region


def check_node(spec: NodeSpec) -> NodeSpec:
    """`spec` if a node can be like that; raises Invalid with the field's name."""
    check_name(spec.name)
    if spec.resource_class not in [c.value for c in ResourceClass]:
        raise unknown_choice("resource_class", spec.resource_class, [c.value for c in ResourceClass])
    check_region(spec.region)
    if not 1 <= spec.slots <= SLOTS_MAX:
        raise Invalid(f"{spec.slots} slots", code="invalid_slots", field="slots", accepted=f"1 to {SLOTS_MAX}")
    if spec.pool is not None:
        check_name(spec.pool, "pool")
    check_hardware(
        cores=spec.cores,
        memory_mb=spec.memory_mb,
        gpu_model=spec.gpu_model,
        gpu_memory_mb=spec.gpu_memory_mb,
        accelerators=spec.accelerators,
        residency=spec.residency,
        latency_ms=spec.latency_ms,
    )
    return spec
