"""The model registry: files become versions, versions get aliases, stages and tags."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli import views
from backend.cli.bars import Bars
from backend.cli.connection import market
from backend.cli.infer import Refused, api_url
from backend.cli.model_views import listed, shown
from backend.cli.options import AsJson, examples, group
from backend.cli.output import emit, note, notes, record
from backend.domain.errors import Invalid
from backend.domain.registry import ModelFilter, Stage

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.storage.models import Model

verbs = group("Models that work can be asked for.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of a model.", show_default=False)]
ReferenceArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name, or name@alias.", show_default=False)]
VersionArgument = Annotated[int, typer.Argument(metavar="VERSION", help="A number.", show_default=False)]
VersionOption = Annotated[
    int | None, typer.Option("--version", help="Not the latest, but this one.", show_default=False)
]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="SWARMEX_URL", help="The API; the one of this data folder unless told.")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", envvar="SWARMEX_KEY", help="An API key; a provider's to upload.", show_default=False),
]


@verbs.command(epilog=examples("swarmex model register digits digits.onnx"))
def register(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that orders will use.", show_default=False)],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="An ONNX file, or a document that names a remote model.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check, measure and store an ONNX file as the next version of a model; the same file again changes nothing."""
    from backend import bootstrap
    from backend.services import models

    _require_file(file)
    with market() as wired:
        document = views.model(models.register_model(wired.uow(), bootstrap.utc_now(), wired.objects, name, file))
    emit(as_json, document, shown(document))


@verbs.command(
    epilog=examples(
        "export SWARMEX_KEY=swx_...   # of a provider: `swarmex key create acme --role provider`",
        "swarmex model upload digits digits.onnx --url https://market.example",
    )
)
def upload(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An ONNX file.", show_default=False)],
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: AsJson = False,
) -> None:
    """Send an ONNX file to a market over HTTP, as the next version of a model.

    The same command after an interruption goes on where it ended.
    """
    from backend.cli.model_transfers import Transfers

    _require_file(file)
    with Bars(notes()) as bars, Transfers(url or api_url(), _require_key(key), bars.tell) as registry:
        document = registry.upload(name, file)
    emit(as_json, document, shown(document))


