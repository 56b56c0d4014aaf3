"""Water on HLS patches with SWIR: the folder water_hls_flood_306."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talik_training.corridor.terrain import slope_deg
from talik_training.samples import Sample
from talik_training.sources.base import Source, as_reflectance, existing, label_of, read_raster

BANDS = ("coastal", "blue", "green", "red", "nir", "swir16", "swir22")
FMASK, DEM = 7, 8
PIXEL_M = 30.0
# HLS user guide v2.0, table 9: bits of Fmask.
CLOUD, SHADOW, SNOW, WATER = 1 << 1, 1 << 3, 1 << 4, 1 << 5
WATER_MNDWI, LAND_MNDWI, WATER_SWIR, STEEP_DEG = 0.1, -0.1, 0.1, 12.0
"""For labels = "swir": sure water above the first and below the third, sure land below the second."""


class HlsWater(Source):
    """306 patches of 128 x 128 px, 30 m; a place is one elevation model (190 of them).

    `labels = "agreed"` (default): water or not where MNDWI (Xu 2006) and Fmask agree, else unknown. "swir": by MNDWI
    and the shortwave infrared alone, which see turbid floods that Fmask does not; unknown between. "raw": the masks as
    published, which are noisy. Cloud and its shadow are `clouds`: unknown, or other.
    """

    kind: Literal["hls-water"]
    folder: str
    labels: Literal["agreed", "swir", "raw"] = "agreed"
    clouds: Literal["unknown", "other"] = "unknown"

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read patch by patch. Raises RecipeError, ImageryError."""
        data = existing(self.folder, folder)
        for path in self.chosen(sorted((data / "images").glob("*.tif"), key=lambda p: int(p.stem))):
            numbers, _ = read_raster(path)
            drawn = read_raster(data / "labels" / f"{path.stem}.png")[0][0]
            yield Sample(
                id=path.stem,
                group=hashlib.sha256(numbers[DEM].tobytes()).hexdigest()[:12],
                image=as_reflectance(numbers[: len(BANDS)], scale=1e-4),
                bands=BANDS,
                label=self._label(numbers, drawn > 0),
                pixel_m=PIXEL_M,
                source=self.name or "water_hls_flood_306",
            )

    def _label(self, numbers: NDArray[Any], drawn: NDArray[np.bool_]) -> NDArray[np.uint8]:
        fmask = numbers[FMASK].astype(np.uint8)
        cloudy = (fmask & (CLOUD | SHADOW)) != 0
        if self.labels == "raw":
            landform, unknown = drawn, np.zeros_like(cloudy)
        elif self.labels == "swir":
            landform, unknown = _by_swir(numbers, snow=(fmask & SNOW) != 0)
        else:
            landform = (fmask & WATER) != 0
            unknown = landform != (_mndwi(numbers) > 0)
        if self.clouds == "other":
            return label_of(landform & ~cloudy, unknown & ~cloudy)
        return label_of(landform, unknown | cloudy)


def _by_swir(numbers: NDArray[Any], *, snow: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Water, and unknown. On steep slopes what looks like water may be shadow: unknown; snow is not water."""
    index, swir = _mndwi(numbers), numbers[BANDS.index("swir16")] * np.float32(1e-4)
    water = (index > WATER_MNDWI) & (swir < WATER_SWIR)
    steep = slope_deg(*np.gradient(numbers[DEM].astype(np.float32), PIXEL_M)) > STEEP_DEG
    between = (index > LAND_MNDWI) & ~water
    return water & ~snow & ~steep, (between | (water & steep)) & ~snow


def _mndwi(numbers: NDArray[Any]) -> NDArray[np.float32]:
    green, swir = (np.maximum(numbers[BANDS.index(b)].astype(np.float32), 0) for b in ("green", "swir16"))
    index: NDArray[np.float32] = (green - swir) / np.maximum(green + swir, 1)
    return index
