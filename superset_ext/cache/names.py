"""The Redis keys of one region: its entries, and beside them what is kept about them.

    PREFIX KEY                    an entry
    AREA seen                     sorted set: until when each entry was to live
    AREA stamps                   hash: the era and the last stamp under `~`, and each tag's stamp, of chart_data only
    AREA heard                    hash: until when the listener of each database is heard, of chart_data only
    AREA heard:ID                 set: the tags of the tables that are watched there, of chart_data only
    AREA bad                      how many bad stamps were found lately, of chart_data only
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
        stamps: the hash of stamps; empty where entries have no tags.
        heard: the hash of listeners.
        leases: leases.
        reads: counts of reads.
        channel: the channel.
    """

    prefix: str
    area: str
    seen: bytes
    stamps: bytes
    heard: bytes
    leases: bytes
    reads: bytes
    channel: bytes

    @classmethod
    def of(cls, prefix: str, clustered: bool, stamped: bool) -> Names:
        """The names of a region; `stamped` is whether its entries have tags."""
        area = f"{{{prefix}~}}" if clustered else f"{prefix}~"
        own = area.encode()
        stamps, reads = own + b"stamps" if stamped else b"", own + b"u:"
        return cls(prefix, area, own + b"seen", stamps, own + b"heard", own + b"l:", reads, own + b"done")
