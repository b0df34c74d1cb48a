"""Training jobs over HTTP: quoted, begun, told round by round, cancelled, downloaded, and refused by their fields."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import text

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Principal, Role
from backend.services import trainers
from tests.integration.api.callers import Callers, Client, problem
from tests.integration.api.counting import rows
from tests.integration.api.supply import Supply
from tests.training import FACTS, TRAINER, aggregated, asked, begin, content

JOBS = "/api/v1/training-jobs"
WORKLOADS = "/api/v1/workloads"
BODY: dict[str, Any] = {"trainer": TRAINER, "rounds": 3, "participants": 1, "tier": "large"}
DOOR: dict[str, Any] = {
    "workload": "training",
    "tier": "large",
    "participants": 1,
    "training": {"trainer": TRAINER, "rounds": 3},
}

REFUSED: list[tuple[dict[str, Any], int, str, str]] = [
    ({"trainer": "nobody"}, 404, "unknown_trainer", "trainer"),
    ({"trainer": "No Name"}, 422, "invalid_trainer", "trainer"),
    ({"rounds": 0}, 422, "invalid_rounds", "rounds"),
    ({"rounds": "3"}, 422, "invalid_rounds", "rounds"),
    ({"participants": 501}, 422, "invalid_participants", "participants"),
    ({"participants_min": 2}, 422, "invalid_participants_min", "participants_min"),
    ({"strategy": "magic"}, 422, "invalid_strategy", "strategy"),
    ({"strategy_options": {"eta": 1}}, 422, "invalid_strategy_options", "strategy_options.eta"),
    ({"strategy_options": {"eta": "1"}}, 422, "invalid_strategy_options", "strategy_options.eta"),
    ({"config": {"a": []}}, 422, "invalid_config", "config.a"),
    ({"config": {"Bad Name": 1}}, 422, "invalid_config", "config.Bad Name"),
    ({"fit_s": 4_000}, 422, "invalid_fit_s", "fit_s"),
    ({"round_s": 5}, 422, "invalid_round_s", "round_s"),
    ({"tier": "huge"}, 422, "invalid_tier", "tier"),
    ({"priority": "luck"}, 422, "invalid_priority", "priority"),
    ({"max_budget": 5}, 422, "invalid_amount", "max_budget"),
    ({"max_budget": "0.000000001"}, 422, "budget_too_low", "max_budget"),
    ({"target": {"metric": "a\x00"}}, 422, "invalid_metric", "target.metric"),
    ({"target": {"patience": 0}}, 422, "invalid_patience", "target.patience"),
    ({"privacy": {"mode": "central", "clip": 1}}, 422, "missing_field", "privacy.noise_multiplier"),
    (
        {"privacy": {"mode": "secret", "clip": 1, "noise_multiplier": 1}},
        422,
        "invalid_privacy",
        "privacy.mode",
    ),
    (
        {"privacy": {"mode": "local", "clip": 1.1e6, "noise_multiplier": 1}},
        422,
        "invalid_privacy",
        "privacy.clip",
    ),
    ({"model": "nobody"}, 404, "unknown_model", "model"),
    ({"webhook": "ftp://x"}, 422, "invalid_webhook", "webhook"),
    ({"surprise": 1}, 422, "unknown_field", "surprise"),
    ({"region": "moon"}, 503, "no_capacity", "region"),
]

REFUSED_AT_THE_DOOR: list[tuple[dict[str, Any], int, str, str]] = [
    ({"training": {"trainer": TRAINER}}, 422, "missing_field", "training.rounds"),
    ({"training": None}, 422, "invalid_training", "training"),
    (
        {"training": {"trainer": TRAINER, "rounds": 1, "participants": 1}},
        422,
        "unknown_field",
        "training.participants",
    ),
    ({"requests": []}, 422, "unknown_field", "requests"),
    ({"slots": 2}, 422, "unknown_field", "slots"),
    ({"workload": "inference"}, 422, "invalid_workload", "workload"),
    ({"participants": 0}, 422, "invalid_participants", "participants"),
]


@pytest.fixture(autouse=True)
def announced(market: Swarmex, supply: Supply) -> None:
    """There is a trainer, and a node of class cloud."""
    trainers.announce(market.uow(), utc_now(), [FACTS])


def begun(market: Swarmex, client: Client) -> str:
    """A job of a client, on the one node."""
    return begin(market, Principal(None, client.account_id, Role.USER), tier="large")


def test_a_job_is_quoted_begun_listed_and_shown(callers: Callers) -> None:
    quote = callers.user.post(f"{JOBS}/quote", json=BODY).json()
    assert (quote["workload"], quote["trainer"], quote["rounds"], quote["participants"]) == ("training", TRAINER, 3, 1)
    assert quote["markets"] == ["cloud/eu-1"]
    assert 0 < float(quote["expected_cost"]) <= float(quote["worst_case"])
    assert quote["nodes_available"] == 1
    assert quote["explanation"]
    assert callers.user.get(JOBS).json() == {"jobs": [], "next_after": None}
    answer = callers.user.post(JOBS, json=BODY | {"target": {"metric": "accuracy", "value": 0.9}, "max_budget": "5"})
    job = answer.json()
    assert answer.status_code == 201
    assert (job["state"], job["reason"], job["rounds_done"], job["open_round"]) == ("selecting", None, 0, None)
    assert (job["participants"], job["participants_min"], job["max_budget"]) == (1, 1, "5.000000000")
    assert job["best"] == {"metric": "accuracy", "value": None, "round": None}
    assert (job["charged"], job["held"]) == ("0.000000000", "0.000000000"), "nothing is held before anybody is asked"
    assert callers.user.get(f"{JOBS}/{job['id']}").json() == job
    assert callers.user.get(JOBS).json()["jobs"] == [job]
    again = callers.user.post(JOBS, json=job["request"]).json()
    assert (again["request"], again["id"] != job["id"]) == (job["request"], True)


def test_the_same_key_begins_one_job_and_gets_the_same_answer(callers: Callers, market: Swarmex) -> None:
    for path, body in ((JOBS, BODY), (WORKLOADS, DOOR)):
        key = {"Idempotency-Key": f"one-{path}"}
        first = callers.user.post(path, json=body, headers=key).json()
        with market.engine.begin() as connection:
            connection.execute(text("UPDATE offers SET ask_nano_per_slot_s = 2 * ask_nano_per_slot_s"))
        assert callers.user.post(path, json=body, headers=key).json() == first
        other = body | {"region": "eu-1"}
        assert problem(callers.user.post(path, json=other, headers=key))[1] == "idempotency_key_reused"
    assert len(callers.user.get(JOBS).json()["jobs"]) == 2


def test_the_door_of_all_workloads_takes_training_and_answers_with_quote_and_job(callers: Callers) -> None:
    answer = callers.user.post(WORKLOADS, json=DOOR | {"max_budget": "5", "priority": "latency", "deadline_s": 600})
    assert answer.status_code == 201, answer.text
    placed = answer.json()
    assert placed["orders"] == []
    job, quote = placed["job"], placed["quote"]
    assert (job["trainer"], job["tier"], job["priority"], job["max_budget"]) == (
        TRAINER,
        "large",
        "latency",
        "5.000000000",
    )
    assert (
        quote["worst_case"]
        == callers.user.post(f"{JOBS}/quote", json=BODY | {"priority": "latency"}).json()["worst_case"]
    )
    assert callers.user.get(f"{JOBS}/{job['id']}").json() == job


def test_what_cannot_be_is_refused_by_its_field_and_leaves_nothing(
    callers: Callers, market: Swarmex, subtests: pytest.Subtests
) -> None:
    before = rows(market)
    for changes, *told in REFUSED:
        for path in (JOBS, f"{JOBS}/quote"):
            with subtests.test(f"{path} {changes}"):
                assert list(problem(callers.user.post(path, json=BODY | changes))) == told
    for changes, *told in REFUSED_AT_THE_DOOR:
        with subtests.test(f"{WORKLOADS} {changes}"):
            assert list(problem(callers.user.post(WORKLOADS, json=DOOR | changes))) == told
    assert rows(market) == before


def test_training_as_an_order_says_where_it_is_begun(callers: Callers) -> None:
    asked_for = {"workload": "training", "model": "scale", "tier": "large", "requests": []}
    for path in ("/api/v1/orders", WORKLOADS):
        answer = callers.user.post(path, json=asked_for)
        assert problem(answer) == (422, "workload_not_offered", "workload")
        assert JOBS in answer.json()["error"]["accepted"]


def test_rounds_are_told_with_metrics_and_participants_with_their_orders(
    callers: Callers, market: Swarmex, supply: Supply
) -> None:
    supply.clearing.clear()
    job = begun(market, callers.user)
    aggregated(market, job, 0.5, epsilon=1.5)
    asked(market, job, [supply.node.id])
    shown = callers.user.get(f"{JOBS}/{job}").json()
    assert (shown["state"], shown["rounds_done"], shown["epsilon"]) == ("running", 1, 1.5)
    assert shown["best"] == {"metric": "accuracy", "value": 0.5, "round": 1}
    assert shown["open_round"] == {
        "asked": 1,
        "reported": 0,
        "accepted": 0,
        "rejected": 0,
        "dropped": 0,
        "late": 0,
        "wanted": 1,
    }
    assert float(shown["held"]) > 0
    first, second = callers.user.get(f"{JOBS}/{job}/rounds").json()["rounds"]
    assert (first["number"], first["state"], first["epsilon"]) == (1, "aggregated", 1.5)
    assert first["metrics"] == {"accuracy": 0.5, "loss": 0.5}
    assert (second["number"], second["attempt"], second["state"], second["wanted"]) == (2, 1, "open", 1)
    [one] = callers.user.get(f"{JOBS}/{job}/rounds/2/participants").json()["participants"]
    assert (one["node"], one["state"], one["reason"]) == (str(supply.node.id), "asked", None)
    order = callers.user.get(f"/api/v1/orders/{one['order']}").json()
    assert (order["workload"], order["worst_case"]) == ("training", shown["held"])
    for number in ("3", "x", "-1"):
        status, code, _ = problem(callers.user.get(f"{JOBS}/{job}/rounds/{number}/participants"))
        assert (status, code) == (404, "unknown_training_round")


def test_weights_of_the_last_round_or_of_any_are_read_whole(callers: Callers, market: Swarmex) -> None:
    job = begun(market, callers.user)
    path = f"{JOBS}/{job}/weights"
    assert problem(callers.user.get(path))[:2] == (404, "unknown_checkpoint")
    for accuracy in (0.5, 0.6):
        aggregated(market, job, accuracy)
    for params, number in (({}, 2), ({"round": 2}, 2), ({"round": 1}, 1)):
        answer = callers.user.get(path, params=params)
        assert answer.content == content(number)
        assert answer.headers["Swarmex-Checksum"] == hashlib.sha256(answer.content).hexdigest()
        assert answer.headers["Content-Length"] == str(len(answer.content))
    assert problem(callers.user.get(path, params={"round": 3}))[:2] == (404, "unknown_checkpoint")
    assert problem(callers.user.get(path, params={"round": -1})) == (422, "invalid_round", "round")


def test_a_job_is_cancelled_once_and_by_its_owner(callers: Callers, market: Swarmex) -> None:
    job = begun(market, callers.user)
    assert problem(callers.provider.post(f"{JOBS}/{job}/cancel"))[:2] == (404, "unknown_training_job")
    for _ in range(2):
        answer = callers.user.post(f"{JOBS}/{job}/cancel")
        assert (answer.status_code, answer.json()["cancelling"]) == (200, True)


def test_a_list_goes_on_behind_its_last_job_and_admins_see_everybodys(callers: Callers, market: Swarmex) -> None:
    made = [begun(market, client) for client in (callers.user, callers.user, callers.provider)]
    page = callers.user.get(JOBS, params={"limit": 1}).json()
    assert [job["id"] for job in page["jobs"]] == [made[1]]
    page = callers.user.get(JOBS, params={"limit": 1, "after": page["next_after"]}).json()
    assert ([job["id"] for job in page["jobs"]], page["next_after"]) == ([made[0]], None)
    assert [job["id"] for job in callers.admin.get(JOBS).json()["jobs"]] == made[::-1]


def test_trainers_are_listed_with_their_metrics(callers: Callers) -> None:
    told = callers.user.get("/api/v1/trainers").json()["trainers"]
    assert told == [{"name": TRAINER, "description": FACTS.description, "metrics": ["accuracy", "loss"]}]
