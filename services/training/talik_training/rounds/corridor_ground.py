"""The *simulated* imagery of a corridor as a file, and labelled chips cut from it when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import overload

import numpy as np
import shapely
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import Rect
from talik_stac.errors import RecipeError
from talik_training.corridor.law import BANDS as ALL_BANDS
from talik_training.corridor.scene import Corridor, make_scene, window_grid
from talik_training.corridor.terrain import PIXEL_M, Window
from talik_training.corridor.truth import LEFT_M, TOP_M
from talik_training.rounds.words import Known, Labelled, Say
from talik_training.samples import LANDFORM, OTHER, UNKNOWN, Sample

BANDS = ("blue", "green", "red", "nir")
PER_REFLECTANCE = 10_000
"""Digital numbers of reflectance 1; 0 is no data, as in Sentinel-2 files."""
FILE = "simulated-imagery.npy"
_ONE_AT_A_TIME = Lock()
"""rasterio 1.4 mutes its own warning with warnings.catch_warnings, which two threads at once break: the pixels are
right, and the warning is seen."""
KNOWN_AROUND_M = 250.0
"""Ground this near to a labelled object was looked at: what is not drawn there is none. Beyond it nothing is known."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """The imagery of one year."""

    numbers: NDArray[np.uint16]
    """(band, y, x) digital numbers in BANDS, on disk; pixel (0, 0) has its corner at (LEFT_M, TOP_M)."""

    @staticmethod
    def open(corridor: Corridor, folder: Path, year: int, say: Say) -> Ground:
        """Open the file in `folder`, or simulate every tile into it first."""
        path = folder / FILE
        shape = (len(BANDS), corridor.tiles_y * corridor.tile_px, corridor.tiles_x * corridor.tile_px)
        if not path.exists():
            say(f"simulating {corridor.area_km2:,.0f} km2 of imagery of {year}")
            _simulate(corridor, year, path, shape)
        numbers: NDArray[np.uint16] = np.load(path, mmap_mode="r")
        if numbers.shape != shape:
            raise RecipeError(f"{path} holds {numbers.shape}, expected {shape}; remove it, or give another --out")
        return Ground(numbers=numbers)

    @property
    def shape(self) -> tuple[int, int]:
        """(y, x) in pixels."""
        return self.numbers.shape[1], self.numbers.shape[2]

    def reflectance(self, window: Rect) -> NDArray[np.float32]:
        """(band, y, x) of any window, NaN under cloud and outside."""
        out = np.full((len(BANDS), *window.shape), np.nan, np.float32)
        inside = window.intersect(Rect(col=0, row=0, col_end=self.shape[1], row_end=self.shape[0]))
        if not inside.empty:
            numbers = self.numbers[:, inside.row : inside.row_end, inside.col : inside.col_end]
            seen = numbers.astype(np.float32) / np.float32(PER_REFLECTANCE)
            seen[:, (numbers == 0).any(axis=0)] = np.nan
            out[:, *inside.within(window)] = seen
        return out

    def seen_share(self, outline: BaseGeometry) -> float:
        """Share of an outline's pixels that no cloud hides and that lie inside."""
        here = rect_of(outline)
        drawn = _burnt([(outline, 1)], here, fill=0)
        valid = ~np.isnan(self.reflectance(here)).any(axis=0)
        return float((valid & (drawn == 1)).sum() / max(int((drawn == 1).sum()), 1))


