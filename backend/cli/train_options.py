"""A training job as people type it: the options that `swarmex train submit` and `quote` share."""

import inspect
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any

import typer

from backend.cli.webhooks import WebhookOption
from backend.domain.errors import Invalid, shown
from backend.domain.federated.jobs import (
    DELTA_DEFAULT,
    FIT_S_DEFAULT,
    JOB_S_DEFAULT,
    ROUND_S_DEFAULT,
    Privacy,
    Target,
    TrainingSpec,
    check_spec,
    higher_by_name,
    quorum_by_default,
)
from backend.domain.federated.tasks import Scalar
from backend.domain.money import PPM, parse_credits
from backend.domain.orders import Strategy
from backend.domain.percent import read_percent
from backend.domain.tiers import TierName

_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_REAL = re.compile(r"-?(\d+\.?\d*|\.\d+)(e-?\d{1,3})?", re.ASCII | re.IGNORECASE)
_SAID = {"true": True, "yes": True, "false": False, "no": False}


def _stated(metavar: str, help_text: str) -> Any:
    return typer.Option(metavar=metavar, help=help_text, show_default=False)


def _with_default(metavar: str, help_text: str) -> Any:
    return typer.Option(metavar=metavar, help=help_text)


def _spec(
    trainer: Annotated[str, typer.Argument(metavar="TRAINER", help="See `swarmex train trainers`.")],
    rounds: Annotated[int, _with_default("N", "How many, unless it ends earlier.")] = 10,
    participants: Annotated[int, _with_default("N", "Nodes that each round asks.")] = 4,
    quorum: Annotated[int | None, _stated("N", "Updates that a round needs; half of those asked unless told.")] = None,
    strategy: Annotated[
        str, _with_default("NAME", "How updates become one model: fedavg, fedadam, krum, …")
    ] = "fedavg",
    option: Annotated[list[str] | None, _stated("NAME=NUMBER", "Of the strategy; as often as needed.")] = None,
    epochs: Annotated[int, _with_default("N", "Passes over a node's data in each round.")] = 1,
    batch_size: Annotated[int, _with_default("N", "Examples in a step on a node.")] = 32,
    config: Annotated[list[str] | None, _stated("NAME=VALUE", "For the trainer; as often as needed.")] = None,
    fit: Annotated[int, _with_default("SECONDS", "A node's part in a round at most; priced by it.")] = FIT_S_DEFAULT,
    round_time: Annotated[int, _with_default("SECONDS", "Then a round takes what it has.")] = ROUND_S_DEFAULT,
    deadline: Annotated[int, _with_default("SECONDS", "Then the job ends with what it has.")] = JOB_S_DEFAULT,
    tier: Annotated[TierName, typer.Option(help="Which size of machines, urgency and fee.")] = TierName.MEDIUM,
    priority: Annotated[Strategy, typer.Option(help="What to prefer among the markets.")] = Strategy.COST,
    region: Annotated[str | None, typer.Option(help="Only there.", show_default=False)] = None,
    min_trust: Annotated[str | None, _stated("PERCENT", "Of its nodes.")] = None,
    max_budget: Annotated[str | None, _stated("CREDITS", "All of it may cost this at most.")] = None,
    limit: Annotated[str | None, _stated("CREDITS", "Per slot-second at most.")] = None,
    target: Annotated[
        str, _stated("METRIC[=VALUE]", "What it is about; the job ends once the value is reached.")
    ] = "loss",
    higher_is_better: Annotated[
        bool | None,
        typer.Option(
            "--higher-is-better/--lower-is-better", help="Of the metric; by its name unless told.", show_default=False
        ),
    ] = None,
    patience: Annotated[int | None, _stated("N", "Ends after so many rounds without a better one.")] = None,
    privacy: Annotated[str | None, _stated("central|local", "Who adds noise; then --clip and --noise.")] = None,
    clip: Annotated[float, _with_default("NORM", "With --privacy: an update's L2 norm at most.")] = 1.0,
    noise: Annotated[float, _with_default("FACTOR", "With --privacy: its standard deviation is this × clip.")] = 1.0,
    delta: Annotated[float, _with_default("δ", "With --privacy: what ε is told at.")] = DELTA_DEFAULT,
    epsilon: Annotated[float | None, _stated("ε", "With --privacy: ends before it spends more.")] = None,
    model: Annotated[str | None, _stated("NAME", "Goes on from this model, which a training job made.")] = None,
    name: Annotated[str | None, _stated("NAME", "What its result is registered as.")] = None,
    seed: Annotated[int, _with_default("N", "Another one draws other weights and nodes.")] = 0,
    webhook: WebhookOption = None,
) -> TrainingSpec:
    """The job that these words mean; raises Invalid with the name of the field that the HTTP API has for it."""
    return check_spec(
        TrainingSpec(
            trainer=trainer,
            rounds=rounds,
            participants=participants,
            participants_min=quorum_by_default(participants) if quorum is None else quorum,
            strategy=strategy,
            strategy_options={key: _number(key, value) for key, value in _pairs("strategy_options", option or ())},
            local_epochs=epochs,
            batch_size=batch_size,
            config={key: _scalar(value) for key, value in _pairs("config", config or ())},
            fit_s=fit,
            round_s=round_time,
            deadline_s=deadline,
            tier=tier.value,
            priority=priority.value,
            region=region,
            trust_min_ppm=_trust(min_trust),
            max_budget_nano=None if max_budget is None else parse_credits(max_budget, "max_budget"),
            limit_nano_per_slot_s=None if limit is None else parse_credits(limit, "limit"),
            target=_target(target, higher_is_better, patience),
            privacy=None if privacy is None else Privacy(privacy, clip, noise, delta, epsilon),
            model=model,
            name=name,
            seed=seed,
            webhook=webhook,
        )
    )


