"""Live prices."""

from backend.cli import views
from backend.cli.connection import market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, table, words

verbs = group("Live prices and what is free.")


@verbs.command("list", epilog=examples("swarmex price list", "swarmex price list --json"))
def list_prices(as_json: AsJson = False) -> None:
    """List every market: its spot price in credits per slot-second, and the slots of living nodes."""
    from backend import bootstrap
    from backend.services import markets

    with market() as wired:
        documents = [views.price(view) for view in markets.list_prices(wired.uow(), bootstrap.utc_now())]
    columns = [
        words("Class"),
        words("Region"),
        figures("Spot price"),
        figures("Used"),
        figures("Free"),
        figures("Slots"),
        figures("Nodes"),
    ]
    rows = [
        (
            d["resource_class"],
            d["region"],
            d["spot_price"],
            f"{d['utilisation']:.0%}",
            d["slots_free"],
            d["slots"],
            d["nodes"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))
