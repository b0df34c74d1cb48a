"""What is told of training jobs: the same names and forms as in the HTTP API, and tables for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from backend.cli.batch_views import duration
from backend.cli.hints import NEXT
from backend.cli.output import console, figures, identity, note, record, table, words
from backend.domain.federated.jobs import TrainingSpec
from backend.domain.federated.statements import statement
from backend.domain.federated.states import FINAL, JobState, ParticipantState, RoundState
from backend.domain.federated.tasks import WeightsRef
from backend.domain.money import format_credits
from backend.domain.orders import WorkloadKind

if TYPE_CHECKING:
    from backend.services.trainers import TrainerFacts
    from backend.services.training_jobs import JobQuote, JobView, RoundView
    from backend.storage.training_participants import Standing

Document = dict[str, Any]

BAR_CHARS = 12
METRICS_SHOWN_MAX = 3  # in a table; all are in the document
ABOUT = {
    JobState.SELECTING: "nodes are chosen for the next round, and asked",
    JobState.RUNNING: "nodes fit, each on its own data",
    JobState.AGGREGATING: "updates are checked and made one",
    JobState.EVALUATING: "what came of the round is measured",
    JobState.EXPORTING: "the result is exported and registered",
}


def trainer(facts: "TrainerFacts") -> Document:
    """What can be trained."""
    return {"name": facts.name, "description": facts.description, "metrics": list(facts.metrics)}


def trainers(documents: Sequence[Document]) -> Table:
    """Trainers for people."""
    rows = [(d["name"], d["description"], d["metrics"]) for d in documents]
    return table([words("Trainer"), words("What it is"), words("Metrics")], rows)


def quote(made: "JobQuote", spec: TrainingSpec) -> Document:
    """What a job would cost."""
    return {
        "workload": WorkloadKind.TRAINING.value,
        "trainer": spec.trainer,
        "tier": spec.tier,
        "priority": spec.priority,
        "rounds": made.rounds,
        "participants": made.participants,
        "markets": list(made.markets),
        "spot_price": format_credits(made.spot_nano_per_slot_s),
        "limit": format_credits(made.limit_nano_per_slot_s),
        "expected_cost": format_credits(made.expected_nano),
        "worst_case": format_credits(made.worst_case_nano),
        "nodes_available": made.nodes_available,
        "explanation": made.explanation,
    }


def job(view: "JobView") -> Document:
    """A job: how far it is, how good, what it cost."""
    from backend.services.training_jobs import job_name

    of, spec = view.job, view.job.spec
    return {
        "id": job_name(of.id),
        "account": of.account_id,
        "state": of.state.value,
        "reason": of.reason and of.reason.value,
        "trainer": spec.trainer,
        "strategy": spec.strategy,
        "tier": spec.tier,
        "priority": spec.priority,
        "region": spec.region,
        "rounds": spec.rounds,
        "rounds_done": of.round,
        "participants": spec.participants,
        "participants_min": spec.participants_min,
        "open_round": None if view.counts is None else {**_counts(view.counts), "wanted": view.wanted},
        "best": {"metric": spec.target.metric, "value": of.best_value, "round": of.best_round},
        "epsilon": of.epsilon,
        "weights": _weights(of.round, of.weights),
        "max_budget": None if spec.max_budget_nano is None else format_credits(spec.max_budget_nano),
        "charged": format_credits(view.charged_nano),
        "held": format_credits(view.held_nano),
        "result_model": of.result_model_id,
        "result_error": of.result_error,
        "cancelling": of.cancel_requested and of.ended_at is None,
        "request": statement(spec),
        "created_at": of.created_at,
        "deadline_at": of.deadline_at,
        "ended_at": of.ended_at,
    }


def round_(view: "RoundView") -> Document:
    """A round: who took part, what came of it, what it cost."""
    of = view.round
    return {
        "number": of.number,
        "attempt": of.attempt,
        "state": of.state.value,
        "wanted": of.wanted,
        "participants": _counts(view.counts),
        "metrics": dict(of.metrics or {}),
        "epsilon": of.epsilon,
        "weights": _weights(of.number, of.weights),
        "charged": format_credits(view.charged_nano),
        "started_at": of.started_at,
        "deadline_at": of.deadline_at,
        "ended_at": of.ended_at,
    }


def participant(one: "Standing") -> Document:
    """A node in a round."""
    of = one.participant
    return {
        "node": of.node_id,
        "node_name": one.node_name,
        "order": of.order_id,
        "state": of.state.value,
        "reason": of.reason,
        "examples": of.examples,
        "update_sha256": of.update_sha256,
        "metrics": dict(of.metrics or {}),
        "charged": format_credits(one.charged_nano),
        "asked_at": of.asked_at,
        "ended_at": of.ended_at,
    }


def _counts(counts: Mapping[ParticipantState, int]) -> Document:
    return {state.value: counts.get(state, 0) for state in ParticipantState}


def _weights(number: int, ref: WeightsRef | None) -> Document | None:
    return None if ref is None else {"round": number, "sha256": ref.sha256, "size_bytes": ref.size_bytes}


def jobs(documents: Sequence[Document]) -> Table:
    """Jobs for people, one a line."""
    columns = [words("Job"), words("Trainer"), words("State"), words("Rounds"), figures("Best"), figures("Charged")]
    rows = [
        (d["id"], d["trainer"], _state(d), bar(d["rounds_done"], d["rounds"]), _best(d), d["charged"])
        for d in documents
    ]
    return table(columns, rows)


def rounds(documents: Sequence[Document]) -> Table:
    """Rounds for people: the metrics of each, and who took part."""
    names = list(dict.fromkeys(name for d in documents for name in d["metrics"]))[:METRICS_SHOWN_MAX]
    private = any(d["epsilon"] is not None for d in documents)
    columns = [figures("Round"), words("State"), figures("Accepted"), figures("Rejected"), figures("Lost")]
    columns += [figures(name) for name in names] + ([figures("ε")] if private else [])
    return table([*columns, figures("Charged"), figures("Took")], [_round_row(d, names, private) for d in documents])


def _round_row(d: Document, names: Sequence[str], private: bool) -> tuple[object, ...]:
    counts = d["participants"]
    number = f"{d['number']}" if d["attempt"] == 1 else f"{d['number']}, attempt {d['attempt']}"
    took = None if d["ended_at"] is None else duration((d["ended_at"] - d["started_at"]).total_seconds())
    who = (f"{counts['accepted']} of {d['wanted']}", counts["rejected"], counts["dropped"] + counts["late"])
    metrics = [_figure(d["metrics"].get(name)) for name in names]
    return (number, d["state"], *who, *metrics, *([_figure(d["epsilon"])] if private else []), d["charged"], took)


def participants(documents: Sequence[Document]) -> Table:
    """Participants for people."""
    columns = [words("Node"), words("State"), words("Why"), figures("Examples"), identity("Order"), figures("Charged")]
    rows = [(d["node_name"], d["state"], d["reason"], d["examples"], d["order"], d["charged"]) for d in documents]
    return table(columns, rows)


def show(document: Document, hook: Document) -> None:
    """Print a job and what to do next; `hook` are facts of its webhook."""
    open_round = document["open_round"]
    facts = {
        "id": document["id"],
        "account": document["account"],
        "state": _state_told(document),
        "trainer": document["trainer"],
        "strategy": document["strategy"],
        "rounds": bar(document["rounds_done"], document["rounds"]),
        "open_round": open_round and ", ".join(f"{count} {state}" for state, count in open_round.items() if count),
        "best": _best_told(document),
        "ε": _figure(document["epsilon"]),
        "charged_so_far" if document["ended_at"] is None else "charged": document["charged"],
        "held": document["held"] if document["ended_at"] is None else None,
        **{name: document[name] for name in ("max_budget", "tier", "region", "result_model", "result_error")},
        **{name: document[name] for name in ("created_at", "deadline_at", "ended_at")},
        **hook,
    }
    console().print(record({name: value for name, value in facts.items() if value is not None}))
    for hint in hints(document):
        note(hint)


def hints(document: Document) -> list[str]:
    """What may be done next with a job."""
    name = document["id"]
    if document["ended_at"] is None:
        return [f"`swarmex train watch {name}` shows how far it is, `swarmex train cancel {name}` ends it."]
    why = NEXT.get(document["reason"] or "") if document["state"] == JobState.FAILED else None
    told = [f"It ended because of {document['reason']}: {why}."] if why else []
    if document["result_model"]:
        told.append(f"`swarmex train download {name} model.onnx --onnx` writes the model that was registered.")
    if document["weights"]:
        told.append(f"`swarmex train download {name} weights.safetensors` writes the last weights.")
    return [*told, f"`swarmex train rounds {name}` lists its rounds, `swarmex train plot {name} job.png` draws them."]


def ended(document: Document) -> bool:
    """Whether nothing of the job changes any more."""
    return document["state"] in FINAL


def bar(done: int, total: int) -> str:
    """How many of all are done, to look at."""
    filled = min(BAR_CHARS, done * BAR_CHARS // max(1, total))
    return f"{'█' * filled}{'░' * (BAR_CHARS - filled)} {done}/{total}"


def metric_of(document: Document, name: str) -> float | None:
    """What a round that was aggregated gave for a metric."""
    value: float | None = document["metrics"].get(name) if document["state"] == RoundState.AGGREGATED else None
    return value


def _state(document: Document) -> str:
    if document["cancelling"]:
        return "cancelling"
    return f"{document['state']}: {document['reason']}" if document["reason"] else str(document["state"])


def _state_told(document: Document) -> str:
    about = "it is about to end" if document["cancelling"] else ABOUT.get(JobState(document["state"]))
    return f"{_state(document)}: {about}" if about else _state(document)


def _best(document: Document) -> str | None:
    return _figure(document["best"]["value"])


def _best_told(document: Document) -> str | None:
    best = document["best"]
    return None if best["value"] is None else f"{best['metric']} {_figure(best['value'])} after round {best['round']}"


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
