"""One order of urgency, everywhere."""

from typing import Any
from uuid import UUID

import pytest

from backend.domain.fleet import AgentKind
from backend.domain.tiers import TIERS, TierName
from backend.domain.work import PROFILE_FACTOR, UNIT_US_MAX
from backend.messaging.celery_app import VISIBILITY_TIMEOUT_S, celery_app
from backend.messaging.queues import (
    RUN_UNIT,
    TASK_KINDS,
    TIER_PRIORITY,
    Priority,
    is_queue,
    kind_queue,
    node_queue,
    pool_queue,
    route,
)


def test_a_higher_tier_is_more_urgent_and_the_most_urgent_number_is_zero() -> None:
    by_rank = sorted(TierName, key=lambda name: TIERS[name].rank)
    assert [TIER_PRIORITY[name] for name in by_rank] == sorted(Priority)
    assert TIER_PRIORITY[TierName.ENTERPRISE] == 0


def test_every_priority_is_a_step_of_the_broker_so_that_none_is_rounded() -> None:
    app = celery_app("redis://127.0.0.1:1/0")
    assert app.conf.broker_transport_options["priority_steps"] == sorted(int(step) for step in Priority)


def test_the_broker_is_never_waited_for_without_a_limit() -> None:
    options = celery_app("redis://127.0.0.1:1/0").conf.broker_transport_options
    assert 0 < options["socket_timeout"] <= 5
    assert 0 < options["socket_connect_timeout"] <= 5


def test_an_application_takes_json_only() -> None:
    app = celery_app("redis://127.0.0.1:1/0")
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"


def test_nodes_and_pools_cannot_share_a_queue_by_accident() -> None:
    node = UUID("019a0000-0000-7000-8000-000000000001")
    assert node_queue(node) == f"node.{node}"
    assert pool_queue(str(node)) != node_queue(node)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_acks_late", True),  # a unit that was not run to its end is still the broker's
        ("worker_prefetch_multiplier", 1),  # nobody keeps what another could run
        ("worker_concurrency", 1),
        ("worker_pool", "solo"),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("result_backend", None),  # results are in PostgreSQL
        ("task_ignore_result", True),
        ("worker_send_task_events", True),  # stock monitors watch
        ("worker_enable_remote_control", False),  # and do no more than that
        ("broker_connection_retry", False),  # the consumer's thread starts afresh
        ("task_reject_on_worker_lost", None),  # the sweeper returns work, within seconds
        ("task_acks_on_failure_or_timeout", True),  # so does it for a unit that raised
    ],
)
def test_the_settings_that_the_design_counts_on(setting: str, value: Any) -> None:
    assert celery_app("redis://127.0.0.1:1/0").conf[setting] == value


def test_a_message_is_invisible_for_longer_than_any_unit_may_take() -> None:
    options = celery_app("redis://127.0.0.1:1/0").conf.broker_transport_options
    assert options["visibility_timeout"] == VISIBILITY_TIMEOUT_S
    assert 5 * PROFILE_FACTOR * UNIT_US_MAX / 1e6 < VISIBILITY_TIMEOUT_S


def test_a_task_goes_where_its_sender_says_else_to_its_kind_and_never_where_nobody_looks() -> None:
    assert route(RUN_UNIT, (), {}, {"queue": "pool.p"}, task=None) is None
    assert route(RUN_UNIT, (), {}, {}, task=None) == {"queue": kind_queue(AgentKind.INFERENCE)}
    with pytest.raises(LookupError, match="unheard_of"):
        route("swarmex.unheard_of", (), {}, {})
    with pytest.raises(LookupError):
        celery_app("redis://127.0.0.1:1/0").send_task("swarmex.unheard_of")
    assert set(TASK_KINDS) == {RUN_UNIT}


def test_every_queue_of_ours_is_known_as_one_and_no_other_key() -> None:
    node = UUID("019a0000-0000-7000-8000-000000000001")
    assert all(is_queue(name) for name in (node_queue(node), pool_queue("p"), kind_queue(AgentKind.INFERENCE)))
    assert not any(is_queue(name) for name in ("", "celery", "unacked", "pool.", "unacked_index", "remote.x"))
