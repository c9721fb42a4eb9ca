"""Numbers of things, as people read them."""

from __future__ import annotations


def amount(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun, as «1 plan» and «2,000 plans».

    Args:
        nouns: the plural, where it is not the noun with an s.
    """
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"
