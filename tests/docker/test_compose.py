"""The compose file, as far as it can be checked without its images."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not among the requirements

from backend.domain.fleet import AgentKind

FOLDER = Path(__file__).parents[2] / "docker"
TEXT = (FOLDER / "compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "swarmex" in service["image"]}
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<rule>:[?-])?(?P<word>[^}]*)\}")


def test_every_kind_of_process_has_a_service_but_the_manager() -> None:
    commands = {name: tuple(service["command"]) for name, service in OURS.items()}
    assert commands.pop("init") == ("backend.cli", "init")
    assert commands.pop("api") == ("backend.api",)
    assert {name: command[:2] for name, command in commands.items()} == {
        kind.value: ("agents", kind.value) for kind in AgentKind if kind not in {AgentKind.API, AgentKind.MANAGER}
    }


def test_the_image_is_that_of_this_version(version: str) -> None:
    assert {service["image"] for service in OURS.values()} == {f"${{SWARMEX_IMAGE:-swarmex:{version}}}"}


@pytest.mark.parametrize("name", OURS)
def test_our_processes_run_without_rights(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_comes_back_and_keeps_its_logs_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name == "init" else "unless-stopped")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", ["postgres", "redis", "api"])
def test_whoever_is_waited_for_can_be_asked_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    waiting = [service for service in SERVICES.values() if name in service.get("depends_on", {})]
    assert waiting
    assert all(service["depends_on"][name]["condition"] == "service_healthy" for service in waiting)


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    secrets = [match for match in VARIABLE.finditer(TEXT) if match["name"].endswith("_PASSWORD")]
    assert {match["name"] for match in secrets} == {
        f"SWARMEX_{whose}_PASSWORD" for whose in ("SUPERUSER", "DATABASE", "NODE_DATABASE", "REDIS")
    }
    assert {match["rule"] for match in secrets} == {":?"}
    words = [word for service in SERVICES.values() for word in service.get("environment", {}).items()]
    for variable, value in words:
        if variable.endswith(("_PASSWORD", "_AUTH")):
            assert VARIABLE.fullmatch(value)
        for password in re.findall(r"//[^:]*:([^@]*)@", value):
            assert VARIABLE.fullmatch(password)


def test_an_inference_agent_knows_the_nodes_role_only() -> None:
    known = json.dumps(SERVICES["inference"])
    assert "SWARMEX_NODE_DATABASE_PASSWORD" in known
    assert "SWARMEX_DATABASE_PASSWORD" not in known
    assert "SWARMEX_SUPERUSER_PASSWORD" not in known


def test_files_that_are_mounted_exist() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith("./")]
    assert mounts
    assert all((FOLDER / mount.partition(":")[0]).is_file() for mount in mounts)
