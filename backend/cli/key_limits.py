"""`swarmex key limits`: how much a key may ask for, shown, set or removed."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import market, operator, parse_id_of
from backend.cli.options import AsJson, examples
from backend.cli.output import console, figures, print_json, table, words
from backend.domain.errors import Invalid
from backend.domain.ids import KeyId
from backend.domain.rates import OwnLimits

if TYPE_CHECKING:
    from backend.services.rates import KeyLimits

EXAMPLES = examples(
    "swarmex key limits 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b",
    "swarmex key limits 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --requests-per-minute 600 --in-flight 8",
    "swarmex key limits 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --remove",
)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="Its id, as `key list` shows it.")]
Requests = Annotated[int | None, typer.Option(metavar="N", help="Requests a minute.", show_default=False)]
Tokens = Annotated[
    int | None,
    typer.Option(metavar="N", help="Tokens a minute; a body costs one for each 4096 bytes.", show_default=False),
]
AtOnce = Annotated[int | None, typer.Option(metavar="N", help="Requests at once.", show_default=False)]
Remove = Annotated[bool, typer.Option("--remove", help="Forget all that was set, by admins and by the owner.")]


def limits(
    key_id: KeyArgument,
    requests_per_minute: Requests = None,
    tokens_per_minute: Tokens = None,
    in_flight: AtOnce = None,
    remove: Remove = False,
    as_json: AsJson = False,
) -> None:
    """Show how much a key may ask for on each face, or change it within a second; what is not named stays."""
    from backend import bootstrap
    from backend.services import rates

    wish = OwnLimits(requests_per_minute, tokens_per_minute, in_flight)
    if remove and wish.given():
        raise Invalid(
            "limits cannot be set and removed at once",
            code="invalid_remove",
            field="remove",
            accepted="--remove, or limits",
        )
    found = KeyId(parse_id_of("key", key_id))
    with market() as wired:
        now = bootstrap.utc_now()
        if remove:
            view = rates.remove_limits(wired.uow(), now, operator(), found)
        elif wish.given():
            known = rates.show_limits(wired.uow(), operator(), found).operator
            view = rates.set_limits(wired.uow(), now, operator(), found, replace(known, **wish.given()))
        else:
            view = rates.show_limits(wired.uow(), operator(), found)
    if as_json:
        print_json(_document(view))
    else:
        _print(view)


def _document(view: "KeyLimits") -> dict[str, Any]:
    """As the HTTP API tells it."""
    return {
        "key_id": view.key_id,
        "faces": [{"face": face, **asdict(counts)} for face, counts in view.faces.items()],
        "operator": asdict(view.operator),
        "owner": asdict(view.owner),
    }


def _print(view: "KeyLimits") -> None:
    columns = [words("Face"), figures("Requests / min"), figures("Tokens / min"), figures("At once")]
    rows = [[face, *asdict(counts).values()] for face, counts in view.faces.items()]
    console().print(table(columns, rows))
    sides = [("operator", view.operator), ("owner", view.owner)]
    own = [[side, *asdict(limits).values()] for side, limits in sides if limits.given()]
    if own:
        columns = [words("Set by"), figures("Requests / min"), figures("Tokens / min"), figures("At once")]
        console().print(table(columns, own, "\nSet for this key"))
