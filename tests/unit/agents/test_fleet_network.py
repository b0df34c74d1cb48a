"""Where containers find the machine that they run on."""

import pytest

from agents.runtimes.network import own_address


@pytest.mark.parametrize(
    ("facts", "address"),
    [
        ({"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}, "172.17.0.1"),
        ({"Subnet": "10.1.0.0/24", "Gateway": "10.1.0.254"}, "10.1.0.254"),
        ({"Subnet": "172.17.0.0/16"}, "172.17.0.1"),  # as an engine says that has never been started before
        ({}, None),
    ],
)
def test_the_engine_is_at_its_stated_address_or_at_the_first_of_its_network(
    facts: dict[str, str], address: str | None
) -> None:
    assert own_address(facts) == address
