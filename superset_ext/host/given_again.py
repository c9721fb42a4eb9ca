"""An earlier answer was given again: told behind it, for whoever notes what people ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blinker import Namespace
from flask import Request

from superset_ext.events import Asked
from superset_ext.host.people import Identity

given_again = Namespace().signal("given_again")  # by whose Flask app it was


@dataclass(slots=True)  # a frozen one takes longer to make, and one is made for each hit
class GivenAgain:
    """A request for chart data that was answered as before.

    Attributes:
        request: the request, whose body is in memory.
        identity: as whom it was made.
        queries: what its queries had come to.
        at: when it was made, in seconds since 1970.
    """

    request: Request
    identity: Identity
    queries: Sequence[Asked]
    at: float
