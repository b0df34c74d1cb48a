"""How the machine looks from inside a container."""

from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from agents.runtimes.base import Member
from agents.runtimes.environment import Deployment
from agents.runtimes.files import Files
from agents.runtimes.inside import ANY_ADDRESS, OBJECTS, environment_inside, local_folder, url_inside
from backend.domain.federated.tasks import job_folder
from backend.domain.fleet import AgentKind
from backend.domain.ids import TrainingJobId

DEPLOYMENT = Deployment(
    fleet="f1",
    folder=Path("/data"),
    database_url="postgresql+psycopg://swarmex:p%40ss@127.0.0.1:5432/swarmex",
    redis_url="redis://:pass@localhost:6379/0",
    node_database_url=lambda: "postgresql+psycopg://swarmex_node:other@127.0.0.1:5432/swarmex",
    objects_url="file:///data/objects",
    model_cache=Path("/data/cache"),
    bus_namespace="ns",
    log_level="INFO",
)
OWN = {
    "PATH": "/home/operator/bin",
    "HOME": "/home/operator",
    "PYTHONPATH": "/home/operator/lib",
    "SSL_CERT_FILE": "/home/operator/ca.pem",
    "AWS_ACCESS_KEY_ID": "for the store",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318",
    "OMP_NUM_THREADS": "1",
    "SHELL_SECRET": "of the operator",
    "SWARMEX_API_HOST": "127.0.0.1",
    "SWARMEX_DATABASE_URL": "postgresql://elsewhere",
    "SWARMEX_IMAGE": "mine:1",
    "SWARMEX_RUNTIME": "docker",
}


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("redis://:pw@127.0.0.1:6379/0", "redis://:pw@host.docker.internal:6379/0"),
        ("postgresql://u:a%40b@localhost:1/d?x=1", "postgresql://u:a%40b@host.docker.internal:1/d?x=1"),
        ("http://[::1]:80/", "http://host.docker.internal:80/"),
        ("http://localhost/path", "http://host.docker.internal/path"),
        ("redis://:pw@db.example:6379/0", "redis://:pw@db.example:6379/0"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ("http://[broken", "http://[broken"),
        ("http://127.0.0.1:none/", "http://127.0.0.1:none/"),
    ],
)
def test_this_machine_has_another_name_in_there_and_all_else_stays(outside: str, inside: str) -> None:
    assert url_inside(outside) == inside


def test_an_agent_gets_the_servers_by_that_name_and_folders_of_the_container() -> None:
    environment = environment_inside(Member("m", 0, AgentKind.PRICING), DEPLOYMENT, OWN, 0)
    assert environment["SWARMEX_DATABASE_URL"] == (
        "postgresql+psycopg://swarmex:p%40ss@host.docker.internal:5432/swarmex"
    )
    assert environment["SWARMEX_REDIS_URL"] == "redis://:pass@host.docker.internal:6379/0"
    assert environment["AWS_ENDPOINT_URL"] == "http://host.docker.internal:9000"
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://host.docker.internal:4318"
    assert environment["SWARMEX_DATA_FOLDER"] == "/var/lib/swarmex"
    assert environment["SWARMEX_OBJECTS_URL"] == "file:///var/lib/swarmex/objects"
    assert environment["SWARMEX_MODEL_CACHE"] == "/var/lib/swarmex/cache"
    assert environment["SWARMEX_BEAT_FILE"] == "/tmp/beat"


@pytest.mark.parametrize("kind", AgentKind)
def test_nothing_of_the_operators_shell_or_python_goes_into_a_container(kind: AgentKind) -> None:
    environment = environment_inside(Member("m", 0, kind), DEPLOYMENT, OWN, 0)
    assert not {"PATH", "HOME", "PYTHONPATH", "SSL_CERT_FILE", "SHELL_SECRET"} & environment.keys()
    assert not {"SWARMEX_IMAGE", "SWARMEX_RUNTIME"} & environment.keys()
    assert environment["OMP_NUM_THREADS"] == "1"


def test_an_inference_agent_knows_the_nodes_role_only_and_listens_in_its_network() -> None:
    member = Member("pool", 0, AgentKind.INFERENCE, ("--pool", "fog"))
    environment = environment_inside(member, DEPLOYMENT, OWN, 0)
    assert environment["SWARMEX_NODE_DATABASE_URL"].endswith("@host.docker.internal:5432/swarmex")
    assert "SWARMEX_DATABASE_URL" not in environment
    assert environment["SWARMEX_BIND_HOST"] == ANY_ADDRESS


def test_an_api_listens_where_its_port_is_published_from() -> None:
    environment = environment_inside(Member("api", 0, AgentKind.API), DEPLOYMENT, OWN, 4711)
    assert (environment["SWARMEX_API_HOST"], environment["SWARMEX_API_PORT"]) == (ANY_ADDRESS, "4711")


def test_a_grpc_server_reads_its_certificate_where_it_is_mounted(tmp_path: Path) -> None:
    member = Member("grpc", 0, AgentKind.GRPC)
    own = OWN | {"SWARMEX_GRPC_CERT": "server.pem", "SWARMEX_GRPC_KEY": str(tmp_path / "server.key")}
    environment = environment_inside(member, DEPLOYMENT, own, 4712)
    assert (environment["SWARMEX_GRPC_HOST"], environment["SWARMEX_GRPC_PORT"]) == (ANY_ADDRESS, "4712")
    mounted = {here: (there, read_only) for here, there, read_only in Files(DEPLOYMENT, own).mounts(member)}
    assert mounted[Path("server.pem").absolute()] == (Path(environment["SWARMEX_GRPC_CERT"]), True)
    assert mounted[tmp_path / "server.key"] == (Path(environment["SWARMEX_GRPC_KEY"]), True)
    assert "SWARMEX_GRPC_CLIENT_CA" not in environment
    others = Files(DEPLOYMENT, own).mounts(Member("api", 0, AgentKind.API))
    assert all("server" not in here.name for here, _, _ in others)


def test_nodes_write_no_objects_but_updates_of_training() -> None:
    def writable(kind: AgentKind) -> set[Path]:
        mounts = Files(DEPLOYMENT, OWN).mounts(Member("m", 0, kind))
        return {there for _, there, read_only in mounts if not read_only and there.is_relative_to(OBJECTS)}

    updates = OBJECTS / job_folder(TrainingJobId(UUID(int=1))).partition("/")[0]
    assert writable(AgentKind.INFERENCE) == {updates}
    assert writable(AgentKind.TRAINING_ROUND) == {OBJECTS}


def test_each_server_tells_its_address_where_that_of_a_process_is(tmp_path: Path) -> None:
    files = Files(replace(DEPLOYMENT, folder=tmp_path), OWN)
    for kind, name in ((AgentKind.API, "api.url"), (AgentKind.GRPC, "grpc.address")):
        (tmp_path / name).write_text("of a process that was killed")
        for _ in range(2):
            files.link_address(Member("m", 0, kind))
        assert (tmp_path / name).readlink() == Path("containers") / name


def test_a_store_that_is_reached_by_network_stays_where_it_is() -> None:
    deployment = replace(DEPLOYMENT, objects_url="s3://bucket/objects")
    environment = environment_inside(Member("api", 0, AgentKind.API), deployment, OWN, 0)
    assert environment["SWARMEX_OBJECTS_URL"] == "s3://bucket/objects"
    assert local_folder("s3://bucket/objects") is None
    assert local_folder("file:///a%20b/c") == Path("/a b/c")
    assert local_folder("/plain/path") == Path("/plain/path")
