"""One order of urgency, everywhere."""

from uuid import UUID

from backend.domain.tiers import TIERS, TierName
from backend.messaging.celery_app import celery_app
from backend.messaging.queues import TIER_PRIORITY, Priority, node_queue, pool_queue


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
