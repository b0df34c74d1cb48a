"""What a run has to show, read from receipts and results as the buyers see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.cli.demo.client import Client
from backend.cli.demo.digits import Digits, labels_of
from backend.cli.demo.federated import ACCURACY_MIN as TRAINED_MIN
from backend.cli.demo.federated import Trained
from backend.cli.demo.workload import Clients, Placed, count_right
from backend.domain.money import format_credits, parse_credits
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    from backend.services.accounts import AccountView
    from backend.services.audit import AuditReport
    from backend.services.epochs import Replay

REAL_TIME = "real-time"
ACCURACY_MIN = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    """What one order got from one node; latency is from placed to the last commit, real-time: of each request."""

    order: str
    tier: str
    kind: str
    region: str
    node: str
    price_nano: int
    images: int
    latency_ms: list[float]
    charged_nano: int
    state: str
    reason: str | None
    right: int


@dataclass(frozen=True, slots=True)
class Training:
    """What came of the federated job, what its participants got, and the receipt of what it served."""

    trained: Trained
    lines: list[Line]  # of its participants' orders
    served: Line

    @property
    def problems(self) -> list[str]:
        """What is not as it should be."""
        found = [
            f"order {line.order} of {self.trained.job} ended {line.state}: {line.reason or 'no reason is recorded'}"
            for line in (*self.lines, self.served)
            if line.state != "settled"
        ]
        if self.trained.accuracies[-1] < TRAINED_MIN:
            found.append(f"{self.trained.job} came to {self.trained.accuracies[-1]:.1%}, not to {TRAINED_MIN:.0%}")
        if self.trained.right < TRAINED_MIN * self.trained.images:
            found.append(f"its model was right on {self.trained.right} of {self.trained.images} images only")
        return found


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was measured in a run."""

    lines: list[Line]
    images: int
    before: Mapping[str, "AccountView"]
    after: Mapping[str, "AccountView"]
    billed: Mapping[str, int]
    fees_nano: int
    audit: "AuditReport"
    replays: "Sequence[Replay]"
    seconds: float
    training: Training | None = None

    @property
    def accuracy(self) -> float:
        """Share of images that the market classified as what they show."""
        return sum(line.right for line in self.lines) / self.images

    def paid_nano(self, name: str) -> int:
        """What has left an account's wallet."""
        return self.before[name].wallet_nano - self.after[name].wallet_nano

    @property
    def all_lines(self) -> list[Line]:
        """Everything that was bought, training too."""
        return [*self.lines, *((*self.training.lines, self.training.served) if self.training else ())]

    @property
    def proven(self) -> int:
        """How many of the replayed clearings give exactly what was decided."""
        return sum(replay.verdict == "equal" for replay in self.replays)

    @property
    def problems(self) -> list[str]:
        """What is not as it should be; none in a good run."""
        found = [
            f"order {line.order} ended {line.state}: {line.reason or 'no reason is recorded'}"
            for line in self.lines
            if line.state != "settled"
        ]
        if self.accuracy < ACCURACY_MIN:
            found.append(f"the accuracy is {self.accuracy:.1%}, at least {ACCURACY_MIN:.0%} was expected")
        found += [
            f"the invoice of {name} says {format_credits(nano)}, its wallet {format_credits(self.paid_nano(name))}"
            for name, nano in self.billed.items()
            if nano != self.paid_nano(name)
        ]
        if not self.audit.ok:
            found.append(f"the ledger has {len(self.audit.differences)} differences: `swarmex ledger audit` shows them")
        if self.training is not None:
            found += self.training.problems
        if self.proven < len(self.replays):
            found.append("not every auction can be proven: `swarmex market replay --last 100` shows them")
        return found


