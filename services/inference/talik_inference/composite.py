"""The seasonal composite: several scenes -> one Raster that knows which scenes it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talik_inference.grid import Lattice, Rect
from talik_inference.read import Reader
from talik_stac.scenes import Scene

MEDIAN_CELL_PX = 512


@dataclass(frozen=True, kw_only=True)
class Composite:
    """What a season looked like."""

    data: NDArray[np.float32]
    """(band, y, x) reflectance, 0 where not valid."""
    valid: NDArray[np.bool_]
    """(y, x)"""
    sources: NDArray[np.uint64] | np.uint64
    """(y, x): the bits of the scenes that gave the pixel; one set for all where one scene gave them all."""


def composite(
    reader: Reader,
    scenes: Sequence[tuple[Scene, int]],
    bands: Sequence[str],
    lattice: Lattice,
    rect: Rect,
    method: Literal["best", "median"],
) -> Composite:
    """Combine scenes, each with its bit of a source set, best first. Each pixel depends on the scenes alone.

    best: the first scene that is valid there. median: per band over all scenes valid there.
    """
    if method == "best":
        return _best(reader, scenes, bands, lattice, rect)
    return _median(reader, scenes, bands, lattice, rect)


def _best(
    reader: Reader, scenes: Sequence[tuple[Scene, int]], bands: Sequence[str], lattice: Lattice, rect: Rect
) -> Composite:
    data: NDArray[np.float32] | None = None
    valid = np.zeros(rect.shape, bool)
    sources: NDArray[np.uint64] | np.uint64 = np.uint64(0)
    for scene, bit in scenes:
        raster = reader(scene, bands, lattice, rect)
        if raster is None:
            continue
        fresh = raster.valid & ~valid
        if not fresh.any():
            continue
        if data is None:
            data, sources = raster.data, np.uint64(1 << bit)
        else:
            np.copyto(data, raster.data, where=fresh)
            sources = np.where(fresh, np.uint64(1 << bit), sources)
        valid |= fresh
        if valid.all():
            break
    if data is None:
        data = np.zeros((len(bands), *rect.shape), np.float32)
    return Composite(data=data, valid=valid, sources=sources)


def _median(
    reader: Reader, scenes: Sequence[tuple[Scene, int]], bands: Sequence[str], lattice: Lattice, rect: Rect
) -> Composite:
    """Go cell by cell, so that memory holds the stack of one cell."""
    data = np.zeros((len(bands), *rect.shape), np.float32)
    valid = np.zeros(rect.shape, bool)
    sources = np.zeros(rect.shape, np.uint64)
    for cell in rect.cells(MEDIAN_CELL_PX):
        part = cell.intersect(rect)
        here = part.within(rect)
        stack = []
        for scene, bit in scenes:
            raster = reader(scene, bands, lattice, part)
            if raster is None or not raster.valid.any():
                continue
            sources[here][raster.valid] |= np.uint64(1 << bit)
            valid[here] |= raster.valid
            stack.append(np.where(raster.valid, raster.data, np.float32(np.nan)))
        if stack:
            data[:, *here] = _nanmedian(np.stack(stack), valid[here])
    return Composite(data=data, valid=valid, sources=sources)


def _nanmedian(stack: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """(scene, band, y, x) with NaN -> (band, y, x), 0 where not valid. NaN sorts last, so no warning arises."""
    count = np.isfinite(stack).sum(axis=0)
    ordered = np.sort(stack, axis=0)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(stack) - 1)[None], axis=0)[0]
    middle: NDArray[np.float32] = np.where(valid, (low + high) * np.float32(0.5), np.float32(0))
    return middle
