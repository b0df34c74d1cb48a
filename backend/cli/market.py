"""The market itself: its prices, depth, books and rules, and what would come of them."""

from backend.cli import depth, market_rules, prices
from backend.cli import replay as replayed
from backend.cli import simulate as simulated
from backend.cli.options import examples, group

verbs = group("The market itself: its prices, depth, books and rules, and what would come of them.")
verbs.command("prices", epilog=examples(*prices.PRICES))(prices.list_prices)
verbs.command("history", epilog=examples(*prices.HISTORY))(prices.list_history)
verbs.command("depth", epilog=examples(*depth.DEPTH))(depth.list_depth)
verbs.command("book", epilog=examples(*depth.BOOK))(depth.show_book)
verbs.add_typer(market_rules.verbs, name="rules")
verbs.command("simulate", epilog=simulated.EXAMPLES)(simulated.simulate)
verbs.command("replay", epilog=examples(*replayed.EXAMPLES))(replayed.replay)
