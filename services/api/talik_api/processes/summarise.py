"""Counts, areas and size classes of the objects in an area: read group by group, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from talik_api.cql import parse_filter
from talik_api.features import select
from talik_api.features.answer import layer_of
from talik_api.features.query import Query
from talik_api.features.queryables import queryables_of
from talik_api.processes.inputs import SummariseInputs, place_of
from talik_api.service import Service
from talik_api.times import parse_span

CLASSES_M2 = (0.0, 500.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0)
"""Where size classes begin, m2: less than 500 m2, 0.1 ha, 1 ha, 10 ha, 1 km2, and larger."""


def summarise(service: Service, inputs: SummariseInputs) -> dict[str, Any]:
    """Summarise each edition of a collection: count, area_m2, mean probability, and the same by size class.

    An object on the edge of the area counts with all of its area. Raises Problem, TalikError.
    """
    layer = layer_of(service, inputs.collection)
    language = "cql2-text" if isinstance(inputs.filter, str) else "cql2-json"
    query = Query(
        place=place_of(service, inputs.area),
        during=parse_span(inputs.datetime) if inputs.datetime else None,
        filter=parse_filter(inputs.filter, language=language, queryables=queryables_of(layer))  # type: ignore[arg-type]
        if inputs.filter
        else None,
    )
    tallies = {edition.id: _Tally() for edition in layer.editions}
    for part in select.find(service, layer, query):
        table = part.read(["area_m2", "probability"])
        tallies[part.edition.id].add(table["area_m2"].to_numpy(), table["probability"].to_numpy())
    return {
        "collection": layer.id,
        "count": sum(tally.count for tally in tallies.values()),
        "area_m2": float(sum(tally.area_m2 for tally in tallies.values())),
        "editions": [
            {
                "edition": edition.id,
                "season": [edition.season_start.isoformat(), edition.season_end.isoformat()],
                **tallies[edition.id].document(),
            }
            for edition in layer.editions
        ],
    }


class _Tally:
    """What was counted of one edition."""

    def __init__(self) -> None:
        self.count, self.area_m2, self._probability = 0, 0.0, 0.0
        self._counts = np.zeros(len(CLASSES_M2), np.int64)
        self._areas = np.zeros(len(CLASSES_M2))

    def add(self, area_m2: Any, probability: Any) -> None:
        """Count objects."""
        number = np.searchsorted(CLASSES_M2, area_m2, side="right") - 1
        self._counts += np.bincount(number, minlength=len(CLASSES_M2))
        self._areas += np.bincount(number, weights=area_m2, minlength=len(CLASSES_M2))
        self.count += len(area_m2)
        self.area_m2 += float(np.sum(area_m2))
        self._probability += float(np.sum(probability))

    def document(self) -> dict[str, Any]:
        """The figures."""
        ends = (*CLASSES_M2[1:], None)
        return {
            "count": self.count,
            "area_m2": self.area_m2,
            "mean_probability": self._probability / self.count if self.count else None,
            "size_classes": [
                {"from_m2": start, "to_m2": end, "count": int(count), "area_m2": float(area)}
                for start, end, count, area in zip(CLASSES_M2, ends, self._counts, self._areas, strict=True)
            ],
        }
