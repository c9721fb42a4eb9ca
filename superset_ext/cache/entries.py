"""A region's values as entries, and back: signed on the way in, judged on the way out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from superset_ext.cache import scope
from superset_ext.cache.envelope import Envelope, pack, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.policy import Policy
from superset_ext.cache.quiet import warn
from superset_ext.cache.stamps import fresh
from superset_ext.cache.store import Reading, Store
from superset_ext.cache.tags import tags_for
from superset_ext.errors import BadSignature, CodecError, EnvelopeError
from superset_ext.signals import Miss, Stored


@dataclass(frozen=True, slots=True)
class TimedRead(scope.Read):
    """A read with the server that gave its time: another server's clock, or another run's, says nothing."""

    run_id: str = ""


class Entries:
    """The entries of one region.

    Args:
        policy: what the region stores.
        store: where it is stored.
        ring: what it is signed with.
    """

    def __init__(self, policy: Policy, store: Store, ring: KeyRing) -> None:
        self._policy = policy
        self._store = store
        self._ring = ring

    def judge(self, key: str, reading: Reading) -> Miss | tuple[Envelope, Any]:
        """The value of a reading, or why it has none that may be used."""
        if reading.data is None:
            return _absent(reading)
        region, cap = self._policy.region, self._policy.settings.max_decoded_bytes
        try:
            entry = unpack(reading.data, key=self._store.name(key), ring=self._ring, max_decoded=cap)
        except BadSignature:
            warn(
                f"signature {region}",
                "an entry in Redis of the region %s is not signed with SECRET_KEY and was not used; if that key was "
                "changed, set PREVIOUS_SECRET_KEY, otherwise find out who else writes to this Redis",
                region,
            )
            return Miss.BAD_SIGNATURE
        except (EnvelopeError, CodecError):
            return Miss.UNKNOWN_FORMAT
        return (_outdated(entry[0], reading) if self._policy.stamped else None) or entry

    def encode(self, key: str, value: Any, read: scope.Read | None) -> bytes | Stored:
        """An entry's bytes, or why there are none.

        Raises:
            StoreUnavailable: the server's run was not known yet, and it does not say.
        """
        if refusal := self._policy.refuses(value):
            return refusal
        if self._policy.stamped and read is not None and not read.as_of_us:
            return Stored.ERROR  # nobody can tell what changed since that read began, nor in which run of Redis
        region = self._policy.region
        try:
            data = self.pack(key, value, read)
        except CodecError as error:
            warn(f"codec {region}", "a value of the region %s cannot be stored: %s", region, error)
            return Stored.REFUSED
        return Stored.TOO_LARGE if self._policy.too_large(data) else data

    def pack(self, key: str, value: Any, read: scope.Read | None) -> bytes:
        """An entry's bytes, whatever the region permits.

        Raises:
            CodecError: the value cannot be stored.
            StoreUnavailable: see `encode`.
        """
        policy, frame = self._policy, scope.current()
        own = policy.settings.region(policy.region)
        return pack(
            value,
            key=self._store.name(key),
            ring=self._ring,
            as_of_us=read.as_of_us if read else 0,
            tags=tags_for(value, frame.scope if frame else None) if policy.stamped else (),
            cost_ms=(time.perf_counter() - read.started) * 1000 if read else 0.0,
            run_id=read.run_id if isinstance(read, TimedRead) else self._store.last_run_id(),
            stored_at_us=self._store.now_us(),
            compression=own.compression,
            level=own.compression_level,
            min_size=own.compression_min_size,
        )


def _outdated(envelope: Envelope, reading: Reading) -> Miss | None:
    """Why a signed entry does not say what the data is now.

    A server that started anew may have lost stamps, so what was stored in an earlier run counts as
    evicted; an entry from the future was stored before the server's clock was set back.
    """
    if envelope.run_id != reading.run_id:
        return Miss.EVICTED
    known = len(reading.stamps) == len(envelope.tags) and envelope.as_of_us <= reading.time_us
    return None if known and fresh(envelope.as_of_us, reading.stamps) else Miss.INVALIDATED


def _absent(reading: Reading) -> Miss:
    """Why a key has no entry, as far as the memory of keys knows; see `store.py` for how sure that is."""
    if reading.deadline_ms is None:
        return Miss.COLD
    return Miss.EXPIRED if reading.deadline_ms * 1000 <= reading.time_us else Miss.EVICTED
