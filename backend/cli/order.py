"""Orders: placed, looked at and cancelled by the operator, for any account."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli import order_views as views
from backend.cli import webhooks
from backend.cli.connection import account_named, market, node_named, operator, parse_id_of
from backend.cli.needs import NeedOption, read_needs
from backend.cli.options import AccountOption, AsJson, InputFile, OrderArgument, examples, group
from backend.cli.output import console, emit, figures, identity, note, print_json, record, table, words
from backend.cli.private import PrivateOption, PrivateToOption, readable, ready
from backend.cli.request_files import read_requests
from backend.cli.webhooks import WebhookOption
from backend.domain.ids import OrderId
from backend.domain.money import parse_credits
from backend.domain.orders import DEADLINE_S_DEFAULT, OrderState, Strategy, WorkloadKind, WorkloadRequest
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.storage.order_rows import Order

verbs = group("Orders: what is bought on the market.")


@verbs.command(
    epilog=examples(
        "swarmex order place --account acme --model digits --tier medium --input digit.json",
        "swarmex order place --account acme --model digits --tier small --input digit.json --max-budget 0.5 --quote",
        "swarmex order place --account acme --model digits --tier large --workload batch --slots 4 --input many.json",
        "swarmex order place --account acme --model digits --tier large --input digit.json --region eu-1 --failover",
        "swarmex order place --account acme --model digits --tier medium --input digit.json"
        " --webhook https://example.com/hook",
        "swarmex order place --account acme --model digits --tier large --input digit.json"
        " --need gpu_model=a100 --need gpu_memory_mb=40960 --need residency=de,fr --need never=rack-1",
        "swarmex order place --account acme --model digits --tier medium --input digit.json --private",
    )
)
def place(
    account: Annotated[str, typer.Option(metavar="ACCOUNT", help="Who pays: name or id.")],
    model: Annotated[str, typer.Option(help="A registered model.")],
    tier: Annotated[TierName, typer.Option(help="Which size of machines, urgency and fee.")],
    input_file: InputFile,
    workload: Annotated[WorkloadKind, typer.Option(help="One request, or a batch of them.")] = WorkloadKind.INFERENCE,
    priority: Annotated[Strategy, typer.Option(help="What to prefer among the markets.")] = Strategy.BALANCED,
    max_budget: Annotated[str | None, typer.Option(metavar="CREDITS", help="It may cost this at most.")] = None,
    limit: Annotated[str | None, typer.Option(metavar="CREDITS", help="Per slot-second at most.")] = None,
    region: Annotated[str | None, typer.Option(help="Only there.", show_default=False)] = None,
    failover: Annotated[
        bool, typer.Option("--failover", help="Elsewhere too, when that region cannot serve it.")
    ] = False,
    need: NeedOption = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="It may lose its slots to others; its work then waits again.")
    ] = False,
    sla: Annotated[
        bool, typer.Option("--sla", help="With an SLA: what falls short of the tier's is credited.")
    ] = False,
    private: PrivateOption = False,
    private_to: PrivateToOption = None,
    slots: Annotated[int, typer.Option(help="Slots at once.")] = 1,
    deadline: Annotated[int, typer.Option(metavar="SECONDS", help="How long to wait for a slot.")] = DEADLINE_S_DEFAULT,
    webhook: WebhookOption = None,
    quote: Annotated[bool, typer.Option("--quote", help="Only tell what it would cost.")] = False,
    as_json: AsJson = False,
) -> None:
    """Place an order for an account; its worst case is held at once, and what it does not use is given back."""
    from backend import bootstrap
    from backend.services import orders

    bodies = read_requests(input_file)
    budget_nano = None if max_budget is None else parse_credits(max_budget, "max_budget")
    limit_nano = None if limit is None else parse_credits(limit, "limit")
    with market() as wired:
        owner = account_named(wired, account)
        request = WorkloadRequest(
            workload=workload.value,
            model=model,
            tier=tier.value,
            requests=bodies,
            priority=priority.value,
            max_budget_nano=budget_nano,
            limit_nano_per_slot_s=limit_nano,
            region=region,
            slots=slots,
            deadline_s=deadline,
            needs=read_needs(need or (), lambda text: node_named(wired, text).id),
            interruptible=interruptible,
            sla_required=sla,
            failover=failover,
            webhook=webhook,
        )
        sealed = ready(wired, request, private, private_to or ())
        if quote:
            document = views.quote(orders.quote(wired.uow(), bootstrap.utc_now(), sealed.request))
        else:
            placed = sealed.place(
                wired,
                lambda r: orders.place_workload(wired.uow(), bootstrap.utc_now(), operator(owner.id), r),
            )
            document = {"quote": views.quote(placed.quote), "orders": [views.order(order) for order in placed.orders]}
            document["webhook"] = _webhook(wired, placed.orders[0])
    if quote:
        shown = views.quote_told(document)
    else:
        shown = {**views.told(document["orders"][0]), **webhooks.told(document["webhook"])}
    emit(as_json, document, record(shown))


def _webhook(wired: "Swarmex", order: "Order") -> webhooks.Document | None:
    from backend.services.webhook_news import order_news

    return webhooks.document(wired, order_news(wired.uow(), order.id), order.account_id)


@verbs.command(epilog=examples("swarmex order show 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b --results"))
def show(
    order: OrderArgument,
    results: Annotated[bool, typer.Option("--results", help="Also what each of its requests gave.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show an order's receipt: what was held, charged and released, and who ran it."""
    from backend.services import receipts

    with market() as wired:
        order_id = OrderId(parse_id_of("order", order))
        made = receipts.receipt(wired.uow(), order_id, operator())
        receipt = {**views.receipt(made), "webhook": _webhook(wired, made.order)}
        items = [views.result(i) for i in receipts.results(wired.uow(), order_id, operator())] if results else []
        if made.order.private:
            items, told = readable(wired, order_id, items)
            if told:
                note(told)
    if as_json:
        print_json({**receipt, "results": items} if results else receipt)
        return
    figures_of_it = {name: receipt[name] for name in ("model", "model_version", "held", "charged", "fee", "released")}
    facts = {**views.told(receipt["order"], receipt["served"]), **figures_of_it}
    console().print(record(facts | webhooks.told(receipt["webhook"])))
    if receipt["served"]:
        console().print("", _served(receipt["served"]), sep="\n")
    for item in items:
        console().print("", record(item), sep="\n")


