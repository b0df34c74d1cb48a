"""A sample market: two buyers, two providers, and a node of every class in each of two regions."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from backend.cli.fleet import CORE, EDGE
from backend.domain.access import Principal, Role
from backend.domain.errors import Conflict
from backend.domain.money import parse_credits
from backend.domain.nodes import NodeSpec
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.services.accounts import AccountView
    from backend.services.api_keys import NewKey

DEPOSIT = "100"
BUYERS = {"demo-lab": (TierName.SMALL, TierName.MEDIUM), "demo-company": (TierName.LARGE, TierName.ENTERPRISE)}
EDGE_PROVIDER, CORE_PROVIDER = "demo-edge", "demo-core"
PROVIDERS = (EDGE_PROVIDER, CORE_PROVIDER)
REGIONS = ("north", "south")


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of node that each region has one of; the ask is in credits per slot-second."""

    provider: str
    name: str
    resource_class: str
    slots: int
    pool: str
    asks: tuple[str, str]  # by region


MACHINES = (
    Machine(EDGE_PROVIDER, "phone", "mobile", 2, EDGE, ("0.020", "0.022")),
    Machine(EDGE_PROVIDER, "fog", "fog", 4, EDGE, ("0.050", "0.054")),
    Machine(CORE_PROVIDER, "cloud", "cloud", 8, CORE, ("0.100", "0.110")),
    Machine(CORE_PROVIDER, "server", "dedicated", 8, CORE, ("0.250", "0.260")),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The market as it was set up: what everybody had before, and a key for each buyer."""

    before: dict[str, "AccountView"]
    keys: dict[str, "NewKey"]
    nodes: int


def set_up(market: "Swarmex", now: datetime, run: str) -> Sample:
    """Accounts, keys, deposits, nodes and offers; what an earlier run left is used again. `run` names the payments."""
    from backend.services import api_keys, deposits

    ids = {name: _account(market, now, name).id for name in (*BUYERS, *PROVIDERS)}
    amount_nano = parse_credits(DEPOSIT)
    for name in BUYERS:
        deposits.deposit(market.uow(), now, ids[name], amount_nano, f"{run}-{name}")
    keys = {name: api_keys.create_key(market.uow(), now, ids[name], Role.USER, run) for name in BUYERS}
    nodes = 0
    for machine in MACHINES:
        owner = Principal(None, ids[machine.provider], Role.PROVIDER)
        for region, ask in zip(REGIONS, machine.asks, strict=True):
            _node(market, now, owner, machine, region, parse_credits(ask))
            nodes += 1
    return Sample(look(market), keys, nodes)


def look(market: "Swarmex") -> dict[str, "AccountView"]:
    """What everybody has now."""
    from backend.services import accounts

    return {name: accounts.show_account(market.uow(), name) for name in (*BUYERS, *PROVIDERS)}


def revoke_keys(market: "Swarmex", now: datetime, sample: Sample) -> None:
    """End this run's keys, which nobody else knows."""
    from backend.services import api_keys

    for key in sample.keys.values():
        api_keys.revoke_key(market.uow(), now, key.key_id, Principal(None, key.account_id, Role.ADMIN))


def _account(market: "Swarmex", now: datetime, name: str) -> "AccountView":
    from backend.services import accounts

    try:
        return accounts.create_account(market.uow(), now, name)
    except Conflict:
        return accounts.show_account(market.uow(), name)


def _node(market: "Swarmex", now: datetime, owner: Principal, machine: Machine, region: str, ask_nano: int) -> None:
    from backend.services import nodes

    name = f"{machine.name}-{region}"
    spec = NodeSpec(name, machine.resource_class, region, machine.slots, machine.pool)
    existing = {node.name: node for node in nodes.list_nodes(market.uow(), now, owner.account_id)}
    node = existing.get(name) or nodes.register_node(market.uow(), now, owner.account_id, spec)
    if node.ask_nano_per_slot_s != ask_nano:
        nodes.offer(market.uow(), now, node.id, ask_nano, owner)
