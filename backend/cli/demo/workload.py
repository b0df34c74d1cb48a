"""The demo's work: every held-out image is classified once, by orders of all four tiers and in real time."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from backend.cli.demo.client import Answer, Client, Failed
from backend.cli.demo.digits import MODEL, Digits, labels_of, request
from backend.cli.demo.sample import BUYERS, REGIONS
from backend.domain.tiers import TierName

ORDERS_PER_TIER = 8
IMAGES_PER_ORDER = 10
BATCH_REQUESTS = 25  # of one image each
BATCH_SLOTS = 4
REAL_TIME_TIERS = (TierName.MEDIUM, TierName.LARGE, TierName.ENTERPRISE)
REAL_TIME_REQUESTS = 10  # per tier, of one image each
TIMEOUT_S = 60.0
POLL_S = 0.1
ENDED = {"settled", "cancelled", "expired", "failed"}
PRIORITY = {
    TierName.SMALL: "cost",
    TierName.MEDIUM: "balanced",
    TierName.LARGE: "latency",
    TierName.ENTERPRISE: "latency",
}

Clients = Mapping[str, Client]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A workload to place, and the images in it, by their index."""

    workload: dict[str, Any]
    images: list[int]


@dataclass(slots=True)
class Placed:
    """What was bought: orders by buyer with the images in them, and real-time answers by tier with theirs."""

    orders: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    answers: dict[TierName, list[tuple[Answer, int]]] = field(default_factory=dict)

    def leases(self) -> dict[str, TierName]:
        """The leases that real-time requests ran on."""
        return {answer.lease: tier for tier, answers in self.answers.items() for answer, _ in answers}


def plan(digits: Digits) -> tuple[dict[TierName, list[Task]], dict[TierName, list[int]]]:
    """Who gets which images: tasks of each tier, and images for real-time requests."""
    images = iter(range(len(digits.images)))
    real_time = {tier: _take(images, REAL_TIME_REQUESTS) for tier in REAL_TIME_TIERS}
    tasks: dict[TierName, list[Task]] = {}
    for tier in TierName:
        for number in range(ORDERS_PER_TIER):
            chosen = _take(images, IMAGES_PER_ORDER)
            # Every other order insists on a region: they take turns.
            region = REGIONS[number // 2 % len(REGIONS)] if number % 2 else None
            bodies = [request(digits.images[chosen])]
            tasks.setdefault(tier, []).append(Task(_workload("inference", tier, bodies, region=region), chosen))
        chosen = _take(images, BATCH_REQUESTS)
        bodies = [request(digits.images[[image]]) for image in chosen]
        tasks[tier].append(Task(_workload("batch", tier, bodies, slots=BATCH_SLOTS), chosen))
    return tasks, real_time


def place(clients: Clients, tasks: Mapping[TierName, list[Task]], run: str, placed: Placed) -> None:
    """Place everything: tiers small and medium one by one, the others many at once."""
    for buyer, tiers in BUYERS.items():
        orders = placed.orders.setdefault(buyer, {})
        for tier in tiers:
            answers = _place_tier(clients[buyer], tier, tasks[tier], f"{run}-{tier}")
            orders.update({order["id"]: task.images for order, task in zip(answers, tasks[tier], strict=True)})


def _place_tier(client: Client, tier: TierName, tasks: list[Task], key: str) -> list[dict[str, Any]]:
    if tier in (TierName.LARGE, TierName.ENTERPRISE):
        return client.place_many([task.workload for task in tasks], key)
    orders = [client.place(task.workload, f"{key}-{number}")[0] for number, task in enumerate(tasks)]
    [again] = client.place(tasks[0].workload, f"{key}-0")
    if again["id"] != orders[0]["id"]:
        raise Failed("the same request with the same idempotency key was placed twice")
    return orders


def infer(clients: Clients, images: Mapping[TierName, list[int]], digits: Digits, placed: Placed) -> None:
    """Ask in real time, one image after the other."""
    for buyer, tiers in BUYERS.items():
        for tier in tiers:
            for image in images.get(tier, ()):
                answer = clients[buyer].infer(MODEL, tier, request(digits.images[[image]]))
                placed.answers.setdefault(tier, []).append((answer, image))


def await_end(clients: Clients, placed: Placed, progress: Progress) -> str:
    """Wait until every order of this run has ended, sessions included; says how. Raises Failed after TIMEOUT_S."""
    deadline = time.monotonic() + TIMEOUT_S
    total = sum(len(orders) for orders in placed.orders.values()) + len(placed.leases())
    while pending := [order for order in _ours(clients, placed) if order["state"] not in ENDED]:
        progress(total - len(pending), total)
        if time.monotonic() > deadline:
            last = f"{pending[0]['id']} is {pending[0]['state']} ({pending[0]['reason'] or 'no reason yet'})"
            raise Failed(f"{len(pending)} of {total} orders have not ended in {TIMEOUT_S:.0f} s: {last}")
        time.sleep(POLL_S)
    unpaid = [order for order in _ours(clients, placed) if order["state"] != "settled"]
    return f"{len(unpaid)} of {total} failed: {unpaid[0]['reason']}" if unpaid else "all ended and paid"


def _ours(clients: Clients, placed: Placed) -> list[dict[str, Any]]:
    return [
        order
        for buyer, mine in placed.orders.items()
        for order in clients[buyer].orders()
        if order["id"] in mine or order["workload"] == "session"
    ]


def count_right(results: list[dict[str, Any]], images: list[int], digits: Digits) -> int:
    """How many of an order's images were classified as what they show, by the market's own results."""
    expected = iter(digits.labels[images].tolist())
    right = 0
    for result in results:
        shown = [next(expected) for _ in range(result["rows"])]
        said = labels_of(result["response"]) if result["response"] else []
        right += sum(label == true for label, true in zip(said, shown, strict=False))
    return right


def _workload(
    kind: str, tier: TierName, requests: list[dict[str, Any]], region: str | None = None, slots: int = 1
) -> dict[str, Any]:
    wish: dict[str, Any] = {
        "workload": kind,
        "model": MODEL,
        "tier": tier.value,
        "priority": PRIORITY[tier],
        "max_budget": "1",
        "requests": requests,
        "slots": slots,
    }
    return wish if region is None else {**wish, "region": region}


def _take(images: Iterator[int], count: int) -> list[int]:
    return [next(images) for _ in range(count)]
