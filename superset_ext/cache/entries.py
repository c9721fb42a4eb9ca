"""A region's values as entries, and back: signed on the way in, judged on the way out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from superset_ext.cache import query as queries
from superset_ext.cache import tuned
from superset_ext.cache.dependencies import depends
from superset_ext.cache.envelope import Envelope, pack, unpack
from superset_ext.cache.keyring import KeyRing
from superset_ext.cache.policy import Policy
from superset_ext.cache.rules import lifetime, trial_ms
from superset_ext.cache.stamps import fresh
from superset_ext.cache.store import Reading, Store
from superset_ext.cache.tags import USAGE
from superset_ext.core.warn_once import warn
from superset_ext.errors import BadSignature, CodecError, EnvelopeError
from superset_ext.events import Miss, Stored


@dataclass(frozen=True, slots=True)
class TimedRead(queries.Read):
    """A read with the server that gave its time: another server's clock, or another run's, says nothing."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a value lives, and what ends it before.

    Attributes:
        fresh_ms: milliseconds for which it may be used, 0 for ever, `None` where it is not to be stored.
        grace_ms: milliseconds beyond, for which it may be used while somebody refreshes it.
        tags: what it depends on.
        trial_ms: milliseconds after which it goes unless it was read often enough by then, 0 for no such end.
    """

    fresh_ms: int | None
    grace_ms: int = 0
    tags: tuple[str, ...] = ()
    trial_ms: int = 0

    @property
    def ttl_ms(self) -> int:
        """Milliseconds that Redis keeps it, 0 for ever."""
        whole = self.fresh_ms + self.grace_ms if self.fresh_ms else 0
        return min(whole or self.trial_ms, self.trial_ms) if self.trial_ms else whole


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
        """The value of a reading, or why it has none that may be used; see `is_old` for whether it is in its grace."""
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

    def lives(self, value: Any, passed_ms: int | None) -> Lifetime:
        """What a value depends on, and how long it lives where Superset asks for `passed_ms` milliseconds."""
        if passed_ms is None or not self._policy.stamped:
            return Lifetime(passed_ms)
        query, settings = queries.current(), self._policy.settings
        found = depends(value, query, settings)
        if found.rule is None:
            dataset_id = query.scope.dataset_id if query else None
            return Lifetime(*tuned.lifetime(settings, dataset_id, found.tags, passed_ms), found.tags)
        if not found.rule.cache:
            return Lifetime(None, tags=found.tags)
        fresh_ms, grace_ms = lifetime(settings, found.rule, passed_ms)
        return Lifetime(fresh_ms, grace_ms, found.tags, trial_ms(found.rule))

    def encode(self, key: str, value: Any, read: queries.Read | None, lives: Lifetime) -> bytes | Stored:
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
            data = self.pack(key, value, read, lives)
        except CodecError as error:
            warn(f"codec {region}", "a value of the region %s cannot be stored: %s", region, error)
            return Stored.REFUSED
        return Stored.TOO_LARGE if self._policy.too_large(data) else data

    def pack(self, key: str, value: Any, read: queries.Read | None, lives: Lifetime) -> bytes:
        """An entry's bytes, whatever the region permits.

        Raises:
            CodecError: the value cannot be stored.
            StoreUnavailable: see `encode`.
        """
        policy = self._policy
        own, now_us = policy.settings.region(policy.region), self._store.now_us()
        return pack(
            value,
            key=self._store.name(key),
            ring=self._ring,
            as_of_us=read.as_of_us if read else 0,
            tags=lives.tags,
            cost_ms=(time.perf_counter() - read.started) * 1000 if read else 0.0,
            run_id=read.run_id if isinstance(read, TimedRead) else self._store.last_run_id(),
            stored_at_us=now_us,
            fresh_until_us=now_us + lives.fresh_ms * 1000 if lives.fresh_ms else 0,
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


def is_old(envelope: Envelope, reading: Reading) -> bool:
    """Whether an entry's time is over, so that it may only be given while somebody refreshes it."""
    return 0 < envelope.fresh_until_us < reading.time_us


def reads_needed(envelope: Envelope) -> int:
    """How often an entry must be read to live to its end, 0 where it does anyway."""
    last = envelope.tags[-1] if envelope.tags else ""
    return int(last.removeprefix(USAGE)) if last.startswith(USAGE) else 0


def _absent(reading: Reading) -> Miss:
    """Why a key has no entry, as far as the memory of keys knows; see `store.py` for how sure that is."""
    if reading.deadline_ms is None:
        return Miss.COLD
    return Miss.EXPIRED if reading.deadline_ms * 1000 <= reading.time_us else Miss.EVICTED
