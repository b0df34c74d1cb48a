"""The fleet that a market on one machine runs: the market's agents, its API, and pools that stand in for machines."""

from backend.domain.fleet import AgentKind, FleetSpec

EDGE, CORE = "edge", "core"
POOLS = (EDGE, CORE)  # one process serves all nodes of a pool: phones and fog nodes, clouds and dedicated servers

# Only where it is asked for: few markets have clients that speak it, and it takes a port.
GRPC = FleetSpec("grpc", AgentKind.GRPC)

FLEET = (
    FleetSpec("pricing", AgentKind.PRICING),
    FleetSpec("allocation", AgentKind.ALLOCATION),
    FleetSpec("settlement", AgentKind.SETTLEMENT),
    FleetSpec("training-round", AgentKind.TRAINING_ROUND),
    FleetSpec("api", AgentKind.API),
    *(FleetSpec(f"pool.{pool}", AgentKind.INFERENCE, ("--pool", pool)) for pool in POOLS),
)
