"""One run of the demo, step by step: a market is set up, work is bought, run and paid on it, the books are checked."""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from backend.cli.connection import operator
from backend.cli.demo import digits as model
from backend.cli.demo import federated, report, sample, workload
from backend.cli.demo.client import Client
from backend.cli.demo.steps import Steps
from backend.cli.deployment import Deployment
from backend.cli.fleet import FLEET
from backend.cli.signals import interruptible
from backend.domain.errors import Conflict
from backend.domain.ids import LeaseId
from backend.domain.orders import CloseReason

if TYPE_CHECKING:
    from backend.bootstrap import Settings, Swarmex

FOLDER = "demo"  # in the data folder
SAMPLE_REQUEST = Path(FOLDER) / "digit.json"
REPLAYED = 1_000  # clearings at most, more than a run makes
ANY_PORT = {"SWARMEX_API_PORT": "0"}  # it must not stand in anybody's way


def run(settings: "Settings", steps: Steps) -> report.Report:
    """Run everything; what this process started is stopped again, whatever happens. Raises SwarmexError."""
    deployment = Deployment(settings, ANY_PORT)
    with interruptible():
        try:
            with steps.step("starting PostgreSQL and Redis") as step:
                market = deployment.start_servers()
                step.done(f"up, in {deployment.folder}")
            with closing(market), _alone(deployment.folder):
                return _on(market, deployment, steps)
        finally:
            deployment.stop()


def _on(market: "Swarmex", deployment: Deployment, steps: Steps) -> report.Report:
    from backend import bootstrap
    from backend.services import fleet
    from backend.services.audit import audit_ledger
    from backend.services.epochs import replay_last

    began = time.monotonic()
    name = f"demo-{bootstrap.new_id()}"
    wanted = fleet.ensure(market.uow(), FLEET)
    deployment.start_manager(market)
    with steps.step("opening accounts, registering nodes") as step:
        made = sample.set_up(market, bootstrap.utc_now(), name)
        step.done(f"{len(made.before)} accounts, {made.nodes} nodes in {len(sample.REGIONS)} regions")
    with steps.step("training a model") as step:
        digits = _model(market, deployment.folder / FOLDER)
        step.done(f"{model.MODEL}, exported to ONNX, measured, registered")
    with steps.step("waiting for the agents") as step:
        url = deployment.await_ready(market, wanted, step.tell)
        step.done(f"{sum(spec.replicas for spec in wanted)} are up, the API at {url}")
    with ExitStack() as stack:
        clients = {buyer: stack.enter_context(Client(url, key.secret)) for buyer, key in made.keys.items()}
        billed = {buyer: -client.billed_nano() for buyer, client in clients.items()}
        placed = _work(market, clients, digits, name, steps)
        trained = _train(market, clients, placed, name, steps)
        lines, fees_nano = report.collect(clients, digits, placed)
        training, training_fees_nano = report.collect_training(clients[federated.BUYER], trained)
        fees_nano += training_fees_nano
        billed = {buyer: billed[buyer] + client.billed_nano() for buyer, client in clients.items()}
    sample.revoke_keys(market, bootstrap.utc_now(), made)
    with steps.step("stopping the agents") as step:
        step.done("settled what was left" if _settle_the_rest(market, deployment) else "not ours: they run on")
    with steps.step("auditing the ledger") as step:
        after, audit = sample.look(market), audit_ledger(market.uow())
        step.done(f"{audit.transfers} transfers, {len(audit.differences)} differences")
    with steps.step("replaying the auctions") as step:
        replays = replay_last(market.uow(), operator(), REPLAYED)
        step.done(f"{len(replays)} clearings computed again")
    took_s = time.monotonic() - began
    images = len(digits.labels)
    return report.Report(lines, images, made.before, after, billed, fees_nano, audit, replays, took_s, training)


def _model(market: "Swarmex", folder: Path) -> model.Digits:
    """The trained model, registered; one of its held-out images is left as a file to try the market with."""
    from backend import bootstrap
    from backend.services import models

    digits = model.train(folder)
    models.register_model(market.uow(), bootstrap.utc_now(), market.objects, model.MODEL, digits.path)
    (folder / SAMPLE_REQUEST.name).write_bytes(orjson.dumps(model.request(digits.images[:1])))
    return digits


def _work(
    market: "Swarmex", clients: workload.Clients, digits: model.Digits, name: str, steps: Steps
) -> workload.Placed:
    """Orders first, real-time requests when their slots are free again."""
    tasks, real_time = workload.plan(digits)
    placed = workload.Placed()
    with steps.step("placing orders") as step:
        workload.place(clients, tasks, name, placed)
        step.done(f"{sum(map(len, placed.orders.values()))} of all four tiers")
    with steps.step("running them") as step:
        step.done(workload.await_end(clients, placed, step.at))
    with steps.step("asking in real time") as step:
        workload.infer(clients, real_time, digits, placed)
        _end_sessions(market, placed.leases())
        workload.await_end(clients, placed, step.at)
        step.done(f"{sum(map(len, placed.answers.values()))} requests in {len(placed.leases())} sessions")
    return placed


def _train(
    market: "Swarmex", clients: workload.Clients, placed: workload.Placed, name: str, steps: Steps
) -> federated.Trained:
    """One model by several nodes; then what they learned is asked."""
    client = clients[federated.BUYER]
    with steps.step("training on the nodes") as step:
        trained = federated.train(client, name, step)
        step.done(f"{federated.MODEL}, {federated.ROUNDS} rounds of {federated.NODES} nodes, registered")
    with steps.step("serving what they learned") as step:
        federated.serve(client, trained)
        assert trained.answer is not None
        _end_sessions(market, [trained.answer.lease])
        workload.await_end(clients, placed, step.at)
        step.done(f"{trained.right} of {trained.images} images right, by {trained.answer.node}")
    return trained


def _end_sessions(market: "Swarmex", leases: Iterable[str]) -> None:
    """End what the gateway would end by itself after 15 idle seconds; it notices."""
    from uuid import UUID

    from backend import bootstrap
    from backend.services import sessions

    for lease in leases:
        sessions.end(market.uow(), bootstrap.utc_now(), LeaseId(UUID(lease)), CloseReason.SESSION_IDLE)


def _settle_the_rest(market: "Swarmex", deployment: Deployment) -> bool:
    """Stop our own agents and do once more what the settlement agent did; False if the agents are another's."""
    from backend import bootstrap
    from backend.services import sessions, settlement

    if not deployment.stop_manager():
        return False
    sessions.settle_windows(market.uow(), bootstrap.utc_now())
    settlement.settle_finished(market.uow(), bootstrap.utc_now())
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One demo at a time in a data folder; raises Conflict(`demo_running`)."""
    folder.mkdir(parents=True, exist_ok=True)  # with servers of one's own it may not be there yet
    lock = os.open(folder / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(lock, folder)
        yield
    finally:
        os.close(lock)


def _take(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(
            f"another demo runs in {folder}",
            code="demo_running",
            field="SWARMEX_DATA_FOLDER",
            accepted="a folder of its own for each demo that runs at the same time",
        ) from None
