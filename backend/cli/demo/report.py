"""What a run has to show, read from receipts and results as the buyers see them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from backend.cli.demo.client import Client
from backend.cli.demo.digits import Digits, labels_of
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

    @property
    def accuracy(self) -> float:
        """Share of images that the market classified as what they show."""
        return sum(line.right for line in self.lines) / self.images

    def paid_nano(self, name: str) -> int:
        """What has left an account's wallet."""
        return self.before[name].wallet_nano - self.after[name].wallet_nano

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


def _order_lines(
    receipt: dict[str, Any], results: list[dict[str, Any]], images: list[int], digits: Digits
) -> Iterator[Line]:
    """A line for each node that ran some of an order; what was classified right stands in the first."""
    order = receipt["order"]
    committed = [datetime.fromisoformat(r["committed_at"]) for r in results if r["committed_at"]]
    placed_at = datetime.fromisoformat(order["placed_at"])
    latency_ms = [(max(committed) - placed_at).total_seconds() * 1_000] if committed else []
    right = count_right(results, images, digits)
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
    leases = set(placed.leases())
    for order in client.orders():
        if order["workload"] == "session" and leases:
            receipt = client.receipt(order["id"])
            found = {part["lease"] for part in receipt["served"]} & leases
            if found:
                yield receipt


def _session_line(receipt: dict[str, Any], placed: Placed, digits: Digits) -> Line:
    order, part = receipt["order"], receipt["served"][0]
    answers = placed.answers[TierName(order["tier"])]
    return Line(
        order["id"],
        order["tier"],
        REAL_TIME,
        part["region"],
        part["node"],
        parse_credits(part["price"]),
        len(answers),
        [answer.latency_ms for answer, _ in answers],
        parse_credits(receipt["charged"], zero=True),
        order["state"],
        order["reason"],
        sum(int(digits.labels[image] == labels_of(answer.response)[0]) for answer, image in answers),
    )
