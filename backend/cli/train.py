"""Federated training: jobs that teach one model on the data of many nodes, which never leaves them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import train_views as views
from backend.cli import webhooks
from backend.cli.bars import Bars
from backend.cli.connection import account_named, market, operator
from backend.cli.file import OwnerOption
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import emit, note, notes, print_json, record
from backend.cli.train_options import states_job
from backend.domain.errors import ChecksumMismatch, Invalid
from backend.domain.federated.jobs import TrainingSpec
from backend.domain.federated.states import JobState

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.services.training_jobs import JobView

verbs = group("Federated training: one model from the data of many nodes.")

JOB = "train_0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"
SUBMIT_HINT = "`swarmex train submit TRAINER --account ACCOUNT` begins one, `swarmex train trainers` lists trainers"
JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="Id of a job: train_…", show_default=False)]


@verbs.command(
    epilog=examples(
        "swarmex train submit digits-linear --account acme --rounds 10 --participants 5 --watch",
        "swarmex train submit digits-mlp --account acme --target accuracy=0.95 --patience 3 --max-budget 5 --name mine",
        "swarmex train submit digits-linear --account acme --strategy krum --option malicious=1 --participants 8"
        " --config learning_rate=0.1 --config split=dirichlet --config alpha=0.3",
        "swarmex train submit digits-linear --account acme --privacy central --clip 1 --noise 0.8 --epsilon 4 --json",
    )
)
@states_job
def submit(
    spec: TrainingSpec,
    account: OwnerOption,
    watch: Annotated[bool, typer.Option("--watch", help="Until it has ended; exit 1 unless it is done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Begin a training job; only updates that are accepted are charged.

    Each round asks nodes that are leased on the market, lets each fit on its own data, and makes one model of what
    they send. The job ends after its rounds, or before: by its target, its patience, its budget, its privacy.
    """
    from backend import bootstrap
    from backend.services import training_jobs

    with market() as wired:
        owner = operator(account_named(wired, account).id)
        made = training_jobs.create_job(wired.uow(), bootstrap.utc_now(), owner, spec)
        shown = _document(wired, made)
        if watch:
            shown = _watched(wired, shown["id"])
    _end(shown, as_json, watched=watch)


