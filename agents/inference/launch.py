"""Puts an inference agent together from the settings; of the database it gets a few functions only."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from agents.base import Identity
from agents.burials import Burials
from agents.engine_metrics import EngineMetrics
from agents.engines.base import Engine
from agents.engines.formats import ONNX, REMOTE, Engines
from agents.engines.onnx import OnnxEngine
from agents.exposition import expose
from agents.inference.agent import InferenceAgent
from agents.inference.models import LoadedModels
from agents.inference.run_queue import RUNS_MAX
from agents.inference.runner import UnitReport
from agents.inference.sealing_keys import KeyRing
from agents.inference.training import trained_by
from agents.model_cache import ModelCache
from agents.oip_server import Address, OipServer
from agents.peers import PeerFiles
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
from backend.storage.key_folder import KeyFolder
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

    objects = ObjectStore(settings.objects)
    port = DirectWorkPort(database, identity.agent_id, bus, objects)
    models = LoadedModels(
        ModelCache(settings.cache, objects, PeerFiles(port.peers)),
        _engines(settings, breakers),
        bytes_max=settings.model_bytes,
    )
    agent = InferenceAgent(
        identity,
        port,
        bus,
        queue=queue,
        models=models,
        consume=consume,
        serve=partial(
            OipServer,
            address=Address(settings.bind_host, settings.advertise_host),
            threads=RUNS_MAX if settings.remote_backends else None,  # what is computed elsewhere takes no core here
        ),
        keys=KeyRing(port, KeyFolder(settings.sealing)),
        train=trained_by(settings, port),
    )
    try:
        expose(settings, agent, breakers, bus.losses, metrics, EngineMetrics(models, agent.batches))
        return agent.run()
    finally:
        bus.close()
        database.close()


def _engines(settings: bootstrap.Settings, breakers: Breakers) -> Engine:
    engines: dict[str, Engine] = {ONNX: OnnxEngine()}
    if settings.remote_backends:
        from agents.engines.remote import RemoteEngine  # its HTTP client is slow to import, and seldom needed

        engines[REMOTE] = RemoteEngine(settings.remote_backends, breakers)
    return Engines(engines)
