"""Real-time inference through the HTTP gateway: what a user does, with a user's key."""

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from backend.cli.options import AsJson, InputFile, examples
from backend.cli.output import console, print_json, record, table, words
from backend.cli.request_files import read_request
from backend.domain.errors import SwarmexError, Unavailable
from backend.domain.tiers import TierName

if TYPE_CHECKING:
    import httpx

EXAMPLES = examples(
    "export SWARMEX_KEY=swx_...   # what `swarmex key create acme` printed",
    "swarmex infer digits --input digit.json --tier large",
    "swarmex infer digits --input digit.json --tier large --sla",
    "swarmex infer digits --version 2 --input digit.json --json",
    "swarmex infer digits --input - --url http://127.0.0.1:8080 < digit.json",
)
TIMEOUT_S = 40.0  # above the gateway's own
SHOWN_CHARS_MAX = 300
TOLD = {
    "lease": "Swarmex-Lease",
    "node": "Swarmex-Node",
    "price": "Swarmex-Price",
    "latency_ms": "Swarmex-Latency-Ms",
}
CHARGES = {"session": "session_charge_so_far", "request": "charge"}  # what the one charge that is told is of


class Refused(SwarmexError):
    """What the gateway answered instead of a result."""

    def __init__(self, code: str, message: str, field: str | None = None, accepted: str | None = None) -> None:
        super().__init__(message, field=field, accepted=accepted)
        self.code = code


def infer(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A registered model.", show_default=False)],
    input_file: InputFile,
    version: Annotated[
        int | None, typer.Option(help="Not the latest, but this one.", min=1, show_default=False)
    ] = None,
    tier: Annotated[TierName, typer.Option(help="Which size of machine to lease.")] = TierName.MEDIUM,
    limit: Annotated[str | None, typer.Option(metavar="CREDITS", help="Credits per slot-second at most.")] = None,
    sla: Annotated[
        bool, typer.Option("--sla", help="With an SLA: what falls short of the tier's is credited.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(envvar="SWARMEX_URL", help="The API; the one of this data folder unless told.")
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="SWARMEX_KEY", help="An API key.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Run a model now, through the HTTP gateway.

    A node is leased for you, and paid for until the lease ends: by itself, 15 seconds after its last use. What is
    shown is what that session has cost so far. In tier small the request alone is paid, and its charge is shown.
    """
    if key is None:
        raise Refused("unauthenticated", "there is no API key", "SWARMEX_KEY", "a key that begins with swx_")
    headers = {"Authorization": f"Bearer {key}", "Swarmex-Tier": tier.value}
    if limit is not None:
        headers["Swarmex-Limit"] = limit
    if sla:
        headers["Swarmex-SLA"] = "true"
    body = read_request(input_file)
    asked = quote(model, safe="@") + (f"/versions/{version}" if version else "")
    answer = _post(f"{(url or api_url()).rstrip('/')}/v2/models/{asked}/infer", body, headers)
    told = {name: answer.headers.get(header) for name, header in TOLD.items()}
    told[CHARGES[answer.headers.get("Swarmex-Charge-Of", "session")]] = answer.headers.get("Swarmex-Charge")
    document: dict[str, Any] = answer.json()
    if as_json:
        print_json({**document, "swarmex": told})
        return
    rows = [(o["name"], o["datatype"], o["shape"], _short(o["data"])) for o in document["outputs"]]
    console().print(table([words("Output"), words("Type"), words("Shape"), words("Data")], rows))
    console().print("", record(told), sep="\n")


def api_url() -> str:
    """Where the API of this data folder answers, by the file that it keeps while it runs."""
    from backend import bootstrap

    settings = bootstrap.settings()
    address = settings.folder / "api.url"
    return address.read_text().strip() if address.exists() else f"http://127.0.0.1:{settings.api_port}"


def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> "httpx.Response":
    import httpx

    try:
        answer = httpx.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            f"no answer from {url}: {error}", code="api_unreachable", field="SWARMEX_URL", accepted="the API's address"
        ) from None
    if answer.is_success:
        return answer
    raise Refused(answer.headers.get("Swarmex-Error-Code", f"http_{answer.status_code}"), _said(answer))


def _said(answer: "httpx.Response") -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answered {answer.status_code}"


def _short(data: object) -> str:
    shown = str(data)
    return shown if len(shown) <= SHOWN_CHARS_MAX else f"{shown[:SHOWN_CHARS_MAX]} …"
