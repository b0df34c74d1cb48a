"""Values of a metric's label, of which there are never more than a named number: the rest is "other"."""

OTHER = "other"


class BoundedLabel:
    """The first `values_max` values as they are, first come first served, and OTHER for all that come later."""

    def __init__(self, values_max: int) -> None:
        self._values_max = values_max
        self._known: dict[str, str] = {}

    def of(self, value: str) -> str:
        """`value`, or OTHER."""
        known = self._known.get(value)
        if known is not None:
            return known
        if len(self._known) >= self._values_max:
            return OTHER
        return self._known.setdefault(value, value)
