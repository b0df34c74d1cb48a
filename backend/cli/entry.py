"""All verbs in one application, and the one place where its failures become words and exit codes."""

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from backend.cli import (
    account,
    agents,
    alerts,
    api,
    backup,
    batch,
    breaker,
    budget,
    demo,
    deposit,
    dispute,
    doctor,
    down,
    fact,
    fee,
    file,
    grpc,
    infer,
    init,
    invoice,
    joint,
    key,
    ledger,
    log,
    market,
    meter,
    model,
    node,
    offer,
    order,
    org,
    payout,
    price,
    queue,
    region,
    resource,
    restore,
    sla,
    tier,
    train,
    trust,
    up,
    usage,
)
from backend.cli.hints import next_step
from backend.cli.options import NumberLast, examples
from backend.cli.output import note, print_json
from backend.domain.errors import SwarmexError

FAILED, USAGE, INTERRUPTED = 1, 2, 130

app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)

RUN, MARKET, WATCH = "Run a market", "Use it", "Watch it"
for module, panel in (
    (demo, RUN),
    (init, RUN),
    (up, RUN),
    (down, RUN),
    (api, RUN),
    (grpc, RUN),
    (backup, RUN),
    (restore, RUN),
    (deposit, MARKET),
    (offer, MARKET),
    (infer, MARKET),
    (doctor, WATCH),
):
    verb = module.__name__.rpartition(".")[2]
    kind = NumberLast if module in (deposit, offer) else None
    app.command(verb, cls=kind, epilog=module.EXAMPLES, rich_help_panel=panel)(getattr(module, verb))
GROUPS = (
    (account, MARKET),
    (key, MARKET),
    (org, MARKET),
    (budget, MARKET),
    (node, MARKET),
    (model, MARKET),
    (order, MARKET),
    (batch, MARKET),
    (train, MARKET),
    (file, MARKET),
    (dispute, MARKET),
    (sla, MARKET),
    (payout, MARKET),
    (invoice, MARKET),
    (meter, MARKET),
    (usage, MARKET),
    (fee, WATCH),
    (tier, WATCH),
    (price, WATCH),
    (trust, WATCH),
    (market, WATCH),
    (region, WATCH),
    (ledger, WATCH),
    (log, WATCH),
    (agents, WATCH),
    (queue, WATCH),
    (alerts, WATCH),
    (breaker, WATCH),
    (fact, WATCH),
    (resource, WATCH),
    (joint, WATCH),
)
NOUNS = {module.__name__.rpartition(".")[2]: (module.verbs, panel) for module, panel in GROUPS}
for noun, (verbs, panel) in NOUNS.items():
    app.add_typer(verbs, name=noun, rich_help_panel=panel)


@app.callback(
    invoke_without_command=True,
    epilog=examples("swarmex demo", "swarmex up", "swarmex order list --state running", "swarmex doctor --json"),
)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A market for AI compute on machines of your own.

    Everything lives in a data folder: .swarmex here, or SWARMEX_DATA_FOLDER. Amounts are credits, as decimal strings.
    """
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"swarmex {installed('swarmex')}")
    elif context.invoked_subcommand is None:
        context.get_help()  # which prints it


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code, and tells failures on standard error (JSON: standard output)."""
    tell = Failure("--json" in arguments, _command(arguments))
    try:
        code = app(args=list(arguments), prog_name="swarmex", standalone_mode=False)
    except SwarmexError as error:
        _trace(error)
        tell(error.code, error.message, error.field, error.accepted)
        return FAILED
    except typer.TyperException as error:
        if message := error.format_message():  # none: the help has been printed
            tell(
                "usage", message.replace(": Value error, ", ": "), getattr(getattr(error, "param", None), "name", None)
            )
        return error.exit_code
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        return _unforeseen(tell, error)
    return code if isinstance(code, int) else 0


def _command(arguments: Sequence[str]) -> str:
    """The command that was meant, as far as there is such a one: its help can be asked for."""
    meant, group = ["swarmex"], app
    for word in arguments:
        inner = {found.name: found.typer_instance for found in group.registered_groups}
        if word not in inner:
            names = {verb.name or getattr(verb.callback, "__name__", "") for verb in group.registered_commands}
            return " ".join([*meant, word] if word in names else meant)
        meant.append(word)
        group = inner[word] or group
    return " ".join(meant)


def _unforeseen(tell: "Failure", error: Exception) -> int:
    """Failures of what is below the services, by the library that raised them: none of them is imported for this."""
    library = type(error).__module__.partition(".")[0]
    what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no more is known'}"
    _trace(error)
    if library in ("sqlalchemy", "psycopg"):
        tell("database_error", f"the database did not answer as it should: {what}")
    else:
        tell("internal_error", what)
    return FAILED


def _trace(error: Exception) -> None:
    if os.environ.get("SWARMEX_LOG_LEVEL", "").upper() == "DEBUG":
        traceback.print_exception(error, file=sys.stderr)


@dataclass(frozen=True)
class Failure:
    """Tells what went wrong, in the form that was asked for."""

    as_json: bool
    command: str

    def __call__(self, code: str, message: str, field: str | None = None, accepted: str | None = None) -> None:
        step = next_step(code, self.command)
        facts = {"field": field, "accepted": accepted, "next": step}
        if self.as_json:
            print_json({"error": {"code": code, "message": message, **facts}})
            return
        note(f"error: {message}", style="bold red")
        for name, told in facts.items():
            if told:
                note(f"  {name + ':':9} {told}")
