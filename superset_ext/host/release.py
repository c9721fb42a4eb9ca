"""The releases of Superset that this package was written for."""

from __future__ import annotations

SUPPORTED = ("6.1.",)
