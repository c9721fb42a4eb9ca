"""How root runs a server that refuses to be root, without an account or a folder opened to others.

PostgreSQL looks at the number of its user, and `initdb` wants a name for it, so it becomes `nobody`,
whom every system knows. Root of one user namespace can be somebody else in another, and still owns
its files. Where namespaces are forbidden (Docker's default profile), it becomes the real `nobody`,
who owns the data and may pass through folders that are closed to others, nothing more.
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
    """What to put before a command that works in `folder`, which it must own; nothing for an ordinary user.

    The number of the process stays the command's own, and so does the signal that it gets when its starter dies.

    Raises:
        StackError: this system offers no way.
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
    """Also data that the other way has made: the same state directory may be used in and outside of a container."""
    if folder.exists() and folder.stat().st_uid != owner:
        for path in (*folder.rglob("*"), folder):  # the folder last: it tells whether this was finished
            os.chown(path, owner, -1, follow_symlinks=False)
