"""An engine, the image, and a market whose processes run in containers."""

import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.containers import docker
from tests.docker.fleets import STUB_PROGRAM
from tests.docker.swarm import ContainerSwarm
from tests.market import Market

PROJECT = Path(__file__).parents[2]
INFO_TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 540.0
STUB_IMAGE = "swarmex-stub:test"
BROKEN_IMAGE = "swarmex-broken:test"


@pytest.fixture(scope="session")
def version() -> str:
    """The project's version."""
    text = (PROJECT / "pyproject.toml").read_text()
    return str(tomllib.loads(text)["project"]["version"])


@pytest.fixture(scope="session")
def image(version: str) -> str:
    """The image of the sources as they are; skips without an engine, or when nobody has built one before."""
    name = f"swarmex:{version}"
    try:
        docker("info", timeout_s=INFO_TIMEOUT_S)
    except (OSError, AssertionError, subprocess.TimeoutExpired):
        pytest.skip("no engine answers `docker info`")
    try:
        docker("image", "inspect", name)
    except AssertionError:
        pytest.skip(f"there is no image {name}: `make image` builds it")
    # From the layers of that image this takes seconds; without it an image of older sources would be tested.
    built = subprocess.run(
        [PROJECT / "docker/build-image"], capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    assert built.returncode == 0, built.stderr[-4000:]
    return name


@pytest.fixture
def swarm(
    image: str, database_url: str, node_database_url: str, redis_url: str, namespace: str, tmp_path: Path
) -> Iterator[ContainerSwarm]:
    """A market on servers of the test's own; its processes are the test's to start."""
    market = Market(database_url, node_database_url, redis_url, namespace, tmp_path)
    swarm = ContainerSwarm(image, market, database_url, node_database_url, redis_url, namespace)
    try:
        yield swarm
    finally:
        swarm.close()


@pytest.fixture(scope="session")
def stub_image(image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image with a program in the agents' place that needs no server."""
    folder = tmp_path_factory.mktemp("stub")
    shutil.copyfile(STUB_PROGRAM, folder / "agents.py")
    (folder / "Dockerfile").write_text(f"FROM {image}\nENV PYTHONPATH=/stub\nCOPY agents.py /stub/agents.py\n")
    docker("build", "--quiet", "--tag", STUB_IMAGE, str(folder))
    return STUB_IMAGE


@pytest.fixture(scope="session")
def broken_image(image: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image with a program that ends as it starts."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "Dockerfile").write_text(f'FROM {image}\nENTRYPOINT ["false"]\n')
    docker("build", "--quiet", "--tag", BROKEN_IMAGE, str(folder))
    return BROKEN_IMAGE


@pytest.fixture(scope="session")
def cluster(image: str) -> Iterator[None]:
    """The engine as the manager of a cluster of one machine; left again if it was not in one."""
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() == "active":
        yield
        return
    docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
    try:
        yield
    finally:
        docker("swarm", "leave", "--force")
