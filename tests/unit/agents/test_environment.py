"""What a child process gets to know."""

from pathlib import Path

import pytest

from agents.runtimes.base import Member
from agents.runtimes.environment import Deployment, environment_of, from_label, to_label
from backend.domain.fleet import AgentKind

OWNER_URL = "postgresql://owner:secret@db/swarmex"
NODE_URL = "postgresql://swarmex_node:other@db/swarmex"
OWN = {
    "PATH": "/bin",
    "PYTHONUNBUFFERED": "1",
    "AWS_ACCESS_KEY_ID": "for the object store",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
    "SWARMEX_DATABASE_URL": OWNER_URL,
    "SWARMEX_API_PORT": "0",
    "SWARMEX_DATA_FOLDER": "elsewhere",
    "SHELL_SECRET": "of the operator",
}
DEPLOYMENT = Deployment(
    fleet="f1",
    folder=Path("/data"),
    database_url=OWNER_URL,
    redis_url="redis://r/0",
    node_database_url=lambda: NODE_URL,
    objects_url="file:///data/objects",
    model_cache=Path("/data/cache"),
    bus_namespace="ns",
    log_level="INFO",
)
NODE = Member("fog", 1, AgentKind.INFERENCE, ("--pool", "fog"))
OTHERS = [kind for kind in AgentKind if kind != AgentKind.INFERENCE]


def test_an_inference_agent_learns_nothing_of_the_owners_database() -> None:
    environment = environment_of(NODE, DEPLOYMENT, OWN)
    assert OWNER_URL not in environment.values()
    settings = {name for name in environment if name.startswith("SWARMEX_") and "FLEET" not in name}
    assert settings == {
        "SWARMEX_NODE_DATABASE_URL",
        "SWARMEX_REDIS_URL",
        "SWARMEX_OBJECTS_URL",
        "SWARMEX_MODEL_CACHE",
        "SWARMEX_BUS_NAMESPACE",
        "SWARMEX_LOG_LEVEL",
        "SWARMEX_AGENT_NAME",
    }
    assert environment["SWARMEX_NODE_DATABASE_URL"] == NODE_URL


def test_an_inference_agent_learns_what_its_models_may_take_and_which_servers_may_stand_behind_it() -> None:
    chosen = {"SWARMEX_MODEL_MEMORY_MB": "512", "SWARMEX_REMOTE_BACKENDS": '{"gpu:8000": ""}'}
    assert chosen.items() <= environment_of(NODE, DEPLOYMENT, OWN | chosen).items()


def test_an_inference_agent_learns_what_it_may_train_on_what_and_with_how_much() -> None:
    chosen = {
        "SWARMEX_TRAINERS": "mine=ours.trainers:make",
        "SWARMEX_TRAINING_DATA": "/data/digits",
        "SWARMEX_TRAINER_MEMORY_MB": "512",
    }
    assert chosen.items() <= environment_of(NODE, DEPLOYMENT, OWN | chosen).items()


@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_kind_gets_the_owners_url_and_the_one_data_folder(kind: AgentKind) -> None:
    environment = environment_of(Member("m", 0, kind), DEPLOYMENT, OWN)
    assert environment["SWARMEX_DATABASE_URL"] == OWNER_URL
    assert environment["SWARMEX_DATA_FOLDER"] == "/data"
    assert environment["SWARMEX_API_PORT"] == "0"


@pytest.mark.parametrize("kind", AgentKind)
def test_children_get_what_python_and_stores_need_and_not_the_operators_shell(kind: AgentKind) -> None:
    environment = environment_of(Member("m", 0, kind), DEPLOYMENT, OWN)
    passed = {"PATH", "PYTHONUNBUFFERED", "AWS_ACCESS_KEY_ID", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert passed <= environment.keys()
    assert "SHELL_SECRET" not in environment


def test_the_node_role_is_asked_for_only_when_a_node_starts() -> None:
    def refuse() -> str:
        raise AssertionError("asked")

    deployment = Deployment("f1", Path("/d"), OWNER_URL, "redis://r", refuse, "file:///o", Path("/c"), "ns", "INFO")
    environment_of(Member("pricing", 0, AgentKind.PRICING), deployment, OWN)


def test_a_member_survives_its_label() -> None:
    assert from_label(to_label(NODE)) == NODE


@pytest.mark.parametrize("label", ["", "{}", "[]", "null", '["a", 0, "no kind", []]', '["a", "x", "api", []]'])
def test_a_foreign_label_is_no_member(label: str) -> None:
    assert from_label(label) is None


def test_urls_with_passwords_are_not_shown() -> None:
    assert "secret" not in repr(DEPLOYMENT)
    assert "redis://" not in repr(DEPLOYMENT)
