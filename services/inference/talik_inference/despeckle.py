"""Despeckling as a step of a recipe: a reader that filters backscatter, scene by scene, exact in any rectangle.

After it comes the recipe's stretch, from power to what the model was trained on. Both before the composite: speckle is
of one acquisition, and a mosaic or a median has another law.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from talik_inference.grid import Lattice, Rect
from talik_inference.read import Pixels, Reader, read_scene
from talik_inference.speckle import SMALLEST_INTENSITY, PpbParameters, filter_ppb, halo_px
from talik_stac.conventions import BACKSCATTER, default_scale
from talik_stac.errors import RecipeError
from talik_stac.landforms import Despeckle, Recipe
from talik_stac.scenes import Scene


def reader_for(recipe: Recipe) -> Reader:
    """The reader of a recipe's pixels: with its speckle filter and stretch, where it has them."""
    if recipe.despeckle is None and recipe.stretch is None:
        return read_scene
    parameters = None if recipe.despeckle is None else parameters_of(recipe.despeckle)
    return BackscatterReader(reader=read_scene, parameters=parameters, stretch=recipe.stretch)


def parameters_of(step: Despeckle) -> PpbParameters:
    """The filter's parameters of a recipe's step."""
    return PpbParameters(**step.model_dump(exclude={"method"}))


def check_despeckling(recipe: Recipe, bands: Sequence[str], scenes: Iterable[Scene]) -> list[str]:
    """Say what the filter is not meant for. Raises RecipeError where none of the model's bands is backscatter."""
    if recipe.despeckle is None:
        return []
    radar = [name for name in bands if name in BACKSCATTER]
    if not radar:
        raise RecipeError(
            f"despeckle = {recipe.despeckle.method}, but model {recipe.model} reads {', '.join(bands)}; speckle is of "
            f"radar ({', '.join(sorted(BACKSCATTER))}): give --no-despeckle"
        )
    stretched = [scene.id for scene in scenes if any(_is_picture(scene, name) for name in radar)]
    if not stretched:
        return []
    return [
        f"{len(stretched)} scenes ({stretched[0]}, ...) are pictures of 8 bits, no linear power: their speckle has not "
        "the law that the filter expects, and what it smooths was not measured"
    ]


Curve = tuple[tuple[float, float], ...]
"""(decibels, value), both rising."""


@dataclass(frozen=True, kw_only=True)
class BackscatterReader:
    """Reads with a halo as wide as the filter looks, so that a pixel depends on the scene and the lattice alone."""

    reader: Reader
    parameters: PpbParameters | None = None
    """Of the speckle filter; None: none."""
    stretch: Curve | None = None

    def __call__(self, scene: Scene, bands: Sequence[str], lattice: Lattice, rect: Rect) -> Pixels | None:
        """Read the named bands. Raises ReadError."""
        outer = rect if self.parameters is None else rect.expand(halo_px(self.parameters))
        seen = self.reader(scene, bands, lattice, outer)
        if seen is None:
            return None
        radar = [number for number, name in enumerate(bands) if name in BACKSCATTER]
        return _Prepared(
            seen=seen,
            inside=rect.within(outer),
            filtered=() if self.parameters is None else tuple(radar),
            parameters=self.parameters or PpbParameters(),
            stretched=tuple(n for n in radar if not _is_picture(scene, bands[n])) if self.stretch else (),
            stretch=self.stretch or (),
        )


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """Pixels that are filtered when their data are asked for: a composite leaves most scenes of a season unused."""

    seen: Pixels
    inside: tuple[slice, slice]
    """(y, x) of the rectangle within what was seen."""
    filtered: tuple[int, ...]
    """Layers to filter."""
    parameters: PpbParameters
    stretched: tuple[int, ...]
    """Layers to stretch."""
    stretch: Curve

    @property
    def valid(self) -> NDArray[np.bool_]:
        return self.seen.valid[self.inside]

    @cached_property
    def data(self) -> NDArray[np.float32]:
        data = self.seen.data[:, *self.inside].copy()
        for layer in self.filtered:
            power = np.where(self.seen.valid, self.seen.data[layer], np.float32(np.nan))
            data[layer] = filter_ppb(power, self.parameters)[self.inside]
        for layer in self.stretched:
            data[layer] = stretched(data[layer], self.stretch)
        data[:, ~self.valid] = 0
        return data


def stretched(power: NDArray[np.float32], curve: Curve) -> NDArray[np.float32]:
    """Linear power (y, x) -> values of the curve, its ends beyond it; NaN stays NaN."""
    decibels = 10 * np.log10(np.maximum(power.astype(np.float64), SMALLEST_INTENSITY))
    points = np.array(curve)  # (point, 2)
    values: NDArray[np.float64] = np.interp(decibels, points[:, 0], points[:, 1])
    return values.astype(np.float32)


def _is_picture(scene: Scene, name: str) -> bool:
    """Whether a band holds bytes stretched for viewing, by the scale that 8-bit numbers are given."""
    return bool(np.isclose(scene.bands[name].scale, default_scale("uint8"), rtol=1e-3))
