"""Money that came in outside."""

from typing import Annotated

import typer

from backend.cli import views
from backend.cli.connection import account_named, market
from backend.cli.options import AccountArgument, AsJson, examples
from backend.cli.output import emit, record
from backend.domain.money import parse_credits

EXAMPLES = examples("swarmex deposit acme 100 --reference invoice-2031", "swarmex deposit acme 0.5 --reference tx-7f3a")


def deposit(
    account: AccountArgument,
    amount: Annotated[str, typer.Argument(metavar="CREDITS", help="Credits as a decimal string, as in 12.5.")],
    reference: Annotated[
        str, typer.Option(help="The payment's own id: it is booked once, however often this is repeated.")
    ],
    as_json: AsJson = False,
) -> None:
    """Book a payment into a wallet, once per reference."""
    from backend import bootstrap
    from backend.services import deposits

    nano = parse_credits(amount)
    with market() as wired:
        owner = account_named(wired, account)
        document = views.deposit(deposits.deposit(wired.uow(), bootstrap.utc_now(), owner.id, nano, reference))
    emit(as_json, document, record(document))
