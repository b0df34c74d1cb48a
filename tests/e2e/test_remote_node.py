"""A machine that nobody can dial, without a database and without a broker, joins, works and earns."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from backend.api.app import create_app
from backend.bootstrap import utc_now
from backend.domain.joining import TokenWish
from backend.services import accounts, audit, joining, receipts
from tests.e2e.swarm import Swarm
from tests.e2e.test_crashes import ITEM_MULTIPLICATIONS, assert_charged_once, running_on
from tests.integration.remote.machines import client_of
from tests.onnx_files import request, write_slow_on_demand
from tests.unit.api.serving import serving
from tests.waiting import PATIENCE_S

pytestmark = [pytest.mark.slow]

ASK = "0.001"
ENDLESS_MULTIPLICATIONS = 200_000.0  # minutes, where a drain leaves seconds


class Machine:
    """Somebody's machine: a folder, and `swarmex node join` in an environment that knows no servers."""

    def __init__(self, swarm: Swarm, url: str, name: str) -> None:
        self.swarm = swarm
        self.url = url
        self.name = name
        self.folder = swarm.folder / f"machine-{name}"
        self.folder.mkdir()
        self.log = swarm.folder / f"{name}.log"

    def join(self, *options: str, token: str | None = None) -> "subprocess.Popen[bytes]":
        """Start it; without a token it goes on as who it is."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("SWARMEX_")}
        secret = ["--token", token] if token else []
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "backend.cli", "node", "join", self.url, *secret, "--slots", "1", *options],
                env=clean | {"SWARMEX_DATA_FOLDER": str(self.folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.swarm.processes[self.name] = process
        return process

    def join_anew(self, *options: str) -> "subprocess.Popen[bytes]":
        """Join with a fresh token and an offer, and wait until it is alive."""
        process = self.join("--name", self.name, "--ask", ASK, *options, token=token(self.swarm))
        self.until_alive()
        return process

    def until_alive(self) -> None:
        """Wait until its agent has beaten lately."""
        self.swarm.until(self.alive, f"{self.name} is alive")

    def alive(self) -> bool:
        """Whether its agent has beaten in the last seconds."""
        return bool(
            self.swarm.query(
                "SELECT 1 FROM agents a JOIN nodes n ON n.queue = a.queue WHERE n.name = :name"
                " AND a.state = 'up' AND a.beat_at > now() - interval '2 s'",
                name=self.name,
            )
        )

    def says(self, words: str) -> bool:
        """Whether its log has these words."""
        return words in self.log.read_text()


def token(swarm: Swarm) -> str:
    """A token of the provider's."""
    wish = TokenWish("fog", "north", slots_max=2)
    return joining.create_token(swarm.market.app.uow(), utc_now(), swarm.market.provider.account_id, wish).secret


def earned_nano(swarm: Swarm) -> int:
    """What the provider has earned, withheld or not."""
    shown = accounts.show_account(swarm.market.app.uow(), swarm.market.provider.account_id)
    return shown.earnings_nano + shown.withheld_nano


@contextmanager
def served(swarm: Swarm) -> Iterator[str]:
    """The market's API."""
    with serving(create_app(swarm.market.app)) as url:
        yield url


@pytest.fixture
def url(swarm: Swarm) -> Iterator[str]:
    with served(swarm) as url:
        yield url


def test_a_machine_joins_runs_an_order_and_its_owner_earns(swarm: Swarm, url: str) -> None:
    machine = Machine(swarm, url, "attic")
    process = machine.join_anew()
    assert oct((machine.folder / "node.json").stat().st_mode)[-3:] == "600"
    before = earned_nano(swarm)
    [order] = swarm.market.place(requests=[request((1.0, 2.0))] * 20, workload="batch", deadline_s=600)
    swarm.until_settled(order)
    assert earned_nano(swarm) > before
    assert {item.node_name for item in receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)} == {
        "attic"
    }
    assert audit.audit_ledger(swarm.market.app.uow()).ok
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    again = machine.join()
    machine.until_alive()
    [order] = swarm.market.place(deadline_s=600)
    swarm.until_settled(order)
    again.send_signal(signal.SIGINT)
    assert again.wait(PATIENCE_S) == 0
    assert len(swarm.query("SELECT 1 FROM nodes")) == 1
    key = (machine.folder / "node.json").read_text().split('"key": "')[1].split('"')[0]
    assert not machine.says(key)


