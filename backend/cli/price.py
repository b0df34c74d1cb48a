"""Live prices, under their shorter name."""

from backend.cli.options import examples, group
from backend.cli.prices import list_prices

verbs = group("Live prices and what is free: `swarmex market prices`.")
verbs.command("list", epilog=examples("swarmex price list", "swarmex price list --json"))(list_prices)
