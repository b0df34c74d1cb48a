"""Bodies that are right, by the path that takes them, for tests to spoil; things are named in braces."""

from collections.abc import Iterator, Mapping
from typing import Any

from backend.domain.joining import PROTOCOL

TENSOR = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}
INFER = {"id": "1", "inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {"binary_data": False}}]}
ORDER = {
    "workload": "inference",
    "model": "doubling",
    "tier": "large",
    "requests": [{"inputs": [TENSOR]}],
    "deadline_s": 60,
    "limit": "1",
    "total_cap": "5",
    "strategy": "balanced",
    "needs": {"cores": 1},
}
TRAINING = {
    "trainer": "{trainer}",
    "rounds": 2,
    "participants": 1,
    "strategy": "fedadam",
    "strategy_options": {"eta": 0.1},
    "config": {"learning_rate": 0.5, "hidden": 8, "split": "shards", "shuffle": True},
    "target": {"metric": "accuracy", "value": 0.9, "patience": 2},
    "privacy": {"mode": "central", "clip": 1.0, "noise_multiplier": 1.0, "epsilon_max": 3},
    "fit_s": 5,
    "tier": "large",
    "max_budget": "5",
}
AGENT = {"version": PROTOCOL, "agent": "{agent}"}
EVENT = {"specversion": "1.0", "id": "e", "source": "/s", "type": "storage.gb_hours", "subject": "{account_id}"}

BODIES: Mapping[str, dict[str, Any]] = {
    "/v2/models/{model}/infer": INFER,
    "/v2/models/{model}/versions/{version}/infer": INFER,
    "/api/v1/accounts": {"name": "acme"},
    "/api/v1/budgets": {"period": "day", "amount": "90"},
    "/api/v1/deposits": {"account": "{account_id}", "amount": "1", "reference": "r"},
    "/api/v1/disputes": {"order": "{order_id}", "reason": "late"},
    "/api/v1/disputes/{dispute_id}/uphold": {"reason": "it was late"},
    "/api/v1/fees": {"tier": "small", "fee_ppm": 10},
    "/api/v1/invoices": {"account": "{account_id}", "month": "2026-01", "timezone": "UTC"},
    "/api/v1/invoices/{document_id}/pay": {"reference": "r"},
    "/api/v1/keys": {"account": "{account_id}", "role": "user"},
    "/api/v1/keys/{key_id}/limits": {"in_flight": 4, "requests_per_minute": 50_000},
    "/api/v1/ledger/credits": {"amount": "1", "source": "world", "reference": "r-2"},
    "/api/v1/ledger/refunds": {"account": "{account_id}", "amount": "1", "reason": "sorry"},
    "/api/v1/ledger/transfers/{transfer_id}/reverse": {"reason": "wrong"},
    "/api/v1/markets/rules": {"resource_class": "fog", "region": "south", "mechanism": "mcafee"},
    "/api/v1/meters": {"name": "calls", "unit": "calls", "price": "1"},
    "/api/v1/meters/{name}/prices": {"price": "2", "valid_from": "2999-01-01T00:00:00Z"},
    "/api/v1/models/uploads": {"name": "sent", "size_bytes": 10, "sha256": "0" * 64},
    "/api/v1/models/{name}/aliases/{alias}": {"version": 1},
    "/api/v1/models/{name}/versions/{version}": {"tags": {"team": "vision"}},
    "/api/v1/models/{name}/versions/{version}/stage": {"stage": "staging"},
    "/api/v1/node/hardware": {"version": PROTOCOL, "cores": 2, "memory_mb": 4_096},
    "/api/v1/node/offer": {"version": PROTOCOL, "ask": "0.001"},
    "/api/v1/node/work/beat": {**AGENT, "name": "n", "host": "h", "pid": 1, "work_done": 1},
    "/api/v1/node/work/claim": {**AGENT, "unit": "{order_id}"},
    "/api/v1/node/work/commit": {**AGENT, "results": [{"item": "{order_id}", "fence": 1, "busy_us": 1, "outputs": ""}]},
    "/api/v1/node/work/extend": {**AGENT, "held": [{"item": "{order_id}", "fence": 1}]},
    "/api/v1/node/work/fail": {**AGENT, "failures": [{"item": "{order_id}", "fence": 1, "error": "e"}]},
    "/api/v1/node/work/poll": {**AGENT, "wait_s": 0},
    "/api/v1/node/work/release": {**AGENT, "held": [{"item": "{order_id}", "fence": 1}]},
    "/api/v1/node/work/requests/poll": {**AGENT, "wait_s": 0, "places": 1},
    "/api/v1/nodes": {"name": "rack", "resource_class": "fog", "region": "south", "slots": 1},
    "/api/v1/nodes/join": {"version": PROTOCOL, "token": "swj_x", "name": "n", "slots": 1},
    "/api/v1/nodes/join-tokens": {"resource_class": "fog", "region": "south"},
    "/api/v1/offers": {"node": "{node_id}", "ask": "1"},
    "/api/v1/orders": ORDER,
    "/api/v1/orders:batch": {"orders": [ORDER]},
    "/api/v1/organisations": {"name": "club"},
    "/api/v1/organisations/{organisation_id}/keys": {"member": "{member_id}"},
    "/api/v1/organisations/{organisation_id}/members": {"member": "{account_id}"},
    "/api/v1/payouts": {"amount": "1", "destination": "DE02"},
    "/api/v1/payouts/{payout_id}/reject": {"reason": "no such bank"},
    "/api/v1/quotes": ORDER,
    "/api/v1/regions/links": {"region": "north", "other": "south", "latency_ms": 9},
    "/api/v1/tiers/{name}": {"slots_max": 8, "month_cap": "200"},
    "/api/v1/training-jobs": TRAINING,
    "/api/v1/training-jobs/quote": TRAINING,
    "/api/v1/usage": {**EVENT, "data": {"quantity": "1"}},
    "/api/v1/usage/{usage_id}/void": {"reason": "twice"},
    "/api/v1/workloads": ORDER,
    "/v1/batches": {
        "input_file_id": "{file_id}",
        "endpoint": "/v2/models",
        "completion_window": "24h",
        "metadata": {"a": "b"},
    },
}
STRANGE: list[Any] = [
    *(None, True, 0, -1, 2**31, 2**63, -(2**70), 1e308, 0.1, [], {}, [[]], {"a": {"b": [1]}}),
    *("", " ", "\x00", "\ud800", "💥" * 300, "9" * 400, "-1", "1e9", "NaN", "Infinity", "{}", "0" * 36, "2026-13-45"),
    *(["x"] * 2_000, {f"k{n}": n for n in range(300)}),
]


def places(body: object, before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where each value of a body is, the whole values of objects and lists included."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in inner:
        yield (*before, name)
        yield from places(value, (*before, name))


def spoilt(body: Any, place: tuple[str | int, ...], value: object) -> Any:
    """The body with another value at that place."""
    if not place:
        return value
    made: Any = dict(body) if isinstance(body, dict) else list(body)
    made[place[0]] = spoilt(made[place[0]], place[1:], value)
    return made


def filled(body: Any, ids: Mapping[str, str]) -> Any:
    """The body with the ids of things in the place of their names in braces."""
    if isinstance(body, dict):
        return {name: filled(value, ids) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, ids) for value in body]
    if isinstance(body, str) and body[:1] == "{" and body[1:-1] in ids:
        return ids[body[1:-1]]
    return body
