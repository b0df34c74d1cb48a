"""A run's report as tables of at most 100 columns, and as JSON."""

from statistics import median
from typing import Any

from rich.console import Group, RenderableType

from backend.cli.demo.federated import MODEL
from backend.cli.demo.report import REAL_TIME, Line, Report, Training
from backend.cli.output import figures, table, words
from backend.domain.money import format_credits
from backend.domain.orders import WorkloadKind
from backend.domain.tiers import TierName

KINDS = [WorkloadKind.INFERENCE, WorkloadKind.BATCH, REAL_TIME, WorkloadKind.TRAINING]
TIERS = list(TierName)


def shown(report: Report) -> RenderableType:
    """The report as tables of at most 100 columns."""
    accuracy = f"accuracy: {report.accuracy:.1%} of {report.images} held-out images, by the market's own results"
    audited = report.audit
    books = (
        f"ledger audit: {'OK' if audited.ok else 'DIFFERENCES'} ({audited.transfers} transfers, {audited.holds} holds)"
    )
    auctions = f"auctions replayed: {report.proven} of {len(report.replays)} clearings give the same trades again"
    trained = _training(report.training) if report.training else []
    return Group("", _work(report.all_lines), "", _money(report), "", accuracy, *trained, books, auctions)


def _training(training: Training) -> list[str]:
    """What the nodes learned, and the receipt of its first use."""
    trained, served = training.trained, training.served
    metric = " → ".join(f"{accuracy:.1%}" for accuracy in trained.accuracies)
    nodes = len({line.node for line in training.lines})
    cost = f"{format_credits(trained.charged_nano)} credits for {len(training.lines)} updates of {nodes} nodes"
    return [
        f"federated training: accuracy {metric}, round by round, on images that no node has",
        f"  {cost}",
        f"  its model, served: {trained.right} of {trained.images} such images right, by {served.node}",
        f"  receipt: order {served.order}, {served.state}, {format_credits(served.charged_nano)} credits",
    ]


def _work(lines: list[Line]) -> RenderableType:
    """Orders grouped by tier, kind and node; prices in credits per slot-second, median latency, total charge."""
    groups: dict[tuple[str, str, str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.tier, line.kind, line.region, line.node), []).append(line)
    columns = [
        words("Tier"),
        words("Kind"),
        words("Region"),
        words("Node"),
        figures("Orders"),
        figures("Images"),
        figures("Price"),
        figures("Latency"),
        figures("Charge"),
    ]
    rows = [
        (
            tier,
            kind,
            region,
            node,
            len(some),
            sum(line.images for line in some),
            _price(max(line.price_nano for line in some)),
            _milliseconds([ms for line in some for ms in line.latency_ms]),
            format_credits(sum(line.charged_nano for line in some)),
        )
        for (tier, kind, region, node), some in sorted(
            groups.items(), key=lambda g: (TIERS.index(TierName(g[0][0])), KINDS.index(g[0][1]), g[0][3])
        )
    ]
    return table(columns, rows)


def _money(report: Report) -> RenderableType:
    columns = [
        words("Account"),
        figures("Wallet before"),
        figures("after"),
        figures("Invoiced"),
        figures("Earnings before"),
        figures("after"),
    ]
    rows: list[tuple[object, ...]] = [
        (
            name,
            format_credits(before.wallet_nano),
            format_credits(report.after[name].wallet_nano),
            format_credits(report.billed[name]) if name in report.billed else None,
            format_credits(before.earnings_nano),
            format_credits(report.after[name].earnings_nano),
        )
        for name, before in report.before.items()
    ]
    rows.append(("the market's fees", None, None, None, None, f"+{format_credits(report.fees_nano)}"))
    return table(columns, rows)


def _price(nano: int) -> str:
    """A price with six of its nine decimals: the rest is noise beside the columns."""
    return format_credits(nano)[:-3]


def _milliseconds(latencies: list[float]) -> str:
    return f"{median(latencies):.0f} ms" if latencies else "–"


def document(report: Report) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "orders": [
            {
                "id": line.order,
                "tier": line.tier,
                "kind": line.kind,
                "region": line.region,
                "node": line.node,
                "price": format_credits(line.price_nano),
                "images": line.images,
                "latency_ms": [round(ms, 3) for ms in line.latency_ms],
                "charged": format_credits(line.charged_nano),
                "state": line.state,
                "reason": line.reason,
            }
            for line in report.all_lines
        ],
        "images": report.images,
        "accuracy": report.accuracy,
        "training": _training_document(report.training) if report.training else None,
        "accounts": [
            {
                "name": name,
                "wallet_before": format_credits(before.wallet_nano),
                "wallet_after": format_credits(report.after[name].wallet_nano),
                "invoiced": format_credits(report.billed[name]) if name in report.billed else None,
                "earnings_before": format_credits(before.earnings_nano),
                "earnings_after": format_credits(report.after[name].earnings_nano),
            }
            for name, before in report.before.items()
        ],
        "fees": format_credits(report.fees_nano),
        "audit": {"ok": report.audit.ok, "transfers": report.audit.transfers, "holds": report.audit.holds},
        "replayed": {"clearings": len(report.replays), "equal": report.proven},
        "seconds": round(report.seconds, 3),
        "problems": report.problems,
    }


def _training_document(training: Training) -> dict[str, Any]:
    trained, served = training.trained, training.served
    return {
        "job": trained.job,
        "model": MODEL,
        "accuracies": trained.accuracies,
        "orders": [line.order for line in training.lines],
        "charged": format_credits(trained.charged_nano),
        "served": {
            "order": served.order,
            "node": served.node,
            "images": trained.images,
            "right": trained.right,
            "charged": format_credits(served.charged_nano),
        },
    }
