"""Records that a busy moment makes by the thousand: nothing but the type checker keeps them from being changed.

A frozen dataclass writes each field past its own refusal to be written, and takes three times as long to make: that
was a quarter of what an allocation epoch did in Python. All others are `dataclass(frozen=True)`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen, slots):
        """As `dataclass`: frozen to whoever checks types, and hashed as what is frozen."""
        return dataclass(slots=slots, unsafe_hash=frozen)


__all__ = ["record"]
