"""Signing keys, derived from Superset's secret key, with rotation."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from superset_ext.errors import SettingsError

PURPOSE = b"superset_ext cache v1"
# Superset's key of who set none: everybody knows it, so whoever moved away from it must not keep trusting it.
PUBLIC = b"CHANGE_ME_TO_A_COMPLEX_RANDOM_SECRET"


def _bytes(secret: str | bytes) -> bytes:
    return secret.encode() if isinstance(secret, str) else bytes(secret)


class KeyRing:
    """Signs with the current key, verifies with the current one and those before it.

    Args:
        current: Superset's `SECRET_KEY`.
        previous: earlier ones, as in `PREVIOUS_SECRET_KEY`; one that everybody knows is left out.

    Raises:
        SettingsError: there is no secret key.
    """

    def __init__(self, current: str | bytes, previous: Sequence[str | bytes] = ()) -> None:
        if not current:
            raise SettingsError("cache entries are signed with Superset's SECRET_KEY, which is not set")
        trusted = [secret for secret in map(_bytes, previous) if secret not in (b"", PUBLIC)]
        self._keys = [hmac.digest(secret, PURPOSE, "sha256") for secret in (_bytes(current), *trusted)]

    def sign(self, *parts: bytes | memoryview) -> bytes:
        """The HMAC-SHA256, 32 bytes, of `parts` one after the other."""
        return _mac(self._keys[0], parts)

    def verify(self, mac: bytes, *parts: bytes | memoryview) -> bool:
        """Whether one of the keys made `mac` over `parts`; takes the same time wherever they differ."""
        return any(hmac.compare_digest(mac, _mac(key, parts)) for key in self._keys)


def _mac(key: bytes, parts: Sequence[bytes | memoryview]) -> bytes:
    found = hmac.new(key, digestmod=sha256)
    for part in parts:
        found.update(part)
    return found.digest()
