"""A fleet's own network, made when its first container starts and removed after its last."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from docker.errors import APIError

from agents.runtimes.container import FLEET
from agents.runtimes.engine import engine_errors
from backend.domain.errors import Unavailable

DEFAULT_BRIDGE = "bridge"


class FleetNetwork:
    """Found by its label; two managers that make it at once get the same one, since its name is taken then."""

    def __init__(self, engine: Any, fleet: str, driver: str = "bridge") -> None:
        self._engine = engine
        self._fleet = fleet
        self._driver = driver
        self._name = f"swarmex-{fleet}"
        self._there = True  # until looked for: a predecessor may have left one
        self._host_address: str | None = None

    def ensure(self) -> str:
        """Its name; it is there."""
        with engine_errors("make a network"):
            if not self._engine.networks(filters={"label": f"{FLEET}={self._fleet}"}):
                try:
                    self._engine.create_network(
                        self._name,
                        driver=self._driver,
                        labels={FLEET: self._fleet},
                        check_duplicate=True,
                        attachable=self._driver == "overlay" or None,
                    )
                except APIError:
                    if not self._engine.networks(names=[self._name]):
                        raise
        self._there = True
        return self._name

    def remove(self) -> None:
        """Remove it if nobody is in it."""
        if not self._there:
            return
        with engine_errors("remove a network"):
            for network in self._engine.networks(filters={"label": f"{FLEET}={self._fleet}"}):
                try:
                    self._engine.remove_network(network["Id"])
                except APIError:
                    return  # somebody is being taken out of it: next time
        self._there = False

    def host_address(self) -> str:
        """Where containers find this machine; raises Unavailable(`no_bridge`)."""
        if self._host_address is None:
            with engine_errors("show its bridge"):
                [facts, *_] = self._engine.inspect_network(DEFAULT_BRIDGE)["IPAM"]["Config"] or [{}]
            if (address := own_address(facts)) is None:
                raise Unavailable(
                    "the Docker engine has no default bridge",
                    code="no_bridge",
                    field="SWARMEX_RUNTIME",
                    accepted="an engine that runs without `--bridge none`",
                )
            self._host_address = address
        return self._host_address


def own_address(facts: Mapping[str, str]) -> str | None:
    """The engine's own address in a network of its default driver, by that network's facts; None if it has none.

    An engine that starts for the first time tells only which network it made: it takes the first address, but says so
    from its second start on.
    """
    if stated := facts.get("Gateway"):
        return stated
    return str(next(ip_network(facts["Subnet"]).hosts())) if facts.get("Subnet") else None
