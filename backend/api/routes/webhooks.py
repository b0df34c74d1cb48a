"""What an account's webhooks are signed with."""

from fastapi import APIRouter

from backend.api.dependencies import Market
from backend.api.security import Anyone
from backend.api.wire.batches import WebhookSecret
from backend.services.batch_telling import webhook_secret

router = APIRouter(prefix="/api/v1/webhooks", tags=["batches"])


@router.get("/secret")
def show_secret(caller: Anyone, market: Market) -> WebhookSecret:
    """The secret of the caller's account, for the Standard Webhooks signature of batches' and orders' webhooks."""
    return WebhookSecret(secret=webhook_secret(market.link_secret, caller.account_id))
