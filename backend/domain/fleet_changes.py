"""What an operator may do to the entries of a fleet: add one, give it another image or other limits, remove it."""

from collections.abc import Sequence
from dataclasses import replace

from backend.domain.errors import Conflict, Invalid
from backend.domain.fleet import REPLICAS_MAX, AgentKind, FleetSpec, Resources, check_spec
from backend.domain.incident_rules import entry_of
from backend.domain.nodes import check_name
from backend.domain.scaling import ScalingPolicy

ENTRIES_MAX = 500
# Without one of these no order is placed, priced, cleared or paid.
NEEDED = frozenset({AgentKind.API, AgentKind.PRICING, AgentKind.ALLOCATION, AgentKind.SETTLEMENT})


def new_entry(
    kind: AgentKind,
    *,
    pool: str | None = None,
    name: str | None = None,
    least: int | None = None,
    most: int | None = None,
    image: str | None = None,
    cpu: float | None = None,
    memory_mb: int | None = None,
) -> FleetSpec:
    """An entry of one replica, or of as many as its bounds ask for; raises Invalid.

    Inference agents serve a pool, which the entry is named after unless a name is given, and follow their load where
    bounds are stated that leave them a choice. An entry of others is named after its kind.
    """
    if (kind is AgentKind.INFERENCE) != (pool is not None):
        message = "inference agents serve a pool" if pool is None else f"{kind} agents serve no pool"
        accepted = "the pool whose nodes they serve" if pool is None else "no pool, or inference agents"
        raise Invalid(message, code="invalid_pool", field="pool", accepted=accepted)
    replicas_min, replicas_max = 0 if least is None else least, REPLICAS_MAX if most is None else most
    follows = pool is not None and (least, most) != (None, None) and replicas_min < replicas_max
    spec = FleetSpec(
        name or (str(kind) if pool is None else f"pool.{pool}"),
        kind,
        () if pool is None else ("--pool", check_name(pool, "pool")),
        min(max(replicas_min, 1), replicas_max),
        replicas_min,
        replicas_max,
        policy=ScalingPolicy() if follows else None,
    )
    return check_spec(_with(spec, image, cpu, memory_mb))


def changed_entry(spec: FleetSpec, image: str | None, cpu: float | None, memory_mb: int | None) -> FleetSpec:
    """`spec` with another image or other limits: None keeps what it has, "" or 0 takes it away; raises Invalid."""
    if image is None and cpu is None and memory_mb is None:
        accepted = "image, cpu or memory_mb; replicas and bounds are changed by scaling and by the policy"
        raise Invalid("nothing is to change", code="nothing_to_change", field="name", accepted=accepted)
    return check_spec(_with(spec, image, cpu, memory_mb))


def check_new(spec: FleetSpec, known: Sequence[FleetSpec]) -> None:
    """Raises Conflict if a fleet of these entries can have no further one of that name."""
    names = {entry.name for entry in known}
    if spec.name in names:
        raise entry_exists(spec.name)
    alike = [name for name in names if spec.name == entry_of(name) or entry_of(spec.name) == name]
    if alike:
        raise Conflict(
            f"members of {min(alike)} and of {spec.name} could not be told apart",
            code="ambiguous_name",
            field="name",
            accepted="a name that is not another entry's with a number at its end",
        )
    if len(known) >= ENTRIES_MAX:
        accepted = f"at most {ENTRIES_MAX} entries"
        raise Conflict("the fleet is full", code="fleet_full", field="name", accepted=accepted)


def entry_exists(name: str) -> Conflict:
    """The error for a name that is taken."""
    accepted = "a name that no entry has; of an entry that is there, another number, policy, image or limit"
    return Conflict(f"there is an entry {name} already", code="fleet_entry_exists", field="name", accepted=accepted)


def check_removal(spec: FleetSpec, of_its_kind: Sequence[FleetSpec]) -> None:
    """Raises Conflict if the market could not do without `spec`; `of_its_kind` are all entries of its kind."""
    if spec.kind in NEEDED and all(entry.name == spec.name for entry in of_its_kind):
        raise Conflict(
            f"{spec.name} is the only entry of {spec.kind} agents, which a market needs",
            code="entry_needed",
            field="name",
            accepted="an entry of inference agents, or one of several of its kind",
        )


def missing_entries(known: Sequence[FleetSpec], standard: Sequence[FleetSpec]) -> list[FleetSpec]:
    """Those of the `standard` entries that a start adds: all to a new market, else of kinds that it needs and lacks.

    So a start brings nothing back that an operator has removed.
    """
    names, kinds = {spec.name for spec in known}, {spec.kind for spec in known}
    is_new = not kinds & NEEDED
    return [spec for spec in standard if spec.name not in names and (is_new or spec.kind in NEEDED - kinds)]


def _with(spec: FleetSpec, image: str | None, cpu: float | None, memory_mb: int | None) -> FleetSpec:
    before = spec.resources or Resources()
    resources = Resources(
        before.cpu if cpu is None else cpu or None,
        before.memory_mb if memory_mb is None else memory_mb or None,
    )
    return replace(
        spec,
        image=spec.image if image is None else image or None,
        resources=None if resources == Resources() else resources,
    )
