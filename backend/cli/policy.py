"""`swarmex agents policy`: between which numbers an entry's replicas stay, and whether they follow its load."""

from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli import agent_views
from backend.cli.confirmations import Yes, confirm_processes
from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples
from backend.cli.output import emit
from backend.domain.errors import Invalid, NotFound
from backend.domain.scaling import ScalingPolicy, policy_of

if TYPE_CHECKING:
    from backend.domain.fleet import FleetSpec

EXAMPLES = examples(
    "swarmex agents policy pool.edge --min 1 --max 8",
    "swarmex agents policy pool.edge --min 0 --max 4 --set wait_ms=2000 --set cool_down_s=60",
    "swarmex agents policy pool.edge --fixed   # as many as there are, whatever the load",
)


def policy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A fleet entry, as in pool.edge.", show_default=False)],
    least: Annotated[int | None, typer.Option("--min", help="As few as that.", show_default=False)] = None,
    most: Annotated[int | None, typer.Option("--max", help="As many as that.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help=f"How to follow the load; as often as needed. Names: {', '.join(ScalingPolicy().wire())}.",
            show_default=False,
        ),
    ] = None,
    fixed: Annotated[bool, typer.Option("--fixed", help="Do not follow the load.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let an entry's replicas follow its load, between bounds; what is not said stays as it is.

    Only the load of inference agents is measured: of others, say --fixed to change the bounds.
    """
    from backend import bootstrap
    from backend.services import fleet, managers

    stated = dict(_setting(text) for text in settings or ())
    if fixed and stated:
        raise Invalid("nothing is followed", code="invalid_policy", field="fixed", accepted="--set without --fixed")
    with market() as wired:
        now = bootstrap.utc_now()
        known = {spec.name: spec for spec in fleet.desired(wired.uow())}
        if name not in known:
            raise NotFound("fleet entry", name, field="name", accepted=", ".join(known))
        spec = known[name]
        bounds = (spec.replicas_min if least is None else least, spec.replicas_max if most is None else most)
        if bounds[0] <= bounds[1]:
            confirm_processes(wired.settings, spec.replicas, bounds[0], yes=yes, as_json=as_json)
        wanted = None if fixed else _changed(spec, stated)
        spec = fleet.set_policy(wired.uow(), now, operator(), name, wanted, *bounds)
        agent_views.note_unmanaged(managers.manager_of(wired.uow()), now)
    document = agent_views.entry(spec)
    emit(as_json, document, agent_views.entry_drawn(document))


def _changed(spec: "FleetSpec", stated: dict[str, int]) -> ScalingPolicy:
    before = spec.policy or ScalingPolicy()
    return policy_of(before.wire() | stated)


def _setting(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    try:
        return name, int(number)
    except ValueError:
        accepted = "NAME=NUMBER, as in wait_ms=2000"
        raise Invalid(f"{text[:60]!r} sets nothing", code="invalid_policy", field="set", accepted=accepted) from None