def collect(clients: Clients, digits: Digits, placed: Placed) -> tuple[list[Line], int]:
    """Every order of the run by its receipt and results, and the fees in nano-credits; read as the buyers see them."""
    lines: list[Line] = []
    fees_nano = 0
    for buyer, orders in placed.orders.items():
        client = clients[buyer]
        for order, images in orders.items():
            receipt = client.receipt(order)
            fees_nano += parse_credits(receipt["fee"], zero=True)
            lines += _order_lines(receipt, client.results(order), images, digits)
        for receipt in _session_receipts(client, placed):
            fees_nano += parse_credits(receipt["fee"], zero=True)
            lines.append(_session_line(receipt, placed, digits))
    return lines, fees_nano


def collect_training(client: Client, trained: Trained) -> tuple[Training, int]:
    """What its buyer has receipts of: of every participant, and of the session that served; and the fees."""
    fees_nano, lines = 0, []
    for order, examples in trained.orders.items():
        receipt = client.receipt(order)
        fees_nano += parse_credits(receipt["fee"], zero=True)
        lines += [replace(line, images=examples) for line in _order_lines(receipt, client.results(order), [], None)]
    assert trained.answer is not None
    [receipt] = [found for found in _sessions(client) if _lease(found) == trained.answer.lease]
    fees_nano += parse_credits(receipt["fee"], zero=True)
    served = _session(receipt, trained.images, [trained.answer.latency_ms], trained.right)
    return Training(trained, lines, served), fees_nano


def _order_lines(
    receipt: dict[str, Any], results: list[dict[str, Any]], images: list[int], digits: Digits | None
) -> Iterator[Line]:
    """A line for each node that ran some of an order; what was classified right stands in the first."""
    order = receipt["order"]
    committed = [datetime.fromisoformat(r["committed_at"]) for r in results if r["committed_at"]]
    placed_at = datetime.fromisoformat(order["placed_at"])
    latency_ms = [(max(committed) - placed_at).total_seconds() * 1_000] if committed else []
    right = count_right(results, images, digits) if digits else 0
    nothing = {"region": order["region"], "node": "–", "price": order["limit"], "charged": "0"}
    for part in [p for p in receipt["served"] if p["items"]] or [nothing]:
        rows = sum(result["rows"] for result in results if result["node"] == part["node"])
        yield Line(
            order["id"],
            order["tier"],
            order["workload"],
            part["region"],
            part["node"],
            parse_credits(part["price"]),
            rows,
            latency_ms,
            parse_credits(part["charged"], zero=True),
            order["state"],
            order["reason"],
            right,
        )
        right = 0


def _session_receipts(client: Client, placed: Placed) -> Iterator[dict[str, Any]]:
    """Receipts of the sessions behind this run's real-time requests; the newest orders come first."""
    leases = placed.leases()
    yield from (receipt for receipt in _sessions(client) if _lease(receipt) in leases)


def _sessions(client: Client) -> Iterator[dict[str, Any]]:
    """Receipts of this buyer's sessions that had a lease."""
    for order in client.orders():
        if order["workload"] == "session":
            receipt = client.receipt(order["id"])
            if receipt["served"]:
                yield receipt


def _lease(receipt: dict[str, Any]) -> str:
    return str(receipt["served"][0]["lease"])


def _session_line(receipt: dict[str, Any], placed: Placed, digits: Digits) -> Line:
    answers = placed.answers[TierName(receipt["order"]["tier"])]
    right = sum(int(digits.labels[image] == labels_of(answer.response)[0]) for answer, image in answers)
    return _session(receipt, len(answers), [answer.latency_ms for answer, _ in answers], right)


def _session(receipt: dict[str, Any], images: int, latency_ms: list[float], right: int) -> Line:
    order, part = receipt["order"], receipt["served"][0]
    return Line(
        order["id"],
        order["tier"],
        REAL_TIME,
        part["region"],
        part["node"],
        parse_credits(part["price"]),
        images,
        latency_ms,
        parse_credits(receipt["charged"], zero=True),
        order["state"],
        order["reason"],
        right,
    )
