"""Queues of work, and what died in them."""

from typing import Annotated

import typer

from backend.cli import dead
from backend.cli.confirmations import Yes, confirm
from backend.cli.connection import market, operator
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, identity, note, table, words

verbs = group("Queues of work, and what died in them.")
verbs.add_typer(dead.verbs, name="dead")

QueueArgument = Annotated[
    str, typer.Argument(metavar="QUEUE", help="pool.NAME, node.ID or kind.KIND.", show_default=False)
]


@verbs.command(epilog=examples("swarmex queue depth", "swarmex queue depth --json"))
def depth(as_json: AsJson = False) -> None:
    """Show how much work each queue has: in the database, which decides, and in Redis, which only carries it.

    Pace is what its agents do in a second, in seconds of profiled work, as quick as they were measured to be; so what
    is there is done in so many seconds. Work moves from crowded queues to idle ones.
    """
    from backend import bootstrap
    from backend.messaging.queue_view import QueueView
    from backend.services import queues

    with market() as wired:
        view = QueueView(wired.redis_url)
        found = queues.depths(wired.uow(), bootstrap.utc_now(), operator(), view)
        view.close()
    documents = [
        {
            "queue": d.queue,
            "queued": d.backlog.queued,
            "running": d.backlog.running,
            "oldest_s": None if d.oldest_s is None else round(d.oldest_s, 3),
            "units": d.backlog.units,
            "sends": d.backlog.sends,
            "owed": d.backlog.owed,
            "redis": d.held and {p.name.lower(): count for p, count in d.held.waiting.items()},
            "redis_unacked": d.held and d.held.unacked,
            "pace": d.executor and round(d.executor[0].pace, 3),
            "drain_s": d.executor and round(d.executor[0].drain_s, 3),
            "burden": d.executor and d.executor[1],
        }
        for d in found.queues
    ]
    document = {"waiting": found.waiting, "redis_answers": found.redis_answers, "queues": documents}
    columns = [words("Queue"), *map(figures, ("Queued", "Running", "Oldest", "Units", "Sends", "Owed"))]
    columns += [*map(figures, ("In Redis", "Unacked", "Pace", "Done in")), words("Burden")]
    rows = [
        (
            d.queue,
            d.backlog.queued,
            d.backlog.running,
            None if d.oldest_s is None else f"{d.oldest_s:.1f} s",
            d.backlog.units,
            d.backlog.sends,
            d.backlog.owed,
            d.held and d.held.total,
            d.held and d.held.unacked,
            d.executor and f"{d.executor[0].pace:.1f}",
            d.executor and f"{d.executor[0].drain_s:.1f} s",
            d.executor and d.executor[1],
        )
        for d in found.queues
    ]
    emit(as_json, document, table(columns, rows))
    if not as_json and found.waiting:
        note(f"{found.waiting} items of running orders wait for room in a queue.")
    if not found.redis_answers:
        note("Redis does not answer: what it holds is not known. Nothing is lost; it is sent again.")


@verbs.command(epilog=examples("swarmex queue peek pool.fog-a", "swarmex queue peek pool.fog-a --limit 50 --json"))
def peek(
    queue: QueueArgument,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the next messages of a queue in Redis, without taking them."""
    from backend import bootstrap
    from backend.messaging.queue_view import QueueView
    from backend.services import queues

    with market() as wired:
        view = QueueView(wired.redis_url)
        found = queues.peek(wired.uow(), bootstrap.utc_now(), operator(), view, queue, limit)
        view.close()
    documents = [
        {
            "priority": n.message.priority.name.lower(),
            "unit": n.message.unit_id,
            "age_s": None if n.age_s is None else round(n.age_s, 3),
            "queued": n.left and n.left.queued,
            "running": n.left and n.left.running,
            "sends": n.left and n.left.sends,
            "size_bytes": n.message.size_bytes,
            "wrong": n.message.wrong or (None if n.left else "unknown_unit: nobody knows this unit"),
        }
        for n in found
    ]
    columns = [words("Priority"), identity("Unit"), figures("Age"), figures("Queued"), figures("Running")]
    columns += [figures("Sends"), words("Wrong")]
    rows = [
        (
            d["priority"],
            d["unit"],
            None if d["age_s"] is None else f"{d['age_s']:.1f} s",
            d["queued"],
            d["running"],
            d["sends"],
            d["wrong"],
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


@verbs.command(epilog=examples("swarmex queue purge pool.fog-a", "swarmex queue purge pool.fog-a --yes"))
def purge(
    queue: QueueArgument,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Drop a queue's messages from Redis. Harmless: what they were about is sent again by the sweeper."""
    from backend import bootstrap
    from backend.messaging.queue_view import QueueView
    from backend.services import queues

    question = f"Drop the messages of {queue}? Units with work left are sent again."
    confirm(f"the messages of {queue} would be dropped", question, yes=yes, as_json=as_json)
    with market() as wired:
        view = QueueView(wired.redis_url)
        dropped, again = queues.purge(wired.uow(), bootstrap.utc_now(), operator(), view, queue)
        view.close()
    document = {"queue": queue, "dropped": dropped, "sent_again": again}
    emit(
        as_json,
        document,
        f"{dropped} messages of {queue} dropped. Nothing is lost: {again} units with work left are sent again.",
    )
