"""The demo as a newcomer runs it: a process of its own, servers and agents of its own, in a folder of its own."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest
import tritonclient.grpc as triton

from backend import embedded
from backend.cli.processes import title_of
from backend.domain.fleet import fleet_label
from tests.waiting import until

RUN_TIMEOUT_S = 400
FINAL = {"settled", "cancelled", "expired", "failed"}
TIERS = {"small", "medium", "large", "enterprise"}

pytestmark = [pytest.mark.slow]


class Folder:
    """A data folder and the command line on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SWARMEX_")}
        self.environment = {**clean, "SWARMEX_DATA_FOLDER": str(path), "SWARMEX_API_PORT": "0"}
        self.environment |= {"SWARMEX_GRPC_PORT": "0"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`swarmex` with these arguments, in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "backend.cli", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """What `swarmex` prints; fails the test, showing the logs' place, unless it exits with 0."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=RUN_TIMEOUT_S)
        assert process.returncode == 0, f"{out}\n{err}"
        return out

    def json(self, *arguments: str) -> Any:
        """The document that `swarmex` prints."""
        return json.loads(self.run(*arguments, "--json"))

    def processes(self) -> list[str]:
        """Command lines of all that runs in the folder: servers by arguments, agents by titles or settings."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                shown = " ".join(process.cmdline())
                told = process.environ() if process.uids().real == os.getuid() else {}
                title = title_of(process)
                member = title is not None and title.fleet == fleet_label(str(self.path))
                mine = member or str(self.path) in shown or any(str(self.path) in value for value in told.values())
                if mine and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(shown)
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A fresh data folder; nothing of it runs or lies anywhere any more at the end."""
    tmp_path.chmod(0o755)  # root's servers run as another account
    folder = Folder(tmp_path / "data")
    yield folder
    folder.run("down")
    embedded.remove(tmp_path / "data")


def test_two_runs_in_a_row_settle_every_order_and_leave_running_what_ran_before(folder: Folder) -> None:
    shown = folder.run("demo")
    assert "ledger audit: OK" in shown
    assert folder.processes() == []

    up = folder.json("up")
    assert "grpc" not in folder.run("agents", "show"), "nobody asked for it"
    check_report(folder.json("demo"), folder)
    assert folder.json("up")["api"] == up["api"], "a demo in the folder of a market that is up leaves it up"
    findings = folder.json("doctor")["findings"]
    assert Counter(finding["verdict"] for finding in findings) == {"ok": len(findings)}
    key = folder.json("key", "create", "demo-lab")["secret"]
    answer = folder.json("infer", "digits", "--input", str(folder.path / "demo" / "digit.json"), "--key", key)
    assert len(answer["outputs"][0]["data"]) == 1
    assert folder.json("ledger", "audit")["ok"]
    check_grpc(folder)
    assert folder.json("down")["processes_stopped"] == 9
    until(lambda: folder.processes() == [], "nothing runs any more")


def check_grpc(folder: Folder) -> None:
    """The gRPC face joins a market that is up, is told of wherever agents are, and is there from then on."""
    up = folder.json("up", "--grpc")
    address = (folder.path / "grpc.address").read_text().strip()
    assert up["grpc"] == folder.json("up")["grpc"] == f"grpc://{address}"
    with triton.InferenceServerClient(address) as client:
        assert client.is_server_ready(client_timeout=RUN_TIMEOUT_S)
    found = [finding for finding in folder.json("doctor")["findings"] if finding["what"] in ("agents", "grpc")]
    assert [finding["verdict"] for finding in found] == ["ok", "ok"]
    [agent] = [agent for agent in folder.json("agents", "list") if agent["kind"] == "grpc"]
    assert (agent["name"], agent["endpoint"]) == ("grpc-0", up["grpc"])
    assert folder.json("agents", "restart", "grpc")["restarted"][0]["id"] == agent["id"]


def check_report(report: dict[str, Any], folder: Folder) -> None:
    """What the second demo of a folder tells, and the orders of both."""
    assert report["problems"] == []
    assert report["accuracy"] >= 0.95
    assert report["audit"]["ok"]
    assert {(line["tier"], line["state"]) for line in report["orders"]} == {(tier, "settled") for tier in TIERS}
    assert {line["kind"] for line in report["orders"]} == {"inference", "batch", "real-time", "training"}
    bought = [line for line in report["orders"] if line["kind"] != "training"]
    assert sum(line["images"] for line in bought) == report["images"] + report["training"]["served"]["images"] == 550
    assert {line["region"] for line in report["orders"]} == {"north", "south"}
    check_money(report)
    check_training(report, folder)

    orders = folder.json("order", "list", "--limit", "500")
    assert all(order["state"] == "settled" or order["reason"] for order in orders)
    assert {order["state"] for order in orders} <= FINAL
    assert len(orders) == 2 * len({line["id"] for line in report["orders"]})


def check_training(report: dict[str, Any], folder: Folder) -> None:
    """What the nodes learned together was served by the gateway, and everybody was paid for it."""
    told, lines = report["training"], {line["id"]: line for line in report["orders"]}
    assert len(told["accuracies"]) == 3
    assert told["accuracies"][-1] > 0.85
    assert told["served"]["right"] >= 0.85 * told["served"]["images"]
    assert lines[told["served"]["order"]]["charged"] == told["served"]["charged"]
    parts = [lines[order] for order in told["orders"]]
    assert len({part["node"] for part in parts}) == 4
    assert sum(Decimal(part["charged"]) for part in parts) == Decimal(told["charged"])
    assert folder.json("train", "status", told["job"])["state"] == "done"


def check_money(report: dict[str, Any]) -> None:
    """What buyers paid is what providers and the market earned, and what the lines say."""
    accounts = report["accounts"]
    paid = sum(Decimal(a["wallet_before"]) - Decimal(a["wallet_after"]) for a in accounts)
    earned = sum(Decimal(a["earnings_after"]) - Decimal(a["earnings_before"]) for a in accounts)
    assert paid == earned + Decimal(report["fees"])
    assert paid == sum(Decimal(line["charged"]) for line in report["orders"])
    assert all(Decimal(line["charged"]) > 0 for line in report["orders"])


def test_ctrl_c_in_mid_run_leaves_no_process_behind(folder: Folder) -> None:
    process = folder.start("demo")
    assert process.stderr
    for line in process.stderr:
        if "placing orders" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=RUN_TIMEOUT_S)
    assert process.returncode == 130, err
    assert out == ""
    assert "Interrupted" in err
    assert folder.processes() == []
