"""How an entry of the books is shown: one document, and tables of the same."""

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType

from backend.cli import money_views as views
from backend.cli import order_views
from backend.cli.output import figures, record, table, words
from backend.domain.money import format_credits

if TYPE_CHECKING:
    from backend.services.statements import AccountBooks, HoldBooks, OrderBooks
    from backend.storage.statements import Entry

Shown = tuple[dict[str, Any], list[RenderableType]]


def view(found: "AccountBooks | Entry | HoldBooks | OrderBooks") -> Shown:
    """The document and the tables of what was found."""
    from backend.services.statements import AccountBooks, HoldBooks, OrderBooks

    if isinstance(found, AccountBooks):
        return _account(found)
    if isinstance(found, HoldBooks):
        return _hold(found)
    if isinstance(found, OrderBooks):
        return _order(found)
    document = views.transfer(found)
    return document, [record({**document, "debit": _side(document["debit"]), "credit": _side(document["credit"])})]


def _account(found: "AccountBooks") -> Shown:
    balances = {
        kind.value: {
            "posted": format_credits(balance.posted_nano),
            "reserved": format_credits(balance.reserved_nano),
            "available": format_credits(balance.available_nano),
        }
        for kind, balance in sorted(found.balances.items())
    }
    holds = [views.hold(held) for held in found.holds]
    transfers = [views.transfer(entry) for entry in found.entries]
    document = {"account": found.account.id, "name": found.account.name, "balances": balances}
    columns = [words("Balance"), figures("Posted"), figures("Reserved"), figures("Available")]
    shown: list[RenderableType] = [
        record({"account": found.account.id, "name": found.account.name}),
        table(columns, [(kind, *figures_of_it.values()) for kind, figures_of_it in balances.items()]),
    ]
    if holds:
        shown.append(views.holds(holds, "Pending holds"))
    if transfers:
        shown.append(views.transfers(transfers, "Last transfers"))
    return {**document, "holds": holds, "transfers": transfers}, shown


def _hold(found: "HoldBooks") -> Shown:
    hold, transfers = views.hold(found.held), [views.transfer(entry) for entry in found.entries]
    shown: list[RenderableType] = [record(hold)]
    if transfers:
        shown.append(views.transfers(transfers, "Captured"))
    return {"hold": hold, "transfers": transfers}, shown


def _order(found: "OrderBooks") -> Shown:
    order, transfers = order_views.order(found.order), [views.transfer(entry) for entry in found.entries]
    hold = views.hold(found.held) if found.held else None
    shown: list[RenderableType] = [record(order)]
    if hold:
        shown.append(views.holds([hold], "Hold"))
    if transfers:
        shown.append(views.transfers(transfers, "Transfers"))
    return {"order": order, "hold": hold, "transfers": transfers}, shown


def _side(party: dict[str, Any]) -> str:
    return f"{party['kind']} of {party['account']}" if party["account"] else f"the market's {party['kind']}"
