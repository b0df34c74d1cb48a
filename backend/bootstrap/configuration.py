"""The settings of this process."""

from pydantic import ValidationError

from backend.config import Settings
from backend.domain.errors import Invalid


def settings() -> Settings:
    """Settings from the environment; raises Invalid(`invalid_setting`) naming the variable."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = f"SWARMEX_{first['loc'][0]}".upper()
        raise Invalid(f"{name} cannot be used", code="invalid_setting", field=name, accepted=first["msg"]) from None