def test_a_machine_that_nobody_can_dial_answers_in_real_time_until_it_drains(swarm: Swarm, url: str) -> None:
    process = Machine(swarm, url, "attic").join_anew("--leave")
    with client_of(swarm.market, url) as user:
        answer = user.post("/v2/models/doubling/infer", json=request((1.0, 2.0)))
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"][0]["data"] == [2.0, 4.0]
        assert answer.headers["Swarmex-Node"] == "attic"
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert user.post("/v2/models/doubling/infer", json=request((1.0, 2.0))).status_code == 503
    assert audit.audit_ledger(swarm.market.app.uow()).ok


def test_killed_in_mid_item_its_work_runs_on_another_node_and_is_charged_once(swarm: Swarm, url: str) -> None:
    swarm.slow_model("slow", ITEM_MULTIPLICATIONS)
    machines = {name: Machine(swarm, url, name) for name in ("attic", "cellar")}
    for machine in machines.values():
        machine.join_anew()
    [order] = swarm.market.place(model="slow", deadline_s=600)
    swarm.until(lambda: running_on(swarm), "the item runs")
    victim = running_on(swarm)
    assert victim is not None
    swarm.signal(victim, signal.SIGKILL)
    swarm.until_settled(order)
    [item] = receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)
    assert item.attempt == 2
    assert item.node_name == ({"attic", "cellar"} - {victim}).pop()
    assert_charged_once(swarm, order.id)


def test_a_drain_in_mid_unit_hands_back_what_is_left_and_withdraws_the_offer(swarm: Swarm, url: str) -> None:
    swarm.market.register("slow", write_slow_on_demand(swarm.folder / "slow.onnx"))
    first = Machine(swarm, url, "attic")
    process = first.join_anew("--leave")
    some, endless, none = (request((1.0, multiplications)) for multiplications in (200.0, ENDLESS_MULTIPLICATIONS, 0.0))
    asked = [*[some] * 4, endless, none, none]
    [order] = swarm.market.place(model="slow", requests=asked, workload="batch", deadline_s=600)
    swarm.until(lambda: swarm.query("SELECT 1 FROM work_items WHERE committed_at IS NOT NULL"), "one has run")
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    assert first.says("items.handed_back")
    assert first.says("offer.withdrawn")
    assert not swarm.query("SELECT 1 FROM offers WHERE state = 'open'")
    left = swarm.query("SELECT id FROM work_items WHERE committed_at IS NULL AND state IN ('queued', 'waiting')")
    assert len(left) >= 3, "what was not done"
    with swarm.market.app.engine.begin() as connection:  # it need not take as long elsewhere
        quick = json.dumps(none).encode()
        connection.execute(text("UPDATE work_items SET inputs = :quick WHERE committed_at IS NULL"), {"quick": quick})
    second = Machine(swarm, url, "cellar")
    second.join_anew()
    swarm.until_settled(order)
    items = receipts.results(swarm.market.app.uow(), order.id, swarm.market.buyer)
    assert {item.node_name for item in items} == {"attic", "cellar"}
    assert {item.attempt for item in items} == {1}, "what was handed back was no attempt"
    assert audit.audit_ledger(swarm.market.app.uow()).ok


def test_a_revoked_key_ends_the_agent_with_words(swarm: Swarm, url: str, tmp_path: Path) -> None:
    machine = Machine(swarm, url, "attic")
    process = machine.join_anew()
    [node] = swarm.query("SELECT id FROM nodes")
    joining.revoke_node_keys(swarm.market.app.uow(), utc_now(), node.id, swarm.market.provider)
    assert process.wait(PATIENCE_S) == 1
    assert machine.says("is revoked")
    assert machine.join().wait(PATIENCE_S) == 1
    assert machine.says("does not know this node's key")
