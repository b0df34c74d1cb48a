"""Files that accounts keep: inputs and outputs of batches."""

from pathlib import Path
from typing import Annotated

import typer

from backend.cli import batch_views as views
from backend.cli.connection import account_named, market, operator
from backend.cli.options import AccountOption, AsJson, examples, group
from backend.cli.output import console, emit, figures, print_json, record, table, words
from backend.domain.errors import Invalid

verbs = group("Files: inputs and outputs of batches.")

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="Id of a file: file-…", show_default=False)]
OwnerOption = Annotated[str, typer.Option("--account", metavar="ACCOUNT", help="Whose it is: name or id.")]


def readable(path: Path) -> Path:
    """A local file that can be read; raises Invalid."""
    try:
        path.open("rb").close()
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise Invalid(f"{path}: {reason}", code="invalid_file", field="file", accepted="a file of requests") from None
    return path


@verbs.command(epilog=examples("swarmex file upload requests.jsonl --account acme"))
def upload(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file with one request a line.")],
    account: OwnerOption,
    as_json: AsJson = False,
) -> None:
    """Keep a file for an account, to be the input of a batch; it expires after 30 days."""
    from backend import bootstrap
    from backend.services import files

    readable(path)
    with market() as wired:
        owner = operator(account_named(wired, account).id)
        now = bootstrap.utc_now()
        document = views.file(files.upload(wired.uow(), now, wired.objects, owner, path, path.name, "batch"))
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex file list", "swarmex file list --account acme --limit 20"))
def list_files(
    account: AccountOption = None,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List files, the newest first."""
    from backend import bootstrap
    from backend.services import files

    with market() as wired:
        owner = account_named(wired, account).id if account else None
        found = files.list_files(wired.uow(), bootstrap.utc_now(), owner, limit=limit).files
    documents = [views.file(file) for file in found]
    columns = [words("File"), words("Name"), words("Purpose"), figures("Bytes"), words("Expires")]
    names = ("id", "filename", "purpose", "bytes", "expires_at")
    emit(as_json, documents, table(columns, [tuple(document[name] for name in names) for document in documents]))


@verbs.command(epilog=examples("swarmex file delete file-0190a1b2c3d47e5f8a6b7c8d9e0f1a2b"))
def delete(file: FileArgument, as_json: AsJson = False) -> None:
    """Delete a file; not while a batch reads it."""
    from backend import bootstrap
    from backend.services import files

    with market() as wired:
        gone = files.delete_file(wired.uow(), bootstrap.utc_now(), file, operator())
    if as_json:
        print_json({"id": views.file(gone)["id"], "deleted": True})
    else:
        console().print(f"{file} is deleted.")
