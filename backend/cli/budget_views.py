"""How budgets and alerts look: tables that fit a terminal, and single budgets with their times spelt out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from rich.table import Table

from backend.cli.output import figures, identity, record, table, words

Document = dict[str, Any]

BAR_CHARS = 10


def budgets(documents: Sequence[Document], names: Mapping[UUID, str]) -> Table:
    """Budgets, two lines each; `names` are those of members."""
    columns = [identity("Budget"), words("Per"), figures("Limit"), figures("Used")]
    return table(columns, [_row(document, names) for document in documents])


def budget(document: Document) -> Table:
    """One budget."""
    times = {name: _time(document[name]) for name in ("since", "resets_at")}
    return record(document | times | {"tier": document["tier"] or "all"})


def alerts(documents: Sequence[Document], account: str | None) -> Table:
    """Thresholds that were gone over: what it was of one account, or else whose."""
    whose = "subject" if account else "account"
    columns = [words("At"), words("Of"), identity(whose.capitalize()), figures("%"), figures("Used"), figures("Limit")]
    rows = [(d["created_at"], d["kind"], d[whose], d["percent"], d["used"], d["limit"]) for d in documents]
    return table(columns, rows)


def _row(d: Document, names: Mapping[UUID, str]) -> tuple[object, ...]:
    member = names.get(d["member"], "a former member") if d["member"] else None
    facts = (
        d["period"],
        d["tier"],
        member,
        None if d["account"] else "everybody",
        "soft" if d["mode"] == "soft" else "",
    )
    per = ", ".join(fact for fact in facts if fact)
    if d["used"] is None:
        return d["id"], per, d["amount"], None
    return f"{d['id']}\nresets {_time(d['resets_at'])}", per, d["amount"], f"{d['used']}\n{_bar(d['used_percent'])}"


def _bar(percent: float) -> str:
    """How much is used, to look at."""
    filled = min(BAR_CHARS, int(percent / 100 * BAR_CHARS))
    return f"{'█' * filled}{'░' * (BAR_CHARS - filled)} {percent:3.0f}%"


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else None
