"""Signing keys, derived from Superset's secret key, with rotation."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from superset_ext.errors import SettingsError

PURPOSE = b"superset_ext cache v1"
# Superset's key where none was set. Everybody knows it, so it is not trusted after a move to another one.
PUBLIC = b"CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET"


class KeyRing:
    """The keys that entries are signed with.

    Args:
        current: Superset's `SECRET_KEY`.
        previous: earlier ones, as in `PREVIOUS_SECRET_KEY`; one that everybody knows is left out.

    Attributes:
        keys: the current one, which signs, and those before it, which are still believed.

    Raises:
        SettingsError: there is no secret key.
    """

    def __init__(self, current: str | bytes, previous: Sequence[str | bytes] = ()) -> None:
        if not current:
            raise SettingsError("cache entries are signed with Superset's SECRET_KEY, which is not set")
        trusted = [secret for secret in map(_bytes, previous) if secret not in (b"", PUBLIC)]
        self.keys = tuple(hmac.digest(secret, PURPOSE, "sha256") for secret in (_bytes(current), *trusted))


def _bytes(secret: str | bytes) -> bytes:
    return secret.encode() if isinstance(secret, str) else bytes(secret)