@verbs.command(
    epilog=examples(
        "swarmex model download digits digits.onnx", "swarmex model download digits@champion best.onnx --json"
    )
)
def download(
    name: ReferenceArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    version: VersionOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a model's file over HTTP and compare its checksum; after an interruption it goes on where it ended."""
    from backend.cli.model_transfers import Transfers

    if not file.absolute().parent.is_dir():
        raise Invalid(
            f"there is no folder {file.parent}", code="no_such_folder", field="file", accepted="a path in a folder"
        )
    with Bars(notes()) as bars, Transfers(url or api_url(), _require_key(key), bars.tell) as registry:
        model = registry.download(name, version, file)
    document = {"file": str(file.absolute()), **{k: model[k] for k in ("name", "version", "checksum", "size_bytes")}}
    emit(as_json, document, record(document))


@verbs.command("list", epilog=examples("swarmex model list", "swarmex model list --json"))
def list_models(as_json: AsJson = False) -> None:
    """List every version of every model; time in microseconds for a call and for each of its rows."""
    from backend.services import models

    with market() as wired:
        documents = [views.model(found) for found in models.list_models(wired.uow())]
    emit(as_json, documents, listed(documents))


@verbs.command(
    epilog=examples(
        "swarmex model search digits",
        "swarmex model search --stage production --tag team=vision",
        "swarmex model search --prefix digits --datatype FP32 --limit 5 --json",
    )
)
def search(
    text: Annotated[
        str | None, typer.Argument(metavar="[WORDS]", help="In name, tags or description.", show_default=False)
    ] = None,
    prefix: Annotated[str | None, typer.Option(help="Names that begin so.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option(help="KEY, or KEY=VALUE.", show_default=False)] = None,
    stage: Annotated[Stage | None, typer.Option(help="Only in this stage.", show_default=False)] = None,
    datatype: Annotated[str | None, typer.Option(help="Of one of its inputs.", show_default=False)] = None,
    format: Annotated[str | None, typer.Option(help="Of its file.", show_default=False)] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Deleted ones too.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Find versions of models, the newest first."""
    from backend.services import models

    wanted = ModelFilter(prefix, tag, stage and stage.value, datatype, format, text, deleted)
    with market() as wired:
        documents = [views.model(found) for found in models.search_models(wired.uow(), wanted, limit)]
    emit(as_json, documents, listed(documents))


@verbs.command(epilog=examples("swarmex model show digits", "swarmex model show digits@champion --json"))
def show(name: ReferenceArgument, version: VersionOption = None, as_json: AsJson = False) -> None:
    """Show a model: its latest version, the one of an alias, or the one named."""
    from backend.services import models

    with market() as wired:
        document = views.model(models.get_model(wired.uow(), name, version))
    emit(as_json, document, shown(document))


@verbs.command(
    epilog=examples(
        "swarmex model alias digits champion 3",
        "swarmex order place --account acme --model digits@champion --tier medium --input digit.json",
        "swarmex model alias digits champion --delete",
    )
)
def alias(
    name: NameArgument,
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="A word, such as champion.", show_default=False)],
    version: Annotated[
        int | None, typer.Argument(metavar="[VERSION]", help="What it stands for from now on.", show_default=False)
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Let it stand for nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a word stand for a version, at once and wherever a model is named: `digits@champion`."""
    from backend import bootstrap
    from backend.services import model_changes, models

    if delete is (version is not None):
        raise Invalid("an alias needs a version", code="version_needed", field="version", accepted="one, or --delete")
    now = bootstrap.utc_now()
    with market() as wired:
        if version is None:
            model_changes.drop_alias(wired.uow(), now, None, name, alias)
            document = views.model(models.get_model(wired.uow(), name))
        else:
            document = views.model(model_changes.set_alias(wired.uow(), now, None, name, alias, version))
    if delete:
        note(f"{name}@{alias} stands for nothing any more.")
    emit(as_json, document, shown(document))


@verbs.command(
    epilog=examples(
        "swarmex model tag digits 3 team=vision checked",
        "swarmex model tag digits 3 --drop checked --description 'Reads single digits, 8 by 8.'",
    )
)
def tag(
    name: NameArgument,
    version: VersionArgument,
    tags: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", show_default=False)] = None,
    drop: Annotated[list[str] | None, typer.Option("--drop", metavar="KEY", help="Take a tag away.")] = None,
    description: Annotated[str | None, typer.Option(help="What people should know of it.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Set or take away tags of a version, and describe it."""
    from backend.services import model_changes

    pairs = (text.partition("=") for text in tags or ())
    changes: dict[str, str | None] = {key: value for key, _, value in pairs} | dict.fromkeys(drop or ())
    if not changes and description is None:
        raise Invalid("there is nothing to change", code="nothing_to_change", field="tags", accepted="KEY=VALUE")
    _change(
        as_json,
        lambda wired, now: model_changes.describe(wired.uow(), now, None, name, version, description, changes),
    )


@verbs.command(
    epilog=examples("swarmex model stage digits 3 staging", "swarmex model stage digits 3 production --replace")
)
def stage(
    name: NameArgument,
    version: VersionArgument,
    stage: Annotated[Stage, typer.Argument(metavar="STAGE", help=", ".join(Stage), show_default=False)],
    replace: Annotated[bool, typer.Option("--replace", help="Archive the one that is in production now.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a version to another stage; one version of a name at most is in production."""
    from backend.services import model_changes

    def move(wired: "Swarmex", now: Any) -> "Model":
        uow = wired.uow()
        return model_changes.move_stage(uow, now, None, name, version, stage.value, archive_current=replace)

    _change(as_json, move)


@verbs.command(epilog=examples("swarmex model delete digits 2"))
def delete(name: NameArgument, version: VersionArgument, as_json: AsJson = False) -> None:
    """Offer a version to nobody any more; refused while it is in use. `swarmex model restore` brings it back."""
    from backend.services import model_changes

    _change(as_json, lambda wired, now: model_changes.delete_model(wired.uow(), now, None, name, version))


@verbs.command(epilog=examples("swarmex model restore digits 2"))
def restore(name: NameArgument, version: VersionArgument, as_json: AsJson = False) -> None:
    """Offer a deleted version again."""
    from backend.services import model_changes

    _change(as_json, lambda wired, now: model_changes.restore_model(wired.uow(), now, None, name, version))


def _change(as_json: bool, change: Callable[["Swarmex", Any], "Model"]) -> None:
    from backend import bootstrap

    with market() as wired:
        document = views.model(change(wired, bootstrap.utc_now()))
    emit(as_json, document, shown(document))


def _require_file(file: Path) -> None:
    if not file.is_file():
        raise Invalid(
            f"there is no file {file}", code="no_such_file", field="file", accepted="the path of an ONNX file"
        )


def _require_key(key: str | None) -> str:
    if key is None:
        raise Refused("unauthenticated", "there is no API key", "SWARMEX_KEY", "a key that begins with swx_")
    return key
