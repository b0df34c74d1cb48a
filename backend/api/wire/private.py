"""Private orders on the wire: what is sealed in base64, and nothing that could be read here."""

import base64
import binascii
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from backend.api.wire.base import Id, Number, Wire
from backend.domain import private_envelope as domain
from backend.domain.ids import SealingKeyId
from backend.domain.private_envelope import KEY_BYTES, NONCE_BYTES, SEALED_KEY_BYTES
from backend.domain.work import PAYLOAD_BYTES_MAX


def _decoded(value: object) -> bytes:
    if isinstance(value, str) and len(value) > -(-PAYLOAD_BYTES_MAX // 3) * 4:
        raise PydanticCustomError(
            "swarmex:too_large", "this is too large", {"accepted": f"at most {PAYLOAD_BYTES_MAX} bytes"}
        )
    try:
        return base64.b64decode(value, validate=True)  # type: ignore[arg-type]  # what is no text is refused below
    except (binascii.Error, ValueError, TypeError):
        raise PydanticCustomError(
            "swarmex:malformed_envelope", "this is not base64", {"accepted": "a base64 string"}
        ) from None


Sealed = Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string", "format": "byte"})]


class PrivateRecipient(Wire):
    """A node's key, and the key of the order's data sealed to it."""

    key: Id
    sealed_key: Annotated[Sealed, Field(description=f"{SEALED_KEY_BYTES} bytes: a sealed box of the {KEY_BYTES}.")]


class PrivateItem(Wire):
    """A request, sealed; the node refuses one that has other rows than are stated."""

    rows: Number
    ciphertext: Sealed


class Private(Wire):
    """What a private order brings instead of its requests; see docs/private.md for how it is sealed."""

    version: Number = domain.VERSION
    nonce: Annotated[Sealed, Field(description=f"{NONCE_BYTES} random bytes of this order.")]
    reply_key: Annotated[Sealed, Field(description="An X25519 public key of this order, which answers are sealed to.")]
    recipients: list[PrivateRecipient] = Field(description=f"1 to {domain.RECIPIENTS_MAX}; any of them may serve it.")
    items: list[PrivateItem]

    def envelope(self) -> domain.Envelope:
        """The envelope as the market knows it, unchecked."""
        return domain.Envelope(
            self.nonce,
            self.reply_key,
            [domain.Recipient(SealingKeyId(one.key), one.sealed_key) for one in self.recipients],
            [domain.SealedItem(item.rows, item.ciphertext) for item in self.items],
            self.version,
        )
