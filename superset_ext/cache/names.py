"""The Redis keys of one region: its entries, and beside them what is kept about them.

    PREFIX KEY                    an entry
    AREA seen                     sorted set: until when each entry was to live
    AREA s:TAG                    a stamp: the server's time in microseconds, of chart_data only
    AREA l:ENTRY                  a lease, of chart_data only
    AREA u:ENTRY-ID               reads of an entry that goes unless it is read often, of chart_data only
    AREA g:NAME                   what was written to the metadata database, and by whom it is being written
    AREA done                     the channel on which the end of each lease is published

The area is the prefix and `~`, which no cache key begins with. In a cluster its braces keep it in one slot, whose clock
is then the clock of the region.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Names:
    """What the keys of a region begin with.

    Attributes:
        prefix: all its keys, except for the area in a cluster.
        area: all that are no entries.
        seen: the sorted set.
        stamps: stamps; empty where entries have no tags.
        leases: leases.
        reads: counts of reads.
        channel: the channel.
    """

    prefix: str
    area: str
    seen: bytes
    stamps: bytes
    leases: bytes
    reads: bytes
    channel: bytes

    @classmethod
    def of(cls, prefix: str, clustered: bool, stamped: bool) -> Names:
        """The names of a region; `stamped` is whether its entries have tags."""
        area = f"{{{prefix}~}}" if clustered else f"{prefix}~"
        own = area.encode()
        return cls(
            prefix, area, own + b"seen", own + b"s:" if stamped else b"", own + b"l:", own + b"u:", own + b"done"
        )
