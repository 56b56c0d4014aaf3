"""Glacial lakes on Sentinel-1: the folder s1_glacial_lakes_nepal (npsar-nasa/npSAR-dl)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from talik_stac.errors import RecipeError
from talik_training.samples import Sample
from talik_training.sources.base import Source, as_reflectance, existing, label_of, read_raster

_PLACE = re.compile(r"_clipped_to_(\w+?)AOI")


class S1LakesNepal(Source):
    """244 chips of VV, equalised bytes / 255, 20 m; the place is the lake, so five places in all."""

    kind: Literal["s1-lakes-nepal"]
    folder: str
    outlier: float = Field(default=0.5, gt=0)
    """Leave out chips whose lake area is off the lake's median by more than this share: wrongly drawn."""

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read chip by chip, outliers left out. Raises RecipeError, ImageryError."""
        data = existing(self.folder, folder) / "SAR_model_data"
        # "... copy.tif" repeats another file.
        found = [p for p in sorted((data / "Labelled").glob("*.tif")) if " copy" not in p.name]
        kept = self._without_outliers([path for path in found if (data / "Prelabelled" / path.name).exists()])
        for path in self.chosen(kept):
            numbers, nodata = read_raster(data / "Prelabelled" / path.name)
            # Chips are padded to 256 px with no data, up to 96 % of them.
            seen = _rectangle(numbers[0] != nodata)
            yield Sample(
                id=path.name.split(".tif")[0],
                group=_place(path),
                image=as_reflectance(numbers[:, *seen], scale=1 / 255, nodata=nodata),
                bands=("vv",),
                label=label_of(read_raster(path)[0][0][seen] > 0.5),
                pixel_m=20.0,
                source=self.name or "s1_glacial_lakes_nepal",
            )

    def _without_outliers(self, paths: list[Path]) -> list[Path]:
        areas = {path: int((read_raster(path)[0] > 0.5).sum()) for path in paths}
        places = sorted({_place(path) for path in paths})
        middle = {at: float(np.median([areas[p] for p in paths if _place(p) == at])) for at in places}
        return [p for p in paths if abs(areas[p] - middle[_place(p)]) <= self.outlier * middle[_place(p)]]


def _rectangle(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The (y, x) slices that hold all valid pixels."""
    rows, columns = (np.flatnonzero(valid.any(axis=axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _place(path: Path) -> str:
    found = _PLACE.search(path.name)
    if found is None:
        raise RecipeError(f"{path.name} names no lake; expected ..._clipped_to_<lake>AOI...")
    return found.group(1)
