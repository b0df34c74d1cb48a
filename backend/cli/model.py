"""The model registry."""

from pathlib import Path
from typing import Annotated

import typer

from backend.cli import views
from backend.cli.connection import market
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, figures, record, table, words
from backend.domain.errors import Invalid

verbs = group("Models that work can be asked for.")


@verbs.command(epilog=examples("swarmex model register digits digits.onnx"))
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that orders will use.", show_default=False)],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Check, measure and store an ONNX file as the next version of a model; the same file again changes nothing."""
    from backend import bootstrap
    from backend.services import models

    if not file.is_file():
        raise Invalid(
            f"there is no file {file}", code="no_such_file", field="file", accepted="the path of an ONNX file"
        )
    with market() as wired:
        document = views.model(models.register_model(wired.uow(), bootstrap.utc_now(), wired.objects, name, file))
    emit(
        as_json,
        document,
        record({**document, "inputs": tensors(document["inputs"]), "outputs": tensors(document["outputs"])}),
    )


@verbs.command("list", epilog=examples("swarmex model list", "swarmex model list --json"))
def list_models(as_json: AsJson = False) -> None:
    """List every version of every model; time in microseconds for a call and for each of its rows."""
    from backend.services import models

    with market() as wired:
        documents = [views.model(found) for found in models.list_models(wired.uow())]
    columns = [
        words("Name"),
        figures("Version"),
        figures("Bytes"),
        figures("µs/call"),
        figures("µs/row"),
        words("Takes"),
        words("Gives"),
    ]
    rows = [
        (
            d["name"],
            d["version"],
            d["size_bytes"],
            d["us_per_call"],
            d["us_per_row"],
            tensors(d["inputs"]),
            tensors(d["outputs"]),
        )
        for d in documents
    ]
    emit(as_json, documents, table(columns, rows))


def tensors(specs: list[dict[str, object]]) -> str:
    """A side of a signature in few words."""
    return ", ".join(f"{s['name']} {s['datatype']}{s['shape']}" for s in specs)
