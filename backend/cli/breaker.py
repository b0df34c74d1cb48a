"""Circuit breakers of the running system."""

from backend.cli.connection import market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, table, words

verbs = group("Circuit breakers of the running system.")


@verbs.command("list", epilog=examples("swarmex breaker list", "swarmex breaker list --json"))
def list_breakers(as_json: AsJson = False) -> None:
    """List the breakers that are not closed, as all processes know them: an open one refuses calls until it retries."""
    with market() as wired:
        found = wired.breakers.read()
    documents = [
        {
            "name": posted.name,
            "state": posted.state,
            "retry_s": round(posted.retry_s, 3),
            "changed_at": posted.changed_at,
            "found_by": posted.origin,
        }
        for posted in found
    ]
    columns = [words("Breaker"), words("State"), figures("Retries in"), words("Since"), words("Found by")]
    rows = [(p.name, p.state, f"{p.retry_s:.1f} s", p.changed_at, p.origin) for p in found]
    emit(as_json, documents, table(columns, rows))
