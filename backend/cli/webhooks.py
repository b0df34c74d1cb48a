"""Webhooks on the command line: whom an order or a batch tells of its end, how far that is, and what signs it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.output import text

if TYPE_CHECKING:
    from backend.bootstrap import Swarmex
    from backend.domain.ids import AccountId
    from backend.services.webhook_news import News

WebhookOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Told of its end by a signed POST: an https URL; what is printed signs it.",
        show_default=False,
    ),
]
Document = dict[str, Any]


def document(wired: "Swarmex", news: "News | None", account: "AccountId") -> Document | None:
    """Who is told, how far that is, and the secret that the receiver checks signatures with; None if nobody is."""
    from backend.services.batch_telling import webhook_secret

    if news is None:
        return None
    return {
        "url": news.url,
        "state": news.state.value,
        "attempts": news.attempts,
        "status": news.status,
        "error": news.error,
        "next_attempt_at": news.due_at,
        "not_called": _not_called(wired, news.url),
        "secret": webhook_secret(wired.link_secret, account),
    }


def _not_called(wired: "Swarmex", url: str) -> str | None:
    """Why the operator's settings keep an address from being called; None if nothing is known against it."""
    from backend.messaging.account_webhooks import NotAllowed

    try:
        wired.account_webhooks.check(url)
    except NotAllowed as error:
        return str(error)
    return None


def told(shown: Document | None) -> Document:
    """The facts of it for a table; none if nobody is told."""
    if shown is None:
        return {}
    return {"webhook": f"{shown['url']} ({_how_far(shown)})", "webhook_secret": shown["secret"]}


def _how_far(shown: Document) -> str:
    from backend.services.deliveries import ATTEMPTS_MAX

    failed = f"attempt {shown['attempts']} of {ATTEMPTS_MAX}: {shown['error']}"
    if shown["state"] == "waiting" and shown["not_called"]:
        return f"will not be told: {shown['not_called']}, unless SWARMEX_WEBHOOK_HOSTS names its host"
    if shown["state"] == "waiting":
        return "told at the end"
    if shown["state"] == "told":
        return f"told, answered {shown['status']}"
    if shown["state"] == "given_up":
        return f"given up; {failed}"
    return f"{failed}; next {text(shown['next_attempt_at'])} UTC" if shown["error"] else "about to be told"
