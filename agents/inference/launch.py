"""Puts an inference agent together from the settings; of the database it gets a few functions only."""

from collections.abc import Callable
from uuid import UUID

from agents.base import Identity
from agents.burials import Burials
from agents.engines.onnx import OnnxEngine
from agents.exposition import expose
from agents.inference.agent import InferenceAgent
from agents.inference.runner import UnitReport
from agents.model_cache import ModelCache
from agents.oip_server import Address
from agents.task_metrics import TaskMetrics
from agents.tasks import register_run_unit
from agents.work_port import DirectWorkPort
from backend import bootstrap
from backend.domain.errors import Unavailable
from backend.domain.fleet import AgentKind
from backend.domain.ids import UnitId
from backend.messaging.breakers import Breakers
from backend.messaging.bus import BREAKER_POLICY, Bus
from backend.messaging.celery_app import celery_app
from backend.messaging.consumer import UnitConsumer
from backend.messaging.queues import kind_queue, node_queue, pool_queue
from backend.storage.objects import ObjectStore


def launch(settings: bootstrap.Settings, identity: Identity, *, node: UUID | None, pool: str | None) -> int:
    """Run an inference agent for a node or a pool; its exit code. Raises Unavailable without settings."""
    if settings.redis_url is None:
        raise Unavailable(
            "an inference agent needs the queues' URL",
            code="no_redis_url",
            field="SWARMEX_REDIS_URL",
            accepted="redis://…; the manager sets it",
        )
    database = bootstrap.connect_node(settings)
    breakers = Breakers()
    breaker = breakers.get("bus", "redis", BREAKER_POLICY, shared=False)
    bus = Bus(settings.redis_url, settings.bus_namespace, breaker)
    redis_url, queue = settings.redis_url, node_queue(node) if node is not None else pool_queue(pool or "")

    metrics = TaskMetrics()

    def consume(run: Callable[[UnitId], UnitReport]) -> UnitConsumer:
        burials = Burials(database, identity.agent_id, metrics)
        broker = celery_app(redis_url, burials.refuse)
        register_run_unit(broker, run, burials, metrics)
        shared = [kind_queue(AgentKind.INFERENCE)]
        return UnitConsumer(broker, queue, f"{identity.name}@{identity.host}", shared=shared)

    agent = InferenceAgent(
        identity,
        DirectWorkPort(database, identity.agent_id, bus),
        bus,
        queue=queue,
        cache=ModelCache(settings.cache, ObjectStore(settings.objects)),
        engine=OnnxEngine(),
        consume=consume,
        address=Address(settings.bind_host, settings.advertise_host),
    )
    try:
        expose(settings, agent, breakers, bus.losses, metrics)
        return agent.run()
    finally:
        bus.close()
        database.close()
