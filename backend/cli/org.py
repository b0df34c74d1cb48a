"""Organisations: accounts that their members share."""

from typing import Annotated, Any

import typer
from rich.console import RenderableType

from backend.cli import budget_views, views
from backend.cli.connection import account_named, market, operator, parse_id
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import console, emit, note, print_json, record, table, words
from backend.domain.organisations import MemberRole

verbs = group("Organisations: a wallet and budgets that members share.")

OrganisationArgument = Annotated[
    str, typer.Argument(metavar="ORGANISATION", help="Name or id of an organisation.", show_default=False)
]
PersonArgument = Annotated[str, typer.Argument(metavar="PERSON", help="Name or id of an account.", show_default=False)]


@verbs.command(epilog=examples("swarmex org create lab --owner ana"))
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it, as in lab-2.", show_default=False)],
    owner: Annotated[str, typer.Option(metavar="PERSON", help="Who manages it at first.")],
    as_json: AsJson = False,
) -> None:
    """Found an organisation, with an empty wallet and one owner."""
    from backend import bootstrap
    from backend.services import organisations

    with market() as wired:
        founder = operator(account_named(wired, owner).id)
        made = organisations.create_organisation(wired.uow(), bootstrap.utc_now(), founder, name)
    _show(views.organisation(made), as_json)


@verbs.command("list", epilog=examples("swarmex org list", "swarmex org list --account ana --json"))
def list_organisations(account: AccountOption = None, as_json: AsJson = False) -> None:
    """List organisations: all, or those that somebody belongs to, and as what."""
    from backend.services import organisations

    with market() as wired:
        person = account_named(wired, account).id if account else None
        found = organisations.list_organisations(wired.uow(), person)
    documents = [{"id": m.organisation_id, "name": m.name, "role": m.role} for m in found]
    shown = [words("Name"), words("Id"), *([words("Role")] if account else [])]
    rows = [(d["name"], d["id"], d["role"])[: len(shown)] for d in documents]
    emit(as_json, documents, table(shown, rows))


@verbs.command(epilog=examples("swarmex org show lab"))
def show(organisation: OrganisationArgument, as_json: AsJson = False) -> None:
    """Show an organisation's money, its members, and its budgets with what is used of them."""
    from backend import bootstrap
    from backend.services import organisations

    with market() as wired:
        wanted = parse_id(organisation) or organisation
        found = organisations.show_organisation(wired.uow(), bootstrap.utc_now(), operator(), wanted)
    _show(views.organisation(found), as_json)


@verbs.command(epilog=examples("swarmex org add lab ben", "swarmex org add lab ana --role owner"))
def add(
    organisation: OrganisationArgument,
    person: PersonArgument,
    role: Annotated[MemberRole, typer.Option(help="Owners manage, members spend.")] = MemberRole.MEMBER,
    as_json: AsJson = False,
) -> None:
    """Make a person a member, or change what they are."""
    from backend import bootstrap
    from backend.services import organisations

    with market() as wired:
        wanted, who = parse_id(organisation) or organisation, parse_id(person) or person
        changed = organisations.put_member(wired.uow(), bootstrap.utc_now(), operator(), wanted, who, role.value)
    _show(views.organisation(changed), as_json)


@verbs.command(epilog=examples("swarmex org remove lab ben"))
def remove(organisation: OrganisationArgument, person: PersonArgument, as_json: AsJson = False) -> None:
    """End a membership, and with it the member's keys of the organisation, batches and training jobs."""
    from backend import bootstrap
    from backend.services import organisations

    with market() as wired:
        wanted, who = parse_id(organisation) or organisation, parse_id(person) or person
        changed = organisations.remove_member(wired.uow(), bootstrap.utc_now(), operator(), wanted, who)
    _show(views.organisation(changed), as_json)


@verbs.command(epilog=examples("swarmex org key lab ben", "swarmex org key lab ben --label notebook --json"))
def key(
    organisation: OrganisationArgument,
    person: PersonArgument,
    label: Annotated[str, typer.Option(help="A note of what the key is for.", show_default=False)] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key with which a member spends from the organisation's wallet; its secret is shown this once."""
    from backend import bootstrap
    from backend.services import organisations

    with market() as wired:
        wanted, who = parse_id(organisation) or organisation, parse_id(person) or person
        now = bootstrap.utc_now()
        document = views.key(organisations.create_member_key(wired.uow(), now, operator(), wanted, who, label))
    emit(as_json, document, record(document))
    if not as_json:
        note("Keep the secret: it is not shown again.")


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    columns = [words("Member"), words("Role"), words("Since"), words("Id")]
    rows = [(m["name"], m["role"], m["joined_at"], m["account"]) for m in document["members"]]
    parts: list[RenderableType] = [record(document["account"]), "", table(columns, rows)]
    if own := [budget for budget in document["budgets"] if budget["account"]]:
        parts += ["", budget_views.budgets(own, {m["account"]: m["name"] for m in document["members"]})]
    console().print(*parts, sep="\n")
