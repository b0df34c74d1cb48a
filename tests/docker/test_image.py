"""The image as it is run: without root, without a disk to write to, and ending when it is told to."""

import json

import httpx
import pytest

from backend.domain.orders import OrderState
from backend.services import audit, receipts
from tests.docker.containers import RIGHTLESS, docker
from tests.docker.swarm import ContainerSwarm

# The tests of other files go on beside these, on the same cores; the first one here also refreshes the image.
pytestmark = [pytest.mark.docker, pytest.mark.slow]

SIZE_BYTES_MAX = 800_000_000  # of which the base is 170 million, ONNX Runtime and OR-Tools most of the rest


def assert_all_drain(swarm: ContainerSwarm) -> None:
    """On SIGTERM every process says goodbye and exits with 0: who is killed does not."""
    _, codes = swarm.stop()
    assert set(codes.values()) == {0}, "\n".join(container.logs() for container in swarm.containers)
    assert {row.state for row in swarm.query("SELECT state FROM agents")} == {"stopped"}


def test_the_image_runs_without_root_and_holds_no_installer_or_compiler(image: str) -> None:
    script = "id -u; for tool in cc gcc make pip pip3; do command -v $tool; done; true"
    said = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)
    assert said.split() == ["10001"]


def test_the_cli_runs_with_no_rights_and_a_disk_that_cannot_be_written_to(image: str, version: str) -> None:
    said = docker("run", "--rm", "--network", "none", *RIGHTLESS, image, "backend.cli", "--version")
    assert said.strip() == f"swarmex {version}"


def test_the_image_is_not_larger_than_what_it_runs_needs(image: str) -> None:
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) <= SIZE_BYTES_MAX


def test_a_plot_is_refused_where_nothing_draws_it(image: str) -> None:
    simulate = ("backend.cli", "market", "simulate", "--png", "/tmp/day.png", "--json")  # in the container
    said = docker(
        "run",
        "--rm",
        "--network",
        "none",
        *RIGHTLESS,
        "--entrypoint",
        "sh",
        image,
        "-c",
        f"python -m {' '.join(simulate)}; true",
    )
    assert json.loads(said)["error"]["code"] == "no_plots"


def test_assignments_are_solved_without_what_the_solver_names_and_never_imports(image: str) -> None:
    script = "from ortools.graph.python import min_cost_flow as m; print(m.SimpleMinCostFlow().num_arcs())"
    said = docker("run", "--rm", "--network", "none", *RIGHTLESS, "--entrypoint", "python", image, "-c", script)
    assert said.strip() == "0"


def test_the_model_runtime_keeps_no_device_id_and_reports_to_nobody(image: str) -> None:
    # With its telemetry on, it complains here that it cannot write its id.
    script = 'python -c "import onnxruntime" 2>&1'
    assert docker("run", "--rm", "--network", "none", *RIGHTLESS, "--entrypoint", "sh", image, "-c", script) == ""


def test_an_order_is_executed_and_settled_by_containers_which_then_end_when_told_to(swarm: ContainerSwarm) -> None:
    swarm.market.node("a", slots=2, pool="fog")
    swarm.start("agents", "allocation")
    swarm.start("agents", "settlement")
    swarm.start_inference("fog")
    swarm.until(lambda: {"allocation", "settlement", "inference"} <= swarm.agents().keys(), "all agents are up")
    [order] = swarm.market.place()
    swarm.until(lambda: swarm.market.show(order).closed_at, "the order has ended")
    assert swarm.market.show(order).state is OrderState.SETTLED
    [item] = receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)
    assert item.node_name == "a"
    assert json.loads(item.outputs or b"{}")["outputs"][0]["data"] == [2.0, 4.0]
    assert audit.audit_ledger(swarm.market.app.uow()).ok
    assert_all_drain(swarm)


def test_every_other_process_starts_from_the_image_and_ends_when_told_to(swarm: ContainerSwarm) -> None:
    swarm.start("agents", "pricing")
    swarm.start("agents", "manager")
    swarm.start("backend.api", SWARMEX_API_HOST="127.0.0.1", SWARMEX_API_PORT="0")
    swarm.until(lambda: {"pricing", "manager", "api"} <= swarm.agents().keys(), "all processes are up")
    assert httpx.get(f"{swarm.agents()['api']}/health/ready", timeout=60).status_code == 200
    assert_all_drain(swarm)
