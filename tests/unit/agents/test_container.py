"""What containers are told and asked, without an engine."""

import os
import subprocess
from pathlib import Path

import pytest

from agents.oip_server import Address
from agents.runtimes import container
from agents.runtimes.base import Member
from agents.runtimes.choice import default_image
from agents.runtimes.container import (
    FIRST_LOOKS_MAX,
    LOOKS_MAX,
    command_of,
    health_in,
    healthcheck,
    labels_of,
)
from agents.runtimes.environment import from_label
from agents.runtimes.inside import ANY_ADDRESS, BEAT_FILE
from agents.runtimes.published import published_address
from backend.domain.errors import Invalid
from backend.domain.fleet import AgentKind, Resources
from backend.domain.health import Health
from tests.waiting import PATIENCE_S

NODE = Member("pool.a", 1, AgentKind.INFERENCE, ("--pool", "a"), "swarmex:2", Resources(1.5, 512))


def test_servers_are_programs_of_their_own_and_the_others_are_agents() -> None:
    assert command_of(Member("api", 0, AgentKind.API)) == ["backend.api"]
    assert command_of(Member("grpc", 0, AgentKind.GRPC)) == ["backend.gateway.grpc"]
    assert command_of(NODE) == ["agents", "inference", "--pool", "a"]


def test_a_member_survives_its_labels_with_image_and_limits() -> None:
    assert from_label(labels_of(NODE, "f1")[container.MEMBER]) == NODE


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 seconds (health: starting)", Health.STARTING),
        ("Up 3 minutes (healthy)", Health.HEALTHY),
        ("Up 3 minutes (unhealthy)", Health.UNHEALTHY),
        ("Up 3 minutes (Paused)", Health.UNHEALTHY),
        ("Up 3 minutes", Health.UNKNOWN),
    ],
)
def test_the_engines_words_are_understood(status: str, health: Health) -> None:
    assert health_in(status) is health


@pytest.mark.parametrize(("beats", "code"), [(True, 0), (False, 1)])
def test_the_question_is_answered_by_beats_that_come_after_it(
    beats: bool, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(container, "WELL_S", 0)
    beat = tmp_path / "beat"
    script = healthcheck()["Test"][1].replace(str(BEAT_FILE), str(beat))
    beat.touch()
    os.utime(beat, (1, 4_000_000_000) if beats else (1, 1))  # ahead of any question, or long before it
    assert subprocess.run(["sh", "-c", script], timeout=PATIENCE_S, check=False).returncode == code
    assert (tmp_path / "beat.well").exists() == beats
    os.utime(beat, (1, 1))
    looks = f"most={LOOKS_MAX if beats else FIRST_LOOKS_MAX}"  # who was well once is given less time
    traced = subprocess.run(["sh", "-xc", script], timeout=PATIENCE_S, check=False, capture_output=True, text=True)
    assert traced.returncode == 1
    assert [line for line in traced.stderr.splitlines() if "most=" in line][-1].endswith(looks)
    assert not (tmp_path / "beat.well").exists()


def test_servers_are_published_where_the_manager_was_told_and_port_0_is_a_free_one() -> None:
    api = AgentKind.API
    assert published_address(api, {}) == ("127.0.0.1", 8080)
    assert published_address(api, {"SWARMEX_API_HOST": ANY_ADDRESS, "SWARMEX_API_PORT": "81"}) == (ANY_ADDRESS, 81)
    free = published_address(api, {"SWARMEX_API_PORT": "0"})
    assert free is not None
    assert free[1] > 0
    assert published_address(AgentKind.GRPC, {"SWARMEX_API_PORT": "81"}) == ("127.0.0.1", 8001)
    assert published_address(AgentKind.GRPC, {"SWARMEX_GRPC_PORT": "82"}) == ("127.0.0.1", 82)
    assert published_address(AgentKind.PRICING, {}) is None


def test_the_image_is_that_of_this_version() -> None:
    assert default_image().startswith("swarmex:")


def test_a_server_on_all_addresses_tells_its_own_or_what_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Address().told() == "127.0.0.1"
    assert Address(ANY_ADDRESS, "node.example").told() == "node.example"
    monkeypatch.setattr("socket.gethostbyname", lambda _: "172.20.0.4")
    assert Address(ANY_ADDRESS).told() == "172.20.0.4"


def test_a_machine_that_knows_itself_by_its_loopback_address_only_has_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("socket.gethostbyname", lambda _: "127.0.1.1")
    with pytest.raises(Invalid) as refused:
        Address(ANY_ADDRESS).told()
    assert refused.value.field == "SWARMEX_ADVERTISE_HOST"
