"""A statement that rules look at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sqlglot import exp

from superset_ext.plans.rewrite.facts import Facts
from superset_ext.plans.rewrite.settled import Open, settled


@dataclass
class Statement:
    """One SELECT and what is known of its source. A rule changes `tree` in place, and only where it says so."""

    tree: exp.Query
    facts: Facts

    @cached_property
    def open(self) -> Open:
        """What the statement leaves open. It is worked out once: what a rule makes of it means the same."""
        return settled(self.tree, self.facts)
