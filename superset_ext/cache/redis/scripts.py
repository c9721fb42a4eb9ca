"""The Lua scripts of `lua/`, each named by the hash that EVALSHA takes."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

_LUA = Path(__file__).parent / "lua"
_sources: dict[bytes, str] = {}


def _sha(name: str, *functions: str) -> bytes:
    """The hash of a script, before which others stand as functions of their names."""
    before = [f"local function {one}()\n{_text(one)}end\n" for one in functions]
    source = "".join(before) + _text(name)
    sha = sha1(source.encode(), usedforsecurity=False).hexdigest().encode()
    _sources[sha] = source
    return sha


def _text(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text()


FILL = _sha("fill")
GRANT = _sha("grant", "read", "parts")
HOLD = _sha("hold")
LEASE = _sha("lease")
LEFT = _sha("left")
MARK = _sha("mark")
READ = _sha("read")
RELEASE = _sha("release")
RENEW = _sha("renew")
STAMP = _sha("stamp")
STAMPS = _sha("stamps")
SWAP = _sha("swap")


def source(sha: bytes) -> str:
    """The text of a script."""
    return _sources[sha]
