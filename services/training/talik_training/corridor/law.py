"""What the *simulated* corridor holds: how many slumps and look-alikes, of which sizes, where, and their spectra.

Published and kept: slumps of the Qinghai-Tibet Engineering Corridor are clustered (474 of 875 in one region of a
corridor of 54,000 km2: Xia et al. 2022, Earth Syst. Sci. Data 14, 3875-3908), and most slumps of the plateau lie on
north-facing slopes of 3 to 8 degrees (Luo et al. 2022, Geophys. Res. Lett. 49, e2022GL099829).
Chosen by us, of the order published, not fitted to any table: the log-normal law of areas with its parameters
(Bernhard et al. 2022, The Cryosphere 16, 1-15, find an inverse gamma law for yearly changes of area), the density
(Xia's mean is 0.016 per km2; ours is higher, so that a few thousand km2 hold hundreds), growth and all reflectances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from talik_stac.errors import RecipeError

BANDS = ("blue", "green", "red", "nir", "swir1")
HECTARE_M2 = 10_000.0


class Kind(StrEnum):
    """What an object of the corridor is."""

    SLUMP = "thaw_slump"
    DRAINED_POND = "drained_pond"
    GRAVEL_PIT = "gravel_pit"
    GRAVEL_BAR = "gravel_bar"
    BARE_PATCH = "bare_patch"
    LAKE = "lake"


@dataclass(frozen=True, kw_only=True)
class SizeLaw:
    """Log-normal areas, cut at both ends."""

    median_m2: float = 1.5 * HECTARE_M2
    """Median before the cut."""
    sigma: float = 1.1
    """Standard deviation of the natural logarithm, before the cut."""
    smallest_m2: float = 0.1 * HECTARE_M2
    largest_m2: float = 40 * HECTARE_M2

    def __post_init__(self) -> None:
        if not 0 < self.smallest_m2 < self.median_m2 < self.largest_m2 <= 40 * HECTARE_M2 or self.sigma <= 0:
            raise RecipeError(f"{self}: expected 0 < smallest < median < largest <= 400000 m2 and sigma > 0")

    def area_m2(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """Quantile function: shares of [0, 1] -> areas."""
        low, high = self._normal_shares()
        return np.asarray(np.exp(math.log(self.median_m2) + self.sigma * ndtri(low + share * (high - low))))

    def share(self, area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distribution function: the share of objects not larger than an area."""
        low, high = self._normal_shares()
        return np.asarray(np.clip((ndtr(np.log(area_m2 / self.median_m2) / self.sigma) - low) / (high - low), 0, 1))

    def _normal_shares(self) -> tuple[float, float]:
        ends = np.log(np.array([self.smallest_m2, self.largest_m2]) / self.median_m2) / self.sigma
        low, high = ndtr(ends)
        return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class KindLaw:
    """Where objects of one kind lie and how many."""

    per_km2: float
    """Mean number per km2 of ground whose slope suits the kind."""
    slope_deg: tuple[float, float]
    relative_size: float
    """Factor of the area that the size law gives; at most 1, or objects would touch."""


def _kinds() -> dict[Kind, KindLaw]:
    return {
        Kind.SLUMP: KindLaw(per_km2=0.20, slope_deg=(3, 8), relative_size=1.0),
        Kind.BARE_PATCH: KindLaw(per_km2=0.12, slope_deg=(0, 90), relative_size=0.6),
        Kind.DRAINED_POND: KindLaw(per_km2=0.16, slope_deg=(0, 3), relative_size=0.8),
        Kind.GRAVEL_PIT: KindLaw(per_km2=0.05, slope_deg=(0, 5), relative_size=0.6),
        Kind.GRAVEL_BAR: KindLaw(per_km2=0.08, slope_deg=(0, 4), relative_size=0.35),
        Kind.LAKE: KindLaw(per_km2=0.12, slope_deg=(0, 3), relative_size=1.0),
    }


@dataclass(frozen=True, kw_only=True)
class CorridorLaw:
    """Everything that, with a seed, fixes the corridor."""

    years: tuple[int, ...] = (2018, 2019, 2020, 2021, 2022)
    """Years with imagery, ascending; the size law holds in the last."""
    sizes: SizeLaw = field(default_factory=SizeLaw)
    kinds: dict[Kind, KindLaw] = field(default_factory=_kinds)
    new_share: float = 0.35
    """Share of the slumps that are initiated after the first year of imagery."""
    oldest_years: int = 15
    """The others are initiated up to so many years before it."""
    contrast: tuple[float, float] = (0.45, 1.0)
    """Range of how bare a slump is: 1 is fresh mud, 0 would be tundra."""

    def __post_init__(self) -> None:
        if not self.years or list(self.years) != sorted(set(self.years)):
            raise RecipeError(f"years = {self.years}: expected at least one, ascending, none twice")
        if not 0 <= self.new_share <= 1:
            raise RecipeError(f"new_share = {self.new_share}: expected 0 to 1")
        wrong = [name for name, kind in self.kinds.items() if not 0 < kind.relative_size <= 1 or kind.per_km2 < 0]
        if wrong:
            raise RecipeError(f"{wrong[0]}: expected 0 < relative_size <= 1 and per_km2 of at least 0")


SPECTRA: dict[str, tuple[float, ...]] = {  # reflectance in BANDS
    "meadow": (0.045, 0.080, 0.075, 0.270, 0.210),
    "steppe": (0.085, 0.115, 0.140, 0.240, 0.310),
    "dry_soil": (0.115, 0.155, 0.195, 0.265, 0.340),
    "wet_mud": (0.080, 0.105, 0.130, 0.165, 0.150),
    "headwall": (0.045, 0.055, 0.065, 0.085, 0.080),
    "gravel": (0.160, 0.190, 0.210, 0.245, 0.290),
    "pond_floor": (0.095, 0.130, 0.155, 0.225, 0.230),
    "water": (0.055, 0.050, 0.032, 0.013, 0.006),
}


def spectrum(name: str) -> NDArray[np.float32]:
    """Reflectance (band,) of a surface."""
    return np.array(SPECTRA[name], np.float32)
