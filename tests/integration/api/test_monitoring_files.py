"""Rules and dashboards ask for figures that there are: no alert and no panel is dead."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not among the requirements
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from agents.exposition import AgentMetrics
from agents.task_metrics import TaskMetrics
from backend.bootstrap import Swarmex, utc_now
from backend.gateway.grpc.metrics import CallMetrics
from backend.services import audit
from tests.integration.api.callers import Callers
from tests.integration.api.requests import body, workload
from tests.integration.api.supply import Supply

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "docker"
GROUPS: list[dict[str, Any]] = yaml.safe_load((DOCKER / "prometheus-rules.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana" / "dashboards" / "swarmex.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [str(rule["expr"]) for rule in RULES] + [t["expr"] for panel in PANELS for t in panel["targets"]]
STRINGS = re.compile(r'"[^"]*"')
NAMES = re.compile(r"\bswarmex[_:][a-z0-9_:]+")
SELECTED = re.compile(r"\b(swarmex_[a-z0-9_]+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([a-z_, ]+)\)[ (]*(?:rate\()?(swarmex_[a-z0-9_]+)")
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}


class _Agent:
    """What `AgentMetrics` shows of an agent."""

    name, ticks, failures = "settlement", 1, 0

    def tick_age_ms(self) -> int:
        return 1


@pytest.fixture
def samples(callers: Callers, market: Swarmex, supply: Supply) -> dict[str, set[str]]:
    """Every sample that an API or an agent may show, and the labels seen on it."""
    callers.user.post("/api/v1/orders", json=workload())
    callers.user.post("/v2/models/scale/infer", json=body())
    callers.user.get("/nowhere")
    audit.audit_recent(market.uow(), utc_now())
    tasks, registry = TaskMetrics(), CollectorRegistry(auto_describe=False)
    tasks.ended("swarmex.run_unit", "done", 0.1)
    for collector in (tasks, CallMetrics(), AgentMetrics(_Agent())):  # type: ignore[arg-type]  # all of an agent that is shown
        registry.register(collector)
    shown = _scrape(callers.admin) + generate_latest(registry).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(shown):
        for suffix in SUFFIXES.get(family.type, ("",)):
            found.setdefault(family.name + suffix, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _scrape(admin: httpx.Client) -> str:
    answer = admin.get("/metrics")
    assert answer.status_code == 200
    return answer.text


def _names(expression: str) -> Iterator[str]:
    yield from NAMES.findall(STRINGS.sub("", expression))


def test_every_figure_that_rules_and_panels_ask_for_is_shown(samples: dict[str, set[str]]) -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    asked = {name for expression in EXPRESSIONS for name in _names(expression)}
    assert asked - recorded - samples.keys() == set()
    assert len(asked) > 20
    for expression in EXPRESSIONS:
        for name, matchers in SELECTED.findall(expression):
            wanted = {re.split(r"[=!~]", matcher.strip())[0] for matcher in STRINGS.sub("", matchers).split(",")}
            assert wanted <= samples[name] or not samples[name], (name, wanted)
        for labels, name in GROUPED.findall(expression):
            wanted = {label.strip() for label in labels.split(",")}
            assert wanted <= samples[name] or not samples[name], (name, wanted)


def test_every_figure_is_explained_where_operators_look(samples: dict[str, set[str]]) -> None:
    explained = set(re.findall(r"`(swarmex_[a-z0-9_]+)", (ROOT / "docs" / "observability.md").read_text()))
    suffix = re.compile(r"_(total|bucket|count|sum|created)$")
    families = {suffix.sub("", name) for name in samples if name.startswith("swarmex_")}
    assert {name for name in families if name not in explained and f"{name}_total" not in explained} == set()


def test_rules_and_panels_are_complete_and_named_once() -> None:
    names = [rule.get("record") or rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    for rule in RULES:
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"]["summary"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert {t["datasource"]["uid"] for t in PANELS} == {"swarmex-prometheus"}


def test_files_are_where_compose_mounts_them_from() -> None:
    prometheus = yaml.safe_load((DOCKER / "prometheus.yml").read_text())
    main = yaml.safe_load((DOCKER / "compose.yml").read_text())["services"]["prometheus"]
    [rules] = prometheus["rule_files"]
    assert f"./prometheus-rules.yml:{rules}:ro" in main["volumes"]
    more = yaml.safe_load((DOCKER / "observability.yml").read_text())["services"]
    for volume in more["grafana"]["volumes"]:
        assert (DOCKER / volume.split(":")[0]).is_dir()
    sources = yaml.safe_load((DOCKER / "grafana" / "provisioning" / "datasources" / "swarmex.yml").read_text())
    assert {source["uid"] for source in sources["datasources"]} == {"swarmex-prometheus", "swarmex-jaeger"}