def states_job(verb: Callable[..., None]) -> Callable[..., None]:
    """A verb whose first argument is a job: on the command line, what states the job is in the place of it."""
    own = list(inspect.signature(verb).parameters.values())[1:]
    stated = inspect.signature(_spec).parameters

    @wraps(verb)
    def read(**said: Any) -> None:
        verb(_spec(**{name: said.pop(name) for name in stated}), **said)

    parameters = [one.replace(kind=one.KEYWORD_ONLY) for one in (*stated.values(), *own)]
    read.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    read.__annotations__ = {one.name: one.annotation for one in parameters}
    return read


def _pairs(field: str, words: Sequence[str]) -> list[tuple[str, str]]:
    """What `name=value` words say; raises Invalid for one without a value, or a name that comes twice."""
    pairs = [(name, value) for name, equals, value in (word.partition("=") for word in words) if name and equals]
    if len(pairs) < len(words) or len(dict(pairs)) < len(pairs):
        raise Invalid(f"{field} cannot be read", code=f"invalid_{field}", field=field, accepted="NAME=VALUE, each once")
    return pairs


def _number(name: str, said: str) -> float:
    if not _REAL.fullmatch(said):
        field = f"strategy_options.{name}"
        raise Invalid(f"{shown(said)} is no number", code="invalid_strategy_options", field=field, accepted="a number")
    return float(said)


def _scalar(said: str) -> Scalar:
    """A value of the trainer's configuration: a truth, a number, or the words themselves."""
    if _WHOLE.fullmatch(said):
        return int(said)
    return float(said) if _REAL.fullmatch(said) else _SAID.get(said.lower(), said)


def _trust(said: str | None) -> int:
    ppm = 0 if said is None else read_percent(said, PPM)
    if ppm is None:
        raise Invalid(
            f"{shown(said)} is no share", code="invalid_trust_min_ppm", field="trust_min_ppm", accepted="0 to 100"
        )
    return ppm


def _target(said: str, higher: bool | None, patience: int | None) -> Target:
    metric, equals, value = said.partition("=")
    if equals and not _REAL.fullmatch(value):
        raise Invalid(f"{shown(value)} is no number", code="invalid_value", field="target.value", accepted="a number")
    wanted = float(value) if equals else None
    return Target(metric, higher_by_name(metric) if higher is None else higher, wanted, patience)
