"""Superset's users and guests: as whom a request is made, and which roles somebody has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask import g

from superset_ext.errors import Unanswerable

_VALIDITY = ("iat", "exp", "nbf", "jti")  # claims by which two tokens of one guest differ
CLAIMS = ("user", "resources", "rls_rules")  # what access depends on in a guest token; the rest is its validity


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a request is made: a user by id, a guest by the claims of its token, or an anonymous visitor."""

    user_id: int | None = None
    guest: str | None = None

    @property
    def name(self) -> str:
        """`user:<id>`, `guest:<hash>` or `anonymous`."""
        if self.guest is not None:
            return f"guest:{sha256(self.guest.encode()).hexdigest()[:16]}"
        return "anonymous" if self.user_id is None else f"user:{self.user_id}"

    @classmethod
    def of_claims(cls, token: Mapping[str, Any]) -> Identity:
        """The guest that a token's claims name."""
        return cls(guest=json.dumps({name: token[name] for name in CLAIMS if name in token}, sort_keys=True))


_NAME = "superset_ext_identity"  # in Flask's `g`


def know_identity(identity: Identity) -> None:
    """Say who makes the current request, so that nobody has to load the user to find out."""
    setattr(g, _NAME, identity)


def current_identity() -> Identity:
    """The identity of the current request."""
    known: Identity | None = g.get(_NAME)
    if known is not None:
        return known
    from superset_ext.host.services import get_user_id, security_manager

    guest = security_manager.get_current_guest_user_if_guest()
    return Identity.of_claims(guest.guest_token) if guest else Identity(get_user_id())


def identity() -> str:
    """The current user as text: the id of an account, a digest of a guest's claims, or `anonymous`.

    Of a guest it has more than `current_identity`, which is what a request can be made as again: a template may read
    any claim. A new token of the same guest is the same guest.
    """
    from superset_ext.host.services import get_user_id, security_manager

    guest = security_manager.get_current_guest_user_if_guest()
    if guest is not None:
        claims = {name: value for name, value in guest.guest_token.items() if name not in _VALIDITY}
        return "guest " + sha256(json.dumps(claims, sort_keys=True, default=str).encode()).hexdigest()
    number = get_user_id()
    return "anonymous" if number is None else f"user {number}"


def user_of(identity: Identity) -> Any:
    """Superset's user object of an identity.

    Raises:
        Unanswerable: the user was deleted or deactivated.
    """
    from superset_ext.host.services import security_manager

    if identity.guest is not None:
        return security_manager.get_guest_user_from_token({"rls_rules": [], **json.loads(identity.guest)})
    if identity.user_id is None:
        return security_manager.get_anonymous_user()
    user = security_manager.get_user_by_id(identity.user_id)
    if user is None:
        raise Unanswerable(f"user {identity.user_id} no longer exists")
    if not user.is_active:
        raise Unanswerable(f"user {user.username} is deactivated")
    return user


def roles_of(user_ids: Iterable[int]) -> dict[int, frozenset[int]]:
    """The role ids of each active user, including the roles of the user's groups."""
    from superset_ext.host.services import security_manager

    users = ((user_id, security_manager.get_user_by_id(user_id)) for user_id in user_ids)
    return {user_id: _role_ids(user) for user_id, user in users if user is not None and user.is_active}


def _role_ids(user: Any) -> frozenset[int]:
    of_groups = (role for group in getattr(user, "groups", []) for role in group.roles)
    return frozenset(role.id for role in (*user.roles, *of_groups))
