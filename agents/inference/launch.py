"""Puts an inference agent together from the settings; of the database it gets a few functions only."""

from uuid import UUID

from agents.base import Identity
from agents.engines.onnx import OnnxEngine
from agents.inference.agent import InferenceAgent
from agents.model_cache import ModelCache
from agents.work_port import DirectWorkPort
from backend import bootstrap
from backend.domain.errors import Unavailable
from backend.messaging.bus import Bus
from backend.messaging.queues import node_queue, pool_queue
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
    bus = Bus(settings.redis_url, settings.bus_namespace)
    agent = InferenceAgent(
        identity,
        DirectWorkPort(database, identity.agent_id, bus),
        bus,
        redis_url=settings.redis_url,
        queue=node_queue(node) if node is not None else pool_queue(pool or ""),
        cache=ModelCache(settings.cache, ObjectStore(settings.objects)),
        engine=OnnxEngine(),
    )
    try:
        return agent.run()
    finally:
        bus.close()
        database.close()
