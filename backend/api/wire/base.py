"""What all wire schemas share: strictness, amounts and words."""

from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend.domain.errors import Invalid
from backend.domain.money import parse_credits
from backend.domain.work import PAYLOAD_BYTES_MAX

TEXT_CHARS_MAX = 200

T = TypeVar("T")


class Wire(BaseModel):
    """A body that a client sends: strictly typed, nothing unknown in it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Answer(BaseModel):
    """A body that the market sends."""

    model_config = ConfigDict(frozen=True)


def _parse_amount(value: object, *, zero: bool = False) -> int:
    try:
        return parse_credits(value, zero=zero)
    except Invalid as error:
        raise PydanticCustomError(
            "swarmex:invalid_amount", "this is not an amount of credits", {"accepted": error.accepted}
        ) from None


def _encodable(request: T) -> T:
    """JSON has forms that no node can be sent: half a surrogate pair, integers above 64 bits, endless nesting."""
    try:
        size = len(orjson.dumps(request))
    except TypeError as error:
        raise PydanticCustomError(
            "swarmex:invalid_tensor", "this request cannot be encoded", {"accepted": str(error)[:100]}
        ) from None
    if size > PAYLOAD_BYTES_MAX:
        raise PydanticCustomError(
            "swarmex:too_large",
            "this request is too large",
            {"accepted": f"at most {PAYLOAD_BYTES_MAX} bytes"},
        )
    return request


_AMOUNT_SCHEMA = {
    "type": "string",
    "pattern": r"^\d{1,10}(\.\d{1,9})?$",
    "description": "Credits as a decimal string; never a JSON number.",
    "examples": ["1.500000000"],
}
Credits = Annotated[int, BeforeValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
"""An amount that a client sends: a decimal string of credits, nano-credits once parsed."""

CreditsOrZero = Annotated[int, BeforeValidator(partial(_parse_amount, zero=True)), WithJsonSchema(_AMOUNT_SCHEMA)]
"""The same, where 0 means something too."""

Amount = Annotated[str, Field(examples=["1.500000000"], description="Credits as a decimal string.")]
"""An amount that the market sends."""

Id = Annotated[UUID, Field(strict=False)]  # strict would refuse its string, the only form that JSON has
Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]  # what a column holds; narrower ranges are the services' to state
Text = Annotated[str, Field(min_length=1, max_length=TEXT_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]
TensorRequest = Annotated[dict[str, Any], AfterValidator(_encodable)]
Tensors = Annotated[list[dict[str, Any]], AfterValidator(_encodable)]
