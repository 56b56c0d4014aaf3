"""Confidence intervals by drawing places again, with replacement. Pure.

Pixels and chips of one place resemble each other; drawing them singly gives intervals that are far too narrow. So
whole places are drawn: the cluster bootstrap (Davison and Hinkley 1997, Bootstrap Methods and their Application, 3.8),
with the percentile interval of Efron 1979, Annals of Statistics 7(1), 1-26.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
MAX_UNDEFINED = 0.05
"""With more draws than this without a value, an interval would be of other data than the point."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure and the interval that holds it; None where undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    """None also with fewer than two places: one place says nothing of others."""


@dataclass(frozen=True, kw_only=True)
class Draws:
    """How places are drawn; the same draws for the same seed, whatever else runs."""

    count: int = 2000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.level < 1:
            raise ValueError(f"expected at least one draw and a level between 0 and 1, got {self}")

    def times(self, places: int) -> NDArray[np.int64]:
        """How often each place is drawn: (draw, place), each row sums to `places`."""
        generator = np.random.default_rng(self.seed)
        drawn: NDArray[np.int64] = generator.multinomial(places, np.full(places, 1 / places), size=self.count)
        return drawn


DRAWS = Draws()


def intervals_of_sums(
    sums: NDArray[Any],
    statistic: Callable[[NDArray[Any]], Mapping[str, float | None]],
    draws: Draws = DRAWS,
) -> dict[str, Interval]:
    """Intervals of figures that follow from counts which add up, such as a confusion.

    `sums` (place, count): one row a place; `statistic` turns a sum of rows (count,) into named figures.
    """
    point = statistic(sums.sum(axis=0))
    if len(sums) < 2:
        return {name: Interval(value=value) for name, value in point.items()}
    drawn: dict[str, list[float | None]] = {name: [] for name in point}
    for row in draws.times(len(sums)):
        for name, value in statistic(row @ sums).items():
            drawn[name].append(value)
    return {name: _interval(value, drawn[name], draws.level) for name, value in point.items()}


def interval_of_samples(
    places: Mapping[str, Sequence[Item]],
    statistic: Callable[[Sequence[Item]], float | None],
    draws: Draws = DRAWS,
) -> Interval:
    """The interval of any figure of a list of samples; `places` holds the samples of each place."""
    names = sorted(places)
    point = statistic([sample for name in names for sample in places[name]])
    if len(names) < 2:
        return Interval(value=point)
    values = [
        statistic([sample for name, times in zip(names, row, strict=True) for sample in [*places[name]] * int(times)])
        for row in draws.times(len(names))
    ]
    return _interval(point, values, draws.level)


def _interval(point: float | None, values: Sequence[float | None], level: float) -> Interval:
    defined = [value for value in values if value is not None]
    if point is None or len(defined) < (1 - MAX_UNDEFINED) * len(values):
        return Interval(value=point)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=point, low=float(low), high=float(high))
