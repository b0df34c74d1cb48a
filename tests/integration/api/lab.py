"""An organisation behind the API: the user owns it, ana and ben spend for it with keys of their own."""

from dataclasses import dataclass
from uuid import UUID

from backend.bootstrap import Swarmex, utc_now
from backend.domain.access import Role
from backend.domain.ids import AccountId
from backend.services import accounts, api_keys, deposits
from tests.integration.api.callers import Callers, Client
from tests.waiting import eventually

ORGANISATIONS = "/api/v1/organisations"


@dataclass(frozen=True, slots=True)
class Lab:
    """The organisation, its members as themselves, and as bearers of its keys."""

    market: Swarmex
    id: str
    path: str
    ana: Client
    ben: Client
    ana_for_lab: Client
    ben_for_lab: Client

    def deposit(self, nano: int) -> None:
        """Money for the shared wallet."""
        deposits.deposit(self.market.uow(), utc_now(), AccountId(UUID(self.id)), nano, f"{nano} for the lab")


def person(market: Swarmex, like: Client, name: str) -> Client:
    """Somebody with an account and a key."""
    account = accounts.create_account(market.uow(), utc_now(), name)
    return Client(str(like.base_url), account.id, api_keys.create_key(market.uow(), utc_now(), account.id, Role.USER))


def with_secret(like: Client, secret: str) -> Client:
    """The same client with another key."""
    client = Client(str(like.base_url), like.account_id, like.key)
    client.headers["Authorization"] = f"Bearer {secret}"
    return client


def opens_nothing(client: Client) -> bool:
    """Whether the client's key comes to be refused: gateways ask twice a second which keys were revoked."""
    return eventually(lambda: client.get("/api/v1/orders").status_code == 401)


def founded(market: Swarmex, callers: Callers) -> Lab:
    """A new organisation of the user's, made and filled over HTTP."""
    id = callers.user.post(ORGANISATIONS, json={"name": "lab"}).json()["account"]["id"]
    path = f"{ORGANISATIONS}/{id}"
    ana, ben = (person(market, callers.user, name) for name in ("ana", "ben"))
    for member in (ana, ben):
        assert callers.user.post(f"{path}/members", json={"member": str(member.account_id)}).status_code == 201
    ana_for_lab, ben_for_lab = (with_secret(m, m.post(f"{path}/keys", json={}).json()["secret"]) for m in (ana, ben))
    return Lab(market, id, path, ana, ben, ana_for_lab, ben_for_lab)
