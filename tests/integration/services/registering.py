"""Model files in tests: small ones of different content, and their versions in a market."""

from pathlib import Path

from backend.bootstrap import utc_now
from backend.domain.access import Principal, Role
from backend.services import models
from backend.storage.models import Model
from tests.market import Market
from tests.onnx_files import write_doubling


def register(market: Market, folder: Path, name: str, factor: float = 2.0, by: Principal | None = None) -> Model:
    """The next version of a name: a model that multiplies by `factor`."""
    path = write_doubling(folder / f"{factor}.onnx", factor)
    return models.register_model(market.app.uow(), utc_now(), market.app.objects, name, path, by)


def with_key(market: Market, name: str, role: Role = Role.PROVIDER) -> Principal:
    """Somebody with an account and a key."""
    from backend.services import accounts, api_keys

    account = accounts.create_account(market.app.uow(), utc_now(), name).id
    key = api_keys.create_key(market.app.uow(), utc_now(), account, role)
    return Principal(key.key_id, account, role)
