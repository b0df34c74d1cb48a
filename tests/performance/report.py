"""The figures as a table for people and as JSON for programs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.performance.rows import Row


def write_json(rows: Sequence[Row], path: Path, keep_others: bool = False) -> None:
    """All rows as a list of objects; replaces the file at once, or in it only the rows of these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    made = {row.name: _plain(row) for row in rows}
    before = json.loads(path.read_text()) if keep_others and path.exists() else []
    kept = [made.pop(old["name"], old) for old in before]
    part.write_text(json.dumps([*kept, *made.values()], indent=2, ensure_ascii=False) + "\n")
    part.replace(path)


def show(rows: Sequence[Row], console: Console) -> None:
    """One line per figure, its reference beside it."""
    table = Table(title="Benchmarks")
    for name in ("benchmark", "figure", "reference", "ratio", "target", "ok"):
        table.add_column(name, justify="right" if name == "ratio" else "left", overflow="fold")
    for row in rows:
        table.add_row(
            row.name,
            f"{_figure(row.value)} {row.unit}",
            row.reference if row.reference_value is None else f"{_figure(row.reference_value)} {row.reference}",
            "" if row.ratio is None else _figure(row.ratio),
            str(row.target) if row.target else "",
            ("[green]yes[/]" if row.ok else "[red]no[/]") if row.target else "",
        )
    console.print(table)


def _plain(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "value": _rounded(row.value),
        "unit": row.unit,
        "reference": row.reference,
        "reference_value": None if row.reference_value is None else _rounded(row.reference_value),
        "ratio": None if row.ratio is None else _rounded(row.ratio),
        "target": str(row.target) if row.target else None,
        "ok": row.ok,
    }


def _rounded(figure: float) -> float:
    """Four digits that count; more would only be noise."""
    return float(f"{figure:.4g}")


def _figure(figure: float) -> str:
    """Three digits that count; whole numbers from a hundred on."""
    return f"{figure:,.0f}" if abs(figure) >= 100 or figure == int(figure) else f"{figure:.3g}"
