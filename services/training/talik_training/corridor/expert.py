"""A *simulated* expert who knows the truth of the corridor and makes stated errors, the same ones each time.

What it cannot show: that a real expert errs so. The rates are chosen by us; a report that uses them states them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from talik_stac.errors import RecipeError
from talik_training.corridor.chance import uniform
from talik_training.corridor.law import CorridorLaw
from talik_training.corridor.truth import Bounds, corridor_lookalikes, corridor_truth

GROUND_M = 500.0
"""Candidates that touch no object of the corridor share a decision within squares of this size."""


class Verdict(StrEnum):
    """What the expert says of a candidate."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@dataclass(frozen=True, kw_only=True)
class SizeRate:
    """A chance of error that falls with size: large + (small - large) exp(-area / scale)."""

    small: float
    """For an object of no size."""
    large: float
    """For an endless one."""
    scale_m2: float = 5_000.0

    def __post_init__(self) -> None:
        if not (0 <= self.large <= 1 and 0 <= self.small <= 1 and self.scale_m2 > 0):
            raise RecipeError(f"{self}: expected chances of 0 to 1 and a scale above 0 m2")

    def at(self, area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
        """The chance for objects of these areas."""
        return self.large + (self.small - self.large) * np.exp(-np.asarray(area_m2, np.float64) / self.scale_m2)


@dataclass(frozen=True, kw_only=True)
class ExpertErrors:
    """How often the simulated expert is wrong."""

    miss: SizeRate = SizeRate(small=0.25, large=0.02)
    """Rejects a slump, by the slump's area."""
    false: SizeRate = SizeRate(small=0.10, large=0.02)
    """Accepts a look-alike, by its area."""
    ground: SizeRate = SizeRate(small=0.01, large=0.002)
    """Accepts a candidate that shows no object at all, by its own area: plain ground deceives less than a pit."""
    least_overlap: float = 0.25
    """A candidate shows an object where they share at least this of the smaller one's area."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One answer, and what the simulated expert knew."""

    verdict: Verdict
    slump: str | None
    """Id of the slump that the candidate shows, if any."""
    lookalike: str | None
    """Id of the look-alike that it shows, if it shows no slump."""

    @property
    def wrong(self) -> bool:
        """Whether the truth is otherwise."""
        return (self.verdict is Verdict.ACCEPTED) is (self.slump is None)


class SimulatedExpert:
    """Judges candidates over an area in a year. Asked again about the same object, it repeats itself."""

    def __init__(
        self,
        *,
        seed: int,
        corridor_seed: int,
        area: Bounds,
        year: int | None = None,
        law: CorridorLaw | None = None,
        errors: ExpertErrors | None = None,
    ) -> None:
        self.seed, self.errors = seed, errors or ExpertErrors()
        self.slumps = corridor_truth(corridor_seed, area, year=year, law=law)
        self.lookalikes = corridor_lookalikes(corridor_seed, area, law=law)
        self._slumps, self._lookalikes = _named(self.slumps), _named(self.lookalikes)

    def judge(self, candidates: Sequence[shapely.Geometry]) -> list[Decision]:
        """Accept or reject each candidate: valid polygons in metres of truth.CRS, in any number and order."""
        polygons = np.array(candidates, dtype=object)
        slumps = _shown(polygons, self.slumps, self.errors.least_overlap)
        others = _shown(polygons, self.lookalikes, self.errors.least_overlap)
        return [self._decide(*each) for each in zip(polygons, slumps, others, strict=True)]

    def _decide(self, candidate: shapely.Geometry, slump: int | None, other: int | None) -> Decision:
        if slump is not None:
            name, area = self._slumps[slump]
            missed = self._draw(name) < self._chance(self.errors.miss, area)
            return Decision(verdict=Verdict.REJECTED if missed else Verdict.ACCEPTED, slump=name, lookalike=None)
        name, area, rate = _place(candidate), float(shapely.area(candidate)), self.errors.ground
        if other is not None:
            (name, area), rate = self._lookalikes[other], self.errors.false
        fooled = self._draw(name) < self._chance(rate, area)
        verdict = Verdict.ACCEPTED if fooled else Verdict.REJECTED
        return Decision(verdict=verdict, slump=None, lookalike=None if other is None else name)

    def _draw(self, name: str) -> float:
        """The luck that belongs to an object, for this expert."""
        return float(uniform(self.seed, f"expert/{name}", 0))

    @staticmethod
    def _chance(rate: SizeRate, area_m2: float) -> float:
        return float(rate.at(np.array(area_m2)))


def _place(candidate: shapely.Geometry) -> str:
    east, north = shapely.get_coordinates(shapely.centroid(candidate))[0]
    return f"ground {int(east // GROUND_M)} {int(north // GROUND_M)}"


def _named(objects: Any) -> list[tuple[str, float]]:
    """Id and area in m2 of each object."""
    return list(zip(map(str, objects["id"]), map(float, objects["area_m2"]), strict=True))


def _shown(candidates: NDArray[np.object_], objects: Any, least: float) -> list[int | None]:
    """For each candidate the object that it shares most area with, if that is enough of the smaller of the two."""
    found: list[int | None] = [None] * len(candidates)
    best = np.zeros(len(candidates))
    outlines = np.asarray(objects.geometry.values, dtype=object)
    if not len(candidates) or not len(outlines):
        return found
    which, shown = shapely.STRtree(outlines).query(candidates, predicate="intersects")
    common = shapely.area(shapely.intersection(candidates[which], outlines[shown]))
    smaller = np.minimum(shapely.area(candidates[which]), shapely.area(outlines[shown]))
    for candidate, one, area, of in zip(which, shown, common, smaller, strict=True):
        if area >= least * of and area > best[candidate]:
            best[candidate], found[candidate] = area, int(one)
    return found
