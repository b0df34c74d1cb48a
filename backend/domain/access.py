"""Who is asking: roles, and what a key proves."""

from dataclasses import dataclass
from enum import StrEnum

from backend.domain.errors import Forbidden, NotFound
from backend.domain.ids import AccountId, KeyId


class Role(StrEnum):
    """What a key may do: buy, also sell, or also operate the market."""

    USER = "user"
    PROVIDER = "provider"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Higher may do more."""
        return list(Role).index(self)


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose wallet pays, and which member of an organisation spends from it."""

    account_id: AccountId
    member_id: AccountId | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose key was checked; with an organisation's key, `member_id` is the person who uses it."""

    key_id: KeyId | None  # None: the operator at the machine itself
    account_id: AccountId
    role: Role
    member_id: AccountId | None = None

    @property
    def spender(self) -> Spender:
        """Whose money the caller spends."""
        return Spender(self.account_id, self.member_id)

    @property
    def actor(self) -> AccountId:
        """The person who acts."""
        return self.member_id or self.account_id

    def require(self, role: Role) -> None:
        """Raise Forbidden unless the caller's role is at least `role`."""
        if self.role.rank < role.rank:
            raise Forbidden(f"this needs a key with role {role}", field="role", accepted=role)

    def require_owner(self, owner: AccountId, what: str, name: object) -> None:
        """Raise NotFound for somebody else's thing: its existence is not told. Admins see all."""
        if self.role is not Role.ADMIN and owner != self.account_id:
            raise NotFound(what, name)