@verbs.command(
    epilog=examples(
        "swarmex train quote digits-linear --rounds 10 --participants 5",
        "swarmex train quote digits-mlp --fit 30 --tier large --region eu-1 --json",
    )
)
@states_job
def quote(spec: TrainingSpec, as_json: AsJson = False) -> None:
    """Tell what a training job would cost and where it would run; nothing is begun or held."""
    from backend import bootstrap
    from backend.services import training_jobs

    with market() as wired:
        document = views.quote(training_jobs.quote_job(wired.uow(), bootstrap.utc_now(), spec), spec)
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex train list", "swarmex train list --account acme --limit 5 --json"))
def list_jobs(
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List training jobs, the newest first: how far each is, how good, and what it cost."""
    from backend.services import training_jobs

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        page = training_jobs.list_jobs(wired.uow(), owner, limit)
    documents = [views.job(view) for view in page.jobs]
    emit(as_json, documents, views.jobs(documents))
    if not as_json and not documents:
        note(f"No training jobs {'of that account ' if account else ''}yet: {SUBMIT_HINT}.")
    elif not as_json and page.more:
        note(f"Only the newest {limit} are shown: `--limit` shows more, up to {training_jobs.LIST_MAX}.")


@verbs.command(epilog=examples(f"swarmex train status {JOB}", f"swarmex train status {JOB} --json"))
def status(job: JobArgument, as_json: AsJson = False) -> None:
    """Tell how far a job is, how good, what it cost, and what may be done next."""
    with market() as wired:
        shown = _looked(wired, job)
    _end(shown, as_json)


@verbs.command(epilog=examples(f"swarmex train watch {JOB}", f"swarmex train watch {JOB} --json"))
def watch(job: JobArgument, as_json: AsJson = False) -> None:
    """Show a job as it goes, until it has ended; exit 1 unless it is done. Ctrl-C leaves it running."""
    with market() as wired:
        shown = _watched(wired, job)
    _end(shown, as_json, watched=True)


@verbs.command(epilog=examples(f"swarmex train cancel {JOB}"))
def cancel(job: JobArgument, as_json: AsJson = False) -> None:
    """Let a job end: what is at work stops unpaid, the last weights stay."""
    from backend import bootstrap
    from backend.services import training_jobs

    with market() as wired:
        shown = _document(wired, training_jobs.cancel_job(wired.uow(), bootstrap.utc_now(), job, operator()))
    _end(shown, as_json)


@verbs.command(epilog=examples(f"swarmex train rounds {JOB}", f"swarmex train rounds {JOB} --participants 3 --json"))
def rounds(
    job: JobArgument,
    participants: Annotated[
        int | None, typer.Option(metavar="ROUND", help="Who took part in that round instead.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List a job's rounds with metric, privacy and cost, or who took part in one and why not."""
    from backend.services import training_jobs

    with market() as wired:
        if participants is None:
            documents = [views.round_(one) for one in training_jobs.rounds_of(wired.uow(), job, operator())]
        else:
            found = training_jobs.participants_of(wired.uow(), job, participants, operator())
            documents = [views.participant(one) for one in found]
    emit(as_json, documents, (views.rounds if participants is None else views.participants)(documents))


@verbs.command(
    epilog=examples(
        f"swarmex train download {JOB} weights.safetensors",
        f"swarmex train download {JOB} third.safetensors --round 3",
        f"swarmex train download {JOB} model.onnx --onnx",
    )
)
def download(
    job: JobArgument,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    round_: Annotated[
        int | None, typer.Option("--round", metavar="N", help="Not the last weights, but those after it; 0: initial.")
    ] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="The model that was registered instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a job's weights to a file, as safetensors, or the model that came of it, as ONNX; checked by its sum."""
    if onnx and round_ is not None:
        raise Invalid("a round has weights only", code="invalid_round", field="round", accepted="without --onnx")
    with market() as wired:
        (sha256, size, chunks) = _model(wired, job) if onnx else _weights(wired, job, round_)
        _write(path, chunks, sha256, size)
    document = {"job": job, "path": str(path.absolute()), "sha256": sha256, "size_bytes": size}
    emit(as_json, document, record(document))


@verbs.command(epilog=examples(f"swarmex train plot {JOB} job.png"))
def plot(
    job: JobArgument,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the PNG.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Draw a job's metric and cost, round by round, to a PNG."""
    from backend.cli.simulate import check_png, writing
    from backend.services import training_jobs

    with market() as wired:
        view = training_jobs.show_job(wired.uow(), job, operator())
        drawn = [views.round_(one) for one in training_jobs.rounds_of(wired.uow(), job, operator())]
    check_png(path)
    from backend.cli.train_plot import plot as draw

    with writing(path):
        draw(views.job(view), drawn, view.job.spec.target.value, path)
    document = {"job": job, "path": str(path.absolute()), "rounds": len(drawn)}
    emit(as_json, document, record(document))


@verbs.command(epilog=examples("swarmex train trainers", "swarmex train trainers --json"))
def trainers(as_json: AsJson = False) -> None:
    """List what can be trained, and the metrics that a target may name."""
    from backend.services import trainers as service

    with market() as wired:
        documents = [views.trainer(facts) for facts in service.list_trainers(wired.uow())]
    emit(as_json, documents, views.trainers(documents))
    if not as_json and not documents:
        note("None was announced yet: training-round agents do at their start; `swarmex up` starts one.")


def _looked(wired: "Swarmex", name: str) -> views.Document:
    from backend.services import training_jobs

    return _document(wired, training_jobs.show_job(wired.uow(), name, operator()))


def _watched(wired: "Swarmex", name: str) -> views.Document:
    from backend.cli.train_watch import watch as watched

    return watched(lambda: _looked(wired, name))


def _document(wired: "Swarmex", view: "JobView") -> views.Document:
    """A job as it is told, with what its webhook was told."""
    from backend.services.webhook_news import training_news

    hook = webhooks.document(wired, training_news(wired.uow(), view.job), view.job.account_id)
    return views.job(view) | {"webhook": hook}


def _end(shown: views.Document, as_json: bool, *, watched: bool = False) -> None:
    if as_json:
        print_json(shown)
    else:
        views.show(shown, webhooks.told(shown["webhook"]))
    if watched and shown["state"] != JobState.DONE:
        raise typer.Exit(1)


def _weights(wired: "Swarmex", job: str, round_: int | None) -> tuple[str, int, Iterator[bytes]]:
    from backend.services import training_jobs

    ref, chunks = training_jobs.weights_of(wired.uow(), wired.objects, job, operator(), round_)
    return ref.sha256, ref.size_bytes, chunks


def _model(wired: "Swarmex", job: str) -> tuple[str, int, Iterator[bytes]]:
    from backend.services.training_results import open_result

    model, chunks = open_result(wired.uow(), wired.objects, job, operator())
    return model.ref.checksum, model.size_bytes, chunks


def _write(path: Path, chunks: Iterator[bytes], sha256: str, size: int) -> None:
    """Nothing is at `path` until the whole file is there; raises Invalid, ChecksumMismatch."""
    partial, digest = path.with_name(f"{path.name}.part"), hashlib.sha256()
    try:
        with partial.open("wb") as target, Bars(notes()) as bars:
            for chunk in chunks:
                target.write(chunk)
                digest.update(chunk)
                bars.tell("written", target.tell(), size)
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        raise Invalid(f"{path}: {reason}", code="invalid_output", field="file", accepted="a path to write") from None
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise ChecksumMismatch(sha256, digest.hexdigest())
    partial.replace(path)
