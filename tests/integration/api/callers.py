"""Clients of the API with the keys of different roles."""

from dataclasses import dataclass

import httpx

from backend.domain.access import Role
from backend.domain.ids import AccountId
from backend.services.api_keys import NewKey

TIMEOUT_S = 120


class Client(httpx.Client):
    """An HTTP client of one account, which shows the account's key."""

    def __init__(self, url: str, account_id: AccountId, key: NewKey) -> None:
        self.account_id = account_id
        self.key = key
        super().__init__(base_url=url, headers={"Authorization": f"Bearer {key.secret}"}, timeout=TIMEOUT_S)


@dataclass
class Callers:
    """One client per role, and one without a key."""

    user: Client
    provider: Client
    admin: Client
    stranger: httpx.Client

    def of(self, role: Role) -> Client:
        return {Role.USER: self.user, Role.PROVIDER: self.provider, Role.ADMIN: self.admin}[role]


def problem(response: httpx.Response) -> tuple[int, str, str | None]:
    """Status, code and field of a refusal in the envelope."""
    error = response.json()["error"]
    assert set(error) == {"code", "message", "field", "accepted"}
    assert error["message"]
    return response.status_code, error["code"], error["field"]
