"""The compose and stack files, as far as they can be checked without their images."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not among the requirements

from agents.runtimes import container
from agents.runtimes.faces import FACES
from agents.runtimes.inside import ANY_ADDRESS, BEAT_FILE
from backend.domain.fleet import AgentKind
from tests.waiting import PATIENCE_S

FOLDER = Path(__file__).parents[2] / "docker"
TEXT = (FOLDER / "compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {name: service for name, service in SERVICES.items() if "swarmex" in service["image"]}
STACK: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "stack.yml").read_text())["services"]
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<rule>:[?-])?(?P<word>[^}]*)\}")


def health_of(service: Mapping[str, Any]) -> str:
    """What its health check runs in a shell."""
    return str(service["healthcheck"]["test"][1]).replace("$$", "$")


def test_every_kind_of_process_has_a_service_but_the_manager() -> None:
    commands = {name: tuple(service["command"]) for name, service in OURS.items()}
    assert commands.pop("init") == ("backend.cli", "init")
    assert commands.pop("api") == ("backend.api",)
    assert commands.pop("grpc") == ("backend.gateway.grpc",)
    assert {name: command[:2] for name, command in commands.items()} == {
        kind.value: ("agents", kind.value) for kind in AgentKind if kind not in {*FACES, AgentKind.MANAGER}
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


def test_agents_are_asked_how_they_are_as_the_managers_containers_are() -> None:
    [question] = {health_of(service) for name, service in OURS.items() if name not in {"init", "api"}}
    assert question == container.healthcheck()["Test"][1]
    [in_stack] = {health_of(service) for name, service in STACK.items() if name != "init"}
    assert in_stack == question
    agents = [service for name, service in (*OURS.items(), *STACK.items()) if name not in {"init", "api"}]
    assert {service["environment"]["SWARMEX_BEAT_FILE"] for service in agents} == {str(BEAT_FILE)}


def test_nodes_can_be_dialled_by_an_api_in_another_container() -> None:
    for services in (OURS, STACK):
        assert services["inference"]["environment"]["SWARMEX_BIND_HOST"] == ANY_ADDRESS
        assert "network_mode" not in services["inference"]


def test_services_of_a_stack_have_replicas_limits_and_are_rolled_back_when_an_update_fails() -> None:
    for name in STACK.keys() - {"init"}:
        deploy = STACK[name]["deploy"]
        assert deploy["replicas"] >= 1
        assert deploy["update_config"]["failure_action"] == "rollback"
        assert deploy["rollback_config"]["parallelism"] == 1
    assert STACK["inference"]["deploy"]["placement"]["constraints"]
    assert STACK["inference"]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


def test_the_stacks_services_are_those_of_the_compose_file_without_servers() -> None:
    assert STACK.keys() == OURS.keys()
    assert {name: service["command"] for name, service in STACK.items()} == {
        name: service["command"] for name, service in OURS.items()
    }


def test_the_stand_ins_for_official_images_are_chosen_by_variables_of_their_names() -> None:
    targets = re.findall(r"^FROM debian AS (\w+)$", (FOLDER / "services.Dockerfile").read_text(), re.MULTILINE)
    assert set(targets) == SERVICES.keys() - OURS.keys()
    for name in targets:
        assert SERVICES[name]["image"].startswith(f"${{{name.upper()}_IMAGE:-")


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


@pytest.mark.parametrize("services", [SERVICES, STACK], ids=["compose", "stack"])
def test_an_inference_agent_writes_updates_of_training_and_no_other_object(services: dict[str, dict[str, Any]]) -> None:
    mounts = [
        volume.rsplit("/var/lib/swarmex/", 1)[1] for volume in services["inference"]["volumes"] if "lib" in volume
    ]
    assert mounts == ["objects:ro", "objects/training", "cache"]


def test_files_that_are_mounted_exist() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith("./")]
    assert mounts
    assert all((FOLDER / mount.partition(":")[0]).is_file() for mount in mounts)


@pytest.mark.parametrize("arguments", [[], ["ps"]])
def test_without_compose_one_is_told_what_to_install(arguments: list[str], tmp_path: Path) -> None:
    up = shutil.copy(FOLDER / "up", tmp_path / "up")
    for program in ("bash", "dirname"):
        found = shutil.which(program)
        assert found is not None
        (tmp_path / program).symlink_to(found)
    done = subprocess.run(
        [tmp_path / "bash", up, *arguments],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "install the plugin (docker compose), or Debian's package docker-compose" in done.stderr
    assert not (tmp_path / ".env").exists()
