"""The small files of a state directory: written whole or not at all; one that holds nonsense is one line."""

from __future__ import annotations

import os
from pathlib import Path

from superset_ext.errors import StackError


def write_whole(file: Path, text: str) -> None:
    """Write a file for its owner alone; a reader finds the old text or the new one, also after a crash or a full disk.

    Raises:
        OSError: it could not be written; the old text is there.
    """
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(file)


def read_secret(file: Path, lost: str) -> str:
    """A secret that `write_whole` has written.

    Args:
        lost: what to do where there is none in it.

    Raises:
        StackError: the file is empty, or no text.
    """
    if not file.exists():
        raise StackError(f"{file} is missing; {lost}")
    text = read_text(file).strip()
    if not text:
        raise StackError(f"{file} is empty; {lost}")
    return text


def read_text(file: Path) -> str:
    """The text of a file.

    Raises:
        StackError: it cannot be read, or is no text.
    """
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise StackError(f"{file} is no text; {again(file)}") from None
    except OSError as error:
        raise StackError(f"{file} cannot be read ({error.strerror}); correct its owner and rights") from None


def again(file: Path) -> str:
    """The fix for a file that a stack makes anew."""
    return f"delete it, then run: make up (rm {file})"
