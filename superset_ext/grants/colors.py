"""The colors of labels in what a dashboard's chart asks: a browser reads them of the dashboard, and sends them along.

No answer has anything of them; `logs` has. A dashboard whose colors are written anew at each opening would otherwise
ask each time what nobody has asked before. So a key is made of a body that has a sign in their places, which is no
JSON. Bodies that are the same then have colors in the same places, so that it is enough to look once whether these are
the form data's: a template may read other parts of a request (see `refusals`), and those are in the key as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from superset_ext.host.granting import log_json

ENDPOINT = "ChartDataRestApi.data"  # the old one answers with the form data
NAMES = ("label_colors", "map_label_colors", "shared_label_colors")
_SIGN = b'label_colors":'
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_LIST = rb"\[(?:%b(?:,%b)*)?\]" % (_TEXT, _TEXT)
_TABLE = rb"\{(?:%b:%b(?:,%b:%b)*)?\}" % (_TEXT, _TEXT, _TEXT, _TEXT)
_BEFORE = b"|".join(rb'(?<=[{,]"%b%b)' % (kind, _SIGN) for kind in (b"", b"map_", b"shared_"))
# As JSON.stringify writes it. Within a text, the quotes of a name would have backslashes before them. The sign stands
# first, and what is before it is looked at afterwards: that is found three times as fast in a body that has few.
_COLORS = re.compile(rb"%b(?:%b)(%b|%b)" % (_SIGN, _BEFORE, _LIST, _TABLE))


def without(body: bytes) -> bytes:
    """The JSON of a request with `~` in the place of each list or table of label colors."""
    return _COLORS.sub(_SIGN + b"~", body) if _SIGN in body else body


def digest(body: bytes) -> str:
    """What stands for all that `without` leaves out of a body; empty where it is nothing."""
    if _SIGN not in body:
        return ""
    parts = _COLORS.findall(body)
    return blake2b(b"\n".join(parts), digest_size=16).hexdigest() if parts else ""


def is_apart(body: bytes) -> bool:
    """Whether `without` leaves nothing out of a body but colors of its form data."""
    plain = _COLORS.sub(_SIGN + b"0", body)
    if plain == body:
        return True
    try:
        whole, rest = json.loads(body), json.loads(plain)
    except ValueError:
        return False
    left = _form(rest)
    _form(whole).update({name: left[name] for name in NAMES if name in left})
    return bool(whole == rest)


def renewed(records: Sequence[Mapping[str, Any]], body: bytes) -> Sequence[Mapping[str, Any]]:
    """Rows of Superset's log that the same request with other colors has left, with those of this body."""
    form = _form(json.loads(body))
    colors = {name: form[name] for name in NAMES if name in form}
    return [{**record, "json": _colored(record["json"], colors)} for record in records]


def _colored(text: str | None, colors: Mapping[str, Any]) -> str | None:
    logged = json.loads(text) if text else None
    form = _form(logged)
    if not form:
        return text
    form.update({name: value for name, value in colors.items() if name in form})
    return log_json(logged)


def _form(asked: Any) -> dict[str, Any]:
    """The form data of what was asked or logged, empty where there is none."""
    form = asked.get("form_data") if isinstance(asked, dict) else None
    return form if isinstance(form, dict) else {}
