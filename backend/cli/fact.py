"""What agents let each other know."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, record, table, words
from backend.domain.coordination import Put
from backend.domain.errors import Invalid
from backend.domain.joining import parse_life

if TYPE_CHECKING:
    from backend.domain.coordination import Fact

VALUE_SHOWN_CHARS_MAX = 120  # in a table; `get` shows all of it

verbs = group("What agents let each other know: facts with an owner, a version and an end.")
Key = Annotated[str, typer.Argument(metavar="KEY", help="Name of a fact.", show_default=False)]


@verbs.command(
    "list", epilog=examples("swarmex fact list", "swarmex fact list agent.", "swarmex fact list agent. --json")
)
def list_facts(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="How keys begin; all without it.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.")] = 100,
    after: Annotated[str, typer.Option(metavar="KEY", help="From the one behind it on.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """List facts by key; agent.NAME is what an agent tells of itself."""
    from backend import bootstrap
    from backend.services import coordination

    with market() as wired:
        facts = coordination.list_facts(wired.uow(), bootstrap.utc_now(), prefix, limit, after)
    columns = [words("Key"), words("Value"), words("Owner"), figures("Version"), words("Written"), words("Until")]
    rows = [
        (fact.key, _short(fact.value), fact.owner, fact.version, fact.written_at, fact.expires_at) for fact in facts
    ]
    emit(as_json, [asdict(fact) for fact in facts], table(columns, rows))


@verbs.command(epilog=examples("swarmex fact get agent.settlement-0", "swarmex fact get maintenance --json"))
def get(key: Key, as_json: AsJson = False) -> None:
    """Show a fact."""
    from backend import bootstrap
    from backend.services import coordination

    with market() as wired:
        fact = coordination.show_fact(wired.uow(), bootstrap.utc_now(), key)
    _emit(fact, as_json)


@verbs.command(
    "set",
    epilog=examples(
        "swarmex fact set maintenance true --expires 2h",
        """swarmex fact set notice '{"text": "new model at noon"}' --json""",
        "swarmex fact set maintenance false --expect 17",
    ),
)
def set_fact(
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="A JSON value.", show_default=False)],
    expires: Annotated[
        str | None, typer.Option(metavar="SPAN", help="How long it holds, as in 15m, 2h or 3d.", show_default=False)
    ] = None,
    expect: Annotated[
        int | None,
        typer.Option(metavar="VERSION", help="Only over that version; 0: only if there is none.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a fact, whoever had it; its owner is the operator from then on, and agents leave it alone."""
    from backend import bootstrap
    from backend.services import coordination

    put = Put(key, _parsed(value), parse_life(expires) if expires else None, expect)
    with market() as wired:
        fact = coordination.set_fact(wired.uow(), bootstrap.utc_now(), operator(), put)
    _emit(fact, as_json)


@verbs.command(epilog=examples("swarmex fact delete maintenance", "swarmex fact delete maintenance --json"))
def delete(key: Key, as_json: AsJson = False) -> None:
    """Forget a fact, whoever had it; an agent that tells it regularly will tell it again."""
    from backend import bootstrap
    from backend.services import coordination

    with market() as wired:
        coordination.remove_fact(wired.uow(), bootstrap.utc_now(), operator(), key)
    document = {"key": key, "deleted": True}
    emit(as_json, document, record(document))


def _emit(fact: "Fact", as_json: bool) -> None:
    document = asdict(fact)
    emit(as_json, document, record(document | {"value": json.dumps(fact.value, ensure_ascii=False)}))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        accepted = """a JSON value, as in 3, true, '"words"' or '{"a": 1}'"""
        raise Invalid("the value is not JSON", code="invalid_value", field="value", accepted=accepted) from None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_SHOWN_CHARS_MAX else text[: VALUE_SHOWN_CHARS_MAX - 1] + "…"
