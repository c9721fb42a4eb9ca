"""Where the aggregates of a DuckDB source lie, and who may read them: in a folder beside its file."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from superset_ext.errors import AggregateError

_SUFFIX = ".superset_ext_aggregates"
_GLOB = set("*?[]{}")  # DuckDB takes them for patterns
_ACL = "system.posix_acl_access"
_INHERITED = "system.posix_acl_default"  # what a folder gives to all that is made in it


@dataclass(frozen=True)
class Place:
    """The file of a source, and the files of its aggregates.

    Attributes:
        file: of the source, as its URI names it.
    """

    file: Path

    @property
    def folder(self) -> Path:
        """Of all its aggregates."""
        return Path(f"{self.file}{_SUFFIX}")

    def entry(self, name: str) -> Path:
        """What is known of an aggregate."""
        return self.folder / f"{name}.json"

    def lock(self, name: str) -> Path:
        """What is locked by whoever builds, refreshes or drops it."""
        return self.folder / f"{name}.lock"

    def rows(self, name: str, version: int, token: str) -> Path:
        """Its rows."""
        return self.folder / f"{name}.{version}.{token}.duckdb"


def place_of(database: str | None) -> Place:
    """The place of a source, by the database of its URI.

    Raises:
        AggregateError: it is no file here.
    """
    path = (database or "").partition("?")[0]
    if path in ("", ":memory:") or path.startswith(":memory:"):
        raise AggregateError("a DuckDB database in memory has no file beside which aggregates could lie")
    if path.startswith(("md:", "motherduck:")):
        raise AggregateError("MotherDuck is no file, which could show whether it has changed")
    if "://" in path:
        raise AggregateError("its file is on another machine, which does not tell here when it was changed")
    if _GLOB & set(path):
        raise AggregateError(f"its path has one of {' '.join(sorted(_GLOB))}, which DuckDB takes for a pattern")
    return Place(Path(path).absolute())


def make_folder(place: Place) -> None:
    """Make the folder, if it is not there.

    Raises:
        AggregateError: it cannot be made or written to.
    """
    folder = place.folder
    try:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            protect(folder, place.file, folder=True)
    except OSError as error:
        raise AggregateError(f"the folder {folder} cannot be made ({error.strerror})") from None
    if not is_ours(place):
        raise AggregateError(f"the folder {folder} is another person's, or more may write to it than to the source; "
                             "take it away")  # fmt: skip
    if not os.access(folder, os.W_OK | os.X_OK):
        raise AggregateError(f"the folder {folder} cannot be written to by this process")


def is_ours(place: Place) -> bool:
    """Whether nobody writes to the folder who may not write to the source, so that what lies there can be believed."""
    try:
        source, folder = place.file.stat(), place.folder.lstat()
    except OSError:
        return False
    owners = (source.st_uid, os.geteuid(), 0)
    return stat.S_ISDIR(folder.st_mode) and folder.st_uid in owners and not folder.st_mode & ~source.st_mode & 0o022


def protect(path: Path, source: Path, folder: bool = False) -> None:
    """Let those alone read a file of ours who may read the source's file.

    It gets the owner and the group of that, if this process may give it those. Where it has others, people are in other
    classes of its mode, so that the rest may only what all classes of the source may. The same person who has made it
    can always read it. A list of rights (ACL) that it has of its folder is taken away. A file that is as it should be
    is not touched, since that would show as a change.
    """
    _unlisted(path)
    theirs = source.stat()
    _give(path, theirs)
    mode = 0o600 if _is_private(source) else theirs.st_mode & 0o666 | 0o600
    ours = path.stat()
    if (ours.st_uid, ours.st_gid) != (theirs.st_uid, theirs.st_gid):
        mode = _narrowed(theirs.st_mode & mode, same_group=ours.st_gid == theirs.st_gid)
    mode |= (mode & 0o444) >> 2 if folder else 0
    if stat.S_IMODE(ours.st_mode) != mode:
        path.chmod(mode)


def _give(path: Path, theirs: os.stat_result) -> None:
    """Give a file the owner and the group of another one; or the group alone, if that is all that may be."""
    ours = path.stat()
    for owner, group in ((theirs.st_uid, theirs.st_gid), (ours.st_uid, theirs.st_gid)):
        if (ours.st_uid, ours.st_gid) == (owner, group):
            return
        with suppress(PermissionError):
            os.chown(path, owner, group)
            return


def _unlisted(path: Path) -> None:
    """Take away what gives more people a right than a mode does; a source may lie where new files get such a list."""
    for name in (_ACL, _INHERITED) if hasattr(os, "removexattr") else ():
        with suppress(OSError):  # it has none
            os.removexattr(path, name)


def protect_again(place: Place) -> None:
    """Have all files there follow the source's, whose rights may have been taken back since; a folder that others may
    have written to stays one that is not believed."""
    if not is_ours(place):
        return
    with suppress(OSError):  # one may be gone meanwhile; another run does the rest
        for path in (place.folder, *place.folder.iterdir()):
            protect(path, place.file, folder=path == place.folder)


def _narrowed(mode: int, same_group: bool) -> int:
    everyone = (mode >> 6) & (mode >> 3) & mode & 0o6
    return 0o600 | (mode & 0o060 if same_group else everyone << 3) | everyone


def _is_private(source: Path) -> bool:
    """Whether it takes more than its mode to say who may read a file: folders on the way to it, or a list of rights."""
    if source.resolve() != source:
        return True
    try:
        return bool(os.getxattr(source, _ACL)) if hasattr(os, "getxattr") else False
    except OSError:
        return False