@dataclass(frozen=True, kw_only=True)
class Chips(Sequence[Sample]):
    """A chip around each labelled object, read when it is asked for: a corridor of them does not fit in memory."""

    ground: Ground
    known: Known
    """All that is labelled: a chip shows its neighbours, too."""
    chosen: tuple[Labelled, ...]
    """Objects that get a chip."""
    size_px: int

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, number: int) -> Sample: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Sample]: ...
    def __getitem__(self, number: int | slice) -> Sample | Sequence[Sample]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(len(self)))]
        one = self.chosen[number]
        here = square_around(one.outline, self.size_px)
        return Sample(
            id=one.id,
            group=one.id,
            image=self.ground.reflectance(here),
            bands=BANDS,
            label=self._label(here),
            pixel_m=PIXEL_M,
            source="simulated corridor",
        )

    def _label(self, here: Rect) -> NDArray[np.uint8]:
        """Landform over other over unknown."""
        shapes, kinds, tree = self._drawn
        near = tree.query(outline_of(here).buffer(KNOWN_AROUND_M))
        around = [(shapes[n].buffer(KNOWN_AROUND_M), OTHER) for n in near]
        landforms = [(shapes[n], LANDFORM) for n in near if kinds[n] == LANDFORM]
        return _burnt([*around, *landforms], here, fill=UNKNOWN)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.object_], NDArray[np.uint8], shapely.STRtree]:
        """Outlines of all that is labelled, what each is, and their index."""
        both = [(self.known.positives, LANDFORM), (self.known.negatives, OTHER)]
        pairs = [(one.outline, kind) for labelled, kind in both for one in labelled if one.outline is not None]
        shapes = np.array([shape for shape, _ in pairs], object)
        return shapes, np.array([kind for _, kind in pairs], np.uint8), shapely.STRtree(shapes)


def rect_of(outline: BaseGeometry) -> Rect:
    """The pixels that an outline touches."""
    left, bottom, right, top = outline.bounds
    return Rect(
        col=int(np.floor((left - LEFT_M) / PIXEL_M)),
        row=int(np.floor((TOP_M - top) / PIXEL_M)),
        col_end=int(np.ceil((right - LEFT_M) / PIXEL_M)),
        row_end=int(np.ceil((TOP_M - bottom) / PIXEL_M)),
    )


def square_around(outline: BaseGeometry | None, size_px: int) -> Rect:
    """The square of pixels about the middle of an outline."""
    if outline is None:
        raise RecipeError("an object of a corridor without an outline; expected a polygon")
    here = rect_of(outline)
    col, row = (here.col + here.col_end - size_px) // 2, (here.row + here.row_end - size_px) // 2
    return Rect(col=col, row=row, col_end=col + size_px, row_end=row + size_px)


def outline_of(window: Rect) -> BaseGeometry:
    """The rectangle of pixels in metres of the corridor's CRS."""
    left, top = LEFT_M + window.col * PIXEL_M, TOP_M - window.row * PIXEL_M
    return shapely.box(left, top - window.height * PIXEL_M, left + window.width * PIXEL_M, top)


def _burnt(shapes: Sequence[tuple[BaseGeometry, int]], here: Rect, *, fill: int) -> NDArray[np.uint8]:
    """uint8 (y, x); later shapes lie over earlier ones."""
    if not shapes:
        return np.full(here.shape, fill, np.uint8)
    window = Window(row=here.row, col=here.col, row_end=here.row_end, col_end=here.col_end)
    grid = window_grid(window)
    with _ONE_AT_A_TIME:
        burnt: NDArray[np.uint8] = rasterize(
            shapes, out_shape=here.shape, transform=grid.affine, fill=fill, dtype="uint8"
        )
    return burnt


def _simulate(corridor: Corridor, year: int, path: Path, shape: tuple[int, int, int]) -> None:
    """Write the whole file beside, then rename it."""
    beside = path.with_suffix(".part.npy")
    out = open_memmap(beside, mode="w+", dtype=np.uint16, shape=shape)
    order = [ALL_BANDS.index(band) for band in BANDS]
    for tile in corridor.tiles():
        scene, window = make_scene(corridor, tile, year), corridor.window(tile)
        numbers = np.clip(np.rint(scene.reflectance[order] * PER_REFLECTANCE), 1, 65_535).astype(np.uint16)
        numbers[:, ~scene.valid] = 0
        out[:, window.row : window.row_end, window.col : window.col_end] = numbers
    out.flush()
    beside.replace(path)
