"""As whom a request is made: a user, an embedded page's guest, or nobody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

CLAIMS = ("user", "resources", "rls_rules")  # of a guest token, what access depends on; the rest is its time


@dataclass(frozen=True, slots=True)
class Who:
    """A user by id, or a guest by the claims of its token; neither is an anonymous visitor."""

    user_id: int | None = None
    guest: str | None = None

    @property
    def name(self) -> str:
        """`user:<id>`, `guest:<hash>` or `anonymous`."""
        if self.guest is not None:
            return f"guest:{sha256(self.guest.encode()).hexdigest()[:16]}"
        return "anonymous" if self.user_id is None else f"user:{self.user_id}"

    @classmethod
    def of_claims(cls, token: Mapping[str, Any]) -> Who:
        """The guest of a token's claims."""
        return cls(guest=json.dumps({name: token[name] for name in CLAIMS if name in token}, sort_keys=True))


def asking() -> Who:
    """As whom the current request is made."""
    from superset.extensions import security_manager
    from superset.utils.core import get_user_id

    guest = security_manager.get_current_guest_user_if_guest()
    return Who.of_claims(guest.guest_token) if guest else Who(get_user_id())


def load(who: Who) -> Any:
    """Superset's user object, or why there is none that may be used.

    Raises:
        LookupError: the user has gone or was deactivated.
    """
    from superset.extensions import security_manager

    if who.guest is not None:
        return security_manager.get_guest_user_from_token({"rls_rules": [], **json.loads(who.guest)})
    if who.user_id is None:
        return security_manager.get_anonymous_user()
    user = security_manager.get_user_by_id(who.user_id)
    if user is None:
        raise LookupError(f"user {who.user_id} no longer exists")
    if not user.is_active:
        raise LookupError(f"user {user.username} is deactivated")
    return user
