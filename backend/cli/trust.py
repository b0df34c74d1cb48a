"""How far nodes are trusted, and why."""

import secrets
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from backend.cli.connection import account_named, market, node_named, operator
from backend.cli.options import AccountOption, AsJson, NodeArgument, examples, group
from backend.cli.output import emit, figures, identity, notes, record, table, words
from backend.domain.money import PPM

if TYPE_CHECKING:
    from rich.table import Table

    from backend.cli.views import Document
    from backend.domain.trust import Explanation, Part
    from backend.storage.trust import Standing

verbs = group("How far nodes are trusted, and why.")


@verbs.command(epilog=examples("swarmex trust show rack-1", "swarmex trust show rack-1 --account acme --json"))
def show(node: NodeArgument, account: AccountOption = None, as_json: AsJson = False) -> None:
    """Show a node's score and what each kind of evidence of each buyer does to it; buyers are only numbers here.

    The score is the share of good service that the node beats with 95% confidence. Evidence is worth half after a week;
    a buyer's counts at most 10, however much there is.
    """
    from backend import bootstrap
    from backend.services import trust

    with market() as wired:
        found = node_named(wired, node, account)
        view = trust.show_trust(wired.uow(), bootstrap.utc_now(), found.id, operator())
    assert view.explanation is not None  # the operator sees all
    document = _standing(view.standing) | {"explanation": _explanation(view.explanation)}
    emit(as_json, document, _shown(document))


@verbs.command("list", epilog=examples("swarmex trust list", "swarmex trust list --account acme --json"))
def list_trust(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List the scores of nodes, the most trusted first."""
    from backend.services import trust

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        documents = [_standing(standing) for standing in trust.list_trust(wired.uow(), owner)]
    columns = [identity("Node"), words("Name"), words("Market"), figures("Trust")]
    rows = [(d["node"], d["name"], f"{d['resource_class']}/{d['region']}", _percent(d["trust_ppm"])) for d in documents]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex trust check", "swarmex trust check --per-node 5 --json"))
def check(
    per_node: Annotated[int, typer.Option(help="How many items of each node.")] = 1,
    seed: Annotated[str | None, typer.Option(help="What the choice is drawn from; random without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run some items that nodes served within the hour again, here, and count right and wrong answers as evidence.

    Nodes cannot tell these items from others, and a wrong answer counts against them whatever buyers say.
    """
    from rich.progress import Progress

    from backend import bootstrap
    from backend.services import canaries

    drawn = seed or secrets.token_hex(8)
    with market() as wired, Progress(console=notes(), transient=True, disable=not notes().is_terminal) as progress:
        bar = progress.add_task("items")
        checked = canaries.check(
            wired.uow(),
            bootstrap.utc_now(),
            operator(),
            wired.objects,
            drawn,
            per_node,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    document = {"seed": drawn, "passed": checked.passed, "failed": checked.failed, "skipped": checked.skipped}
    emit(as_json, document, record(document))


def _standing(standing: "Standing") -> "Document":
    return {
        "node": standing.node_id,
        "name": standing.name,
        "resource_class": standing.resource_class,
        "region": standing.region,
        "trust_ppm": standing.trust_ppm,
    }


def _explanation(explanation: "Explanation") -> "Document":
    return {
        "score_ppm": explanation.score_ppm,
        "parts": [_part(part) for part in explanation.parts],
        "before_ppm": explanation.before_ppm,
        "lately": [_part(part) for part in explanation.lately],
    }


def _part(part: "Part") -> "Document":
    return {
        "kind": part.kind,
        "buyer": part.buyer,
        "count": part.count,
        "weight": round(part.weight, 3),
        "counted": round(part.counted, 3),
        "effect_ppm": part.effect_ppm,
    }


def _shown(document: "Document") -> Group:
    why = document["explanation"]
    facts = {
        "node": document["node"],
        "name": document["name"],
        "market": f"{document['resource_class']}/{document['region']}",
        "trust in matching": _percent(document["trust_ppm"]),
        "by the evidence now": _percent(why["score_ppm"]),
        "a day ago": _percent(why["before_ppm"]),
    }
    tables = [_evidence(title, why[part]) for title, part in (("Evidence", "parts"), ("Since a day ago", "lately"))]
    return Group(record(facts), *(part for made in tables for part in ("", made)))


def _evidence(title: str, parts: "list[Document]") -> "Table":
    columns = [
        words("Kind"),
        words("Of"),
        figures("Count"),
        figures("Weight by now"),
        figures("Counts"),
        figures("Effect on the score"),
    ]
    rows = [
        (
            part["kind"].replace("_", " "),
            f"buyer {part['buyer']}" if part["buyer"] else "the market",
            part["count"],
            f"{part['weight']:.2f}",
            f"{part['counted']:.2f}",
            f"{100 * part['effect_ppm'] / PPM:+.2f}%",
        )
        for part in parts
    ]
    return table(columns, rows, title)


def _percent(ppm: int) -> str:
    return f"{100 * ppm / PPM:.2f}%"
