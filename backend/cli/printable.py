"""Text of others as a terminal may show it: customers' metadata, what models answer, what nodes log."""

import unicodedata

KEPT = "\n\t"


def printable(text: str) -> str:
    """The text with escape sequences and their like spelt out, since who wrote it may not command who reads it."""
    if text.isprintable():
        return text
    return "".join(_spelt(char) if unicodedata.category(char)[0] == "C" else char for char in text)


def _spelt(char: str) -> str:
    return char if char in KEPT else char.encode("unicode_escape").decode()
