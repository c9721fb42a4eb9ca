"""All settings together, and what follows from several of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import PrivateAttr

from superset_ext.errors import SettingsError
from superset_ext.settings.fields import PREFIX, Fields
from superset_ext.settings.redis_urls import named_database, with_certificate_check, with_database
from superset_ext.settings.regions import Region, RegionSettings


class Settings(Fields):
    """What concerns the package as a whole."""

    _chosen: frozenset[tuple[str, ...]] = PrivateAttr(frozenset())

    def note(self, paths: Iterable[tuple[str, ...]]) -> None:
        """Keep in mind which fields the environment sets, each by its path."""
        self._chosen = frozenset(paths)

    def is_set(self, region: Region, name: str) -> bool:
        """Whether the environment sets this field of a region."""
        return (str(region), name) in self._chosen

    def with_region(self, region: Region, **values: Any) -> Settings:
        """These settings with some of a region's changed.

        Raises:
            ValidationError: a value is none of its field.
        """
        own = RegionSettings.model_validate({**self.region(region).model_dump(), **values})
        return self.model_copy(update={str(region): own})

    def region(self, name: Region | str) -> RegionSettings:
        """The settings of one region.

        Raises:
            SettingsError: there is no region of that name.
        """
        if name not in set(Region):
            raise SettingsError(f"{name!r} is not a cache region; use one of {', '.join(Region)}")
        return getattr(self, str(name))  # type: ignore[no-any-return]

    def region_url(self, name: Region | str) -> str:
        """The Redis URL of a region, with its database number filled in where the URL names none.

        Raises:
            SettingsError: neither the region nor the package has a Redis URL.
        """
        region = self.region(name)
        url = region.url or self.redis_url
        if url is None:
            raise SettingsError(f"no Redis for {name}: set {PREFIX}REDIS_URL")
        return url if region.url else with_database(url, region.db)

    def broker(self) -> str:
        """The URL of Celery's broker: the one that is set, or the Redis of all regions, by default its database 0.

        Raises:
            SettingsError: neither is set.
        """
        if self.broker_url is None and self.redis_url is None:
            raise SettingsError(f"no broker for Celery: set {PREFIX}REDIS_URL or {PREFIX}BROKER_URL")
        redis = self.redis_url or ""
        return with_certificate_check(self.broker_url or with_database(redis, named_database(redis) or 0))
