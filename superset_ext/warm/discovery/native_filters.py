"""What the native filters of a dashboard add to each of its charts before anybody has touched them.

Superset's browser does this in `getAllActiveFilters` and `mergeExtraFormData`; the order of lists is part of the cache
key, so it is kept: filters as the dashboard lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Extra = Mapping[str, Any]  # an `extra_form_data`
APPENDED = (
    "adhoc_filters", "filters", "interactive_groupby", "interactive_highlight", "interactive_drilldown",
    "custom_form_data",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NativeFilter:
    """One filter of a dashboard.

    Attributes:
        id: Superset's name for it.
        name: what people see.
        charts: ids of the charts that it applies to.
        extra: what its default adds to them.
        configuration: the whole, as Superset keeps it.
    """

    id: str
    name: str
    charts: frozenset[int]
    extra: Extra
    configuration: Mapping[str, Any]

    @property
    def from_data(self) -> bool:
        """Whether it starts with the first value that its data has, which only a query tells."""
        return bool(self.controls.get("defaultToFirstItem")) and self.kind == "filter_select"

    @property
    def kind(self) -> str:
        """Such as `filter_select`."""
        return str(self.configuration.get("filterType", ""))

    @property
    def controls(self) -> Mapping[str, Any]:
        """How it is set."""
        return self.configuration.get("controlValues") or {}

    @property
    def dataset(self) -> int | None:
        """The dataset that its values come from."""
        return self._target.get("datasetId")

    @property
    def column(self) -> str | None:
        """The column that its values come from."""
        return (self._target.get("column") or {}).get("name")

    @property
    def parents(self) -> Sequence[str]:
        """The filters on whose values its own depend."""
        return self.configuration.get("cascadeParentIds") or ()

    @property
    def _target(self) -> Mapping[str, Any]:
        return next(iter(self.configuration.get("targets") or ()), None) or {}


def native_filters(metadata: Mapping[str, Any], position: Mapping[str, Any]) -> list[NativeFilter]:
    """The filters of a dashboard, in its order.

    Args:
        metadata: its `json_metadata`.
        position: its `position_json`.
    """
    above = dict(_above(position))
    listed = metadata.get("native_filter_configuration") or ()
    return [_filter(one, above) for one in listed if one.get("type", "NATIVE_FILTER") == "NATIVE_FILTER"]


def _filter(one: Mapping[str, Any], above: Mapping[int, frozenset[str]]) -> NativeFilter:
    scope = one.get("scope") or {}
    roots, excluded = frozenset(scope.get("rootPath") or ()), set(scope.get("excluded") or ())
    charts = frozenset(chart for chart, parents in above.items() if parents & roots and chart not in excluded)
    extra = (one.get("defaultDataMask") or {}).get("extraFormData") or {}
    return NativeFilter(str(one.get("id", "")), str(one.get("name", "")), charts, extra, one)


def _above(position: Mapping[str, Any]) -> Iterator[tuple[int, frozenset[str]]]:
    """Each chart of a layout, with the parts of the layout that it lies in."""
    parents = {
        child: name
        for name, part in position.items()
        if isinstance(part, Mapping)
        for child in part.get("children") or ()
    }
    for name, part in position.items():
        chart = (part.get("meta") or {}).get("chartId") if isinstance(part, Mapping) else None
        if chart is not None and part.get("type") == "CHART":
            yield int(chart), frozenset(_ancestors(name, parents))


def _ancestors(name: str, parents: Mapping[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    while (name := parents.get(name, "")) and name not in seen:
        seen.add(name)
        yield name


def extra_of(chart: int, filters: Iterable[NativeFilter]) -> dict[str, Any]:
    """What all filters together add to a chart."""
    return merged([one.extra for one in filters if chart in one.charts])


def merged(extras: Sequence[Extra]) -> dict[str, Any]:
    """Several filters' parts as one: lists one after the other; of all else the last one counts."""
    result: dict[str, Any] = {}
    for extra in extras:
        for name, value in extra.items():
            result[name] = [*result.get(name, ()), *value] if name in APPENDED and isinstance(value, list) else value
    return result
