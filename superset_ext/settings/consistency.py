"""Checks that need more than one field."""

from __future__ import annotations

from urllib.parse import urlsplit

from superset_ext.errors import SettingsError
from superset_ext.settings.fields import PREFIX
from superset_ext.settings.redis_urls import server_and_database
from superset_ext.settings.regions import Region
from superset_ext.settings.whole import Settings

_MAY_USE_METASTORE = frozenset({Region.FILTER_STATE, Region.EXPLORE_FORM_DATA})


def check(settings: Settings) -> None:
    """Check that the settings do not contradict each other.

    Raises:
        SettingsError: two of them do; the message names the variable to change.
    """
    _check_backends(settings)
    if settings.tune_min_timeout > settings.tune_max_timeout:
        raise SettingsError(f"{PREFIX}TUNE_MIN_TIMEOUT is above {PREFIX}TUNE_MAX_TIMEOUT; change one of them")
    if settings.redis_url is not None:
        _check_broker(settings)
        _check_disjoint(settings)


def _check_backends(settings: Settings) -> None:
    for region in Region:
        if settings.region(region).backend == "metastore" and region not in _MAY_USE_METASTORE:
            raise SettingsError(
                f"{PREFIX}{region.upper()}_BACKEND must be auto, redis or own; "
                "only filter_state and explore_form_data may use metastore"
            )


def _check_broker(settings: Settings) -> None:
    if settings.broker_url is None and "+" in urlsplit(settings.redis_url or "").scheme:
        raise SettingsError(
            f"{PREFIX}BROKER_URL is needed: Celery's broker cannot be derived from a Sentinel or Cluster URL"
        )


def _check_disjoint(settings: Settings) -> None:
    """Two regions in one database must not hold, or clear, each other's keys."""
    seen: dict[str, list[tuple[str, Region]]] = {}
    for region in Region:
        if settings.region(region).backend in ("metastore", "own"):
            continue
        place, prefix = server_and_database(settings.region_url(region)), settings.region(region).prefix
        for other_prefix, other in seen.setdefault(place, []):
            if prefix.startswith(other_prefix) or other_prefix.startswith(prefix):
                raise SettingsError(
                    f"{other} and {region} would share keys ({other_prefix!r} and {prefix!r} in one database); "
                    f"give one another {PREFIX}{region.upper()}_PREFIX or {PREFIX}{region.upper()}_DB"
                )
        seen[place].append((prefix, region))