def _served(parts: list[dict[str, Any]]) -> object:
    columns = [words("Node"), words("Market"), figures("Slots"), figures("Price"), figures("Items"), figures("Charged")]
    return table(
        columns,
        [
            (p["node"], f"{p['resource_class']}/{p['region']}", p["slots"], p["price"], p["items"], p["charged"])
            for p in parts
        ],
    )


@verbs.command(
    "list", epilog=examples("swarmex order list", "swarmex order list --account acme --state running --limit 20")
)
def list_orders(
    account: AccountOption = None,
    state: Annotated[OrderState | None, typer.Option(help="Only orders in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List orders, the newest first; real-time sessions are orders too."""
    from backend.services import orders

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = orders.list_orders(wired.uow(), owner, state.value if state else None, limit)
    documents = [views.order(order) for order in found]
    columns = [identity("Order"), words("Kind"), words("Tier"), words("Market"), words("State"), figures("Charged")]
    rows = [
        (
            d["id"],
            d["workload"],
            d["tier"],
            f"{d['resource_class']}/{d['region']}",
            d["state"] if d["reason"] is None or d["state"] == OrderState.SETTLED else f"{d['state']}: {d['reason']}",
            d["charged"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex order cancel 0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"))
def cancel(order: OrderArgument, as_json: AsJson = False) -> None:
    """Stop an order: what ran is charged, the rest of its hold is released."""
    from backend import bootstrap
    from backend.services import orders

    with market() as wired:
        order_id = OrderId(parse_id_of("order", order))
        document = views.order(orders.cancel_order(wired.uow(), bootstrap.utc_now(), order_id, operator()))
    emit(as_json, document, record(views.told(document)))
