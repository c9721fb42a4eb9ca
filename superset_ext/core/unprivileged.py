"""How root runs a server that refuses to run as root, without a new account or a folder opened to others.

PostgreSQL checks the number of its user, and `initdb` needs a name for it, so they run as `nobody`, which every system
has. In a user namespace, root appears as `nobody` and still owns its files. Where namespaces are forbidden (Docker's
default profile), the server runs as the real `nobody`, which owns the data and may pass through folders that are
closed to others, nothing more.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from superset_ext.errors import StackError


def prefix(folder: Path) -> Sequence[str]:
    """The words to put before a command that must own `folder`; none for an ordinary user.

    The command keeps the number of its process, and the signal that it gets when its starter dies.

    Raises:
        StackError: neither way works on this system.
    """
    if os.geteuid() != 0:
        return ()
    for way, owner in ((_namespace(), 0), (_account(), _nobody().pw_uid)):
        if _works(way):
            _give(folder, owner)
            return way
    raise StackError("PostgreSQL does not run as root here; run this as an ordinary user")


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _namespace() -> Sequence[str]:
    user = _nobody()
    return ("unshare", "--user", f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}", "--")


def _account() -> Sequence[str]:
    user, kept = _nobody(), "-all,+dac_override"
    return (
        "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
        f"--inh-caps={kept}", f"--ambient-caps={kept}", "--pdeathsig=keep", "--",
    )  # fmt: skip


def _works(way: Sequence[str]) -> bool:
    return shutil.which(way[0]) is not None and not subprocess.run([*way, "true"], capture_output=True).returncode


def _give(folder: Path, owner: int) -> None:
    """Make `owner` the owner, also of data that the other way made: containers and their host may share a directory."""
    if folder.exists() and folder.stat().st_uid != owner:
        for path in (*folder.rglob("*"), folder):  # the folder last: its owner tells whether this was finished
            os.chown(path, owner, -1, follow_symlinks=False)
