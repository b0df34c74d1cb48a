"""The demo's federated training: sample nodes train one model together, which is then served like any other.

Each node has examples of its own, and more of some digits than of others.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.cli.demo.client import Answer, Client, Failed
from backend.cli.demo.digits import labels_of, request
from backend.domain.money import parse_credits
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    from backend.cli.demo.steps import Step

MODEL = "digits-federated"
TRAINER = "digits-linear"
INPUT = "x"  # of the trainer's exported model
TEST_EVERY = 5  # of the bundled digits: what no node trains on
ROUNDS, NODES = 3, 4  # all that the tier's classes have
TIER = TierName.MEDIUM
BUYER = "demo-lab"
IMAGES = 100  # served, of the test set
ACCURACY_MIN = 0.85
TIMEOUT_S = 150.0
POLL_S = 0.1
JOB = {
    "workload": "training",
    "tier": TIER.value,
    "participants": NODES,
    "max_budget": "20",
    "training": {
        "trainer": TRAINER,
        "rounds": ROUNDS,
        "participants_min": NODES,
        "local_epochs": 5,
        "round_s": 60,
        "target": {"metric": "accuracy", "higher_is_better": True},
        "config": {"split": "dirichlet", "alpha": 1.0},
        "name": MODEL,
    },
}


@dataclass(slots=True)
class Trained:
    """A job that is done: the metric after each round, its participants' orders, and what the model said when asked."""

    job: str
    charged_nano: int
    accuracies: list[float]
    orders: dict[str, int]  # with how many examples the node trained on
    answer: Answer | None = None
    right: int = 0
    images: int = 0


def train(client: Client, run: str, step: "Step") -> Trained:
    """Place the job at the front door and wait for its end; raises Failed unless it is done, with a model."""
    job = client.train(JOB, f"{run}-training")
    deadline = time.monotonic() + TIMEOUT_S
    while job["ended_at"] is None:
        if time.monotonic() > deadline:
            raise Failed(f"training job {job['id']} is still {job['state']} after {TIMEOUT_S:.0f} s")
        _tell(job, step)
        time.sleep(POLL_S)
        job = client.training_job(job["id"])
    if job["state"] != "done" or job["result_model"] is None:
        raise Failed(f"training job {job['id']} {job['state']}: {job['result_error'] or job['reason']}")
    rounds = [one for one in client.training_rounds(job["id"]) if one["state"] == "aggregated"]
    parts = [part for one in rounds for part in client.training_participants(job["id"], one["number"])]
    return Trained(
        job["id"],
        parse_credits(job["charged"], zero=True),
        [one["metrics"]["accuracy"] for one in rounds],
        {part["order"]: part["examples"] or 0 for part in parts},
    )


def serve(client: Client, trained: Trained) -> None:
    """Ask what they learned, by the gateway, of digits that none of them has seen."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    unseen, shown = images[::TEST_EVERY][:IMAGES], labels[::TEST_EVERY][:IMAGES]
    trained.answer = client.infer(MODEL, TIER, request(unseen, INPUT))
    said = labels_of(trained.answer.response)
    trained.images = len(shown)
    trained.right = sum(label == true for label, true in zip(said, shown.tolist(), strict=True))


def _tell(job: dict[str, Any], step: "Step") -> None:
    step.at(job["rounds_done"], job["rounds"])
    if job["open_round"]:
        sent = job["open_round"]["reported"] + job["open_round"]["accepted"]
        step.tell(f"round {job['rounds_done'] + 1} of {job['rounds']}: {sent} of {job['open_round']['wanted']} updates")
