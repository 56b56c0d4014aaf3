"""Polygons over the indexed imagery of a store: positive chips, hard negatives and random background."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal

import geopandas
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field
from rasterio.features import rasterize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from talik_inference.chips import time_stack
from talik_inference.read import with_grids
from talik_stac.errors import ImageryError, RecipeError
from talik_stac.imagery import no_scenes_error, scenes_from_index
from talik_stac.scenes import Scene
from talik_stac.store import Store, open_store
from talik_training.samples import LANDFORM, OTHER, UNKNOWN, Sample
from talik_training.sources.base import Source, existing

CONFIRMED = ("confirmed", "edited")


@dataclass(frozen=True, kw_only=True)
class _Chip:
    """Where one sample will be cut."""

    id: str
    scene: Scene
    grid: GeoBox

    @property
    def outline(self) -> shapely.Geometry:
        """Lon/lat."""
        return shapely.box(*self.grid.geographic_extent.boundingbox.bbox)


class Polygons(Source):
    """A chip around each polygon, and as many of random background as `background` says.

    The column `status` decides: confirmed and edited are landform, rejected is other (a hard negative), candidate is
    unknown; without the column all are landform. Everything outside the polygons is other. Chips that overlap are one
    place. The imagery's quality band is not applied.
    """

    kind: Literal["polygons"]
    polygons: str
    """GeoPackage, GeoParquet or what else GDAL reads."""
    store: str
    collection: str
    start: date
    end: date
    bands: tuple[str, ...] = Field(min_length=1)
    chip_px: int = Field(default=256, ge=32, le=2048)
    pixel_m: float | None = Field(default=None, gt=0)
    """The imagery's own if left out."""
    dates: int = Field(default=1, ge=1)
    """Chips of this many scenes a polygon, the least cloudy first."""
    background: float = Field(default=1.0, ge=0)
    """Random chips for each positive one."""
    seed: int = 0

    def samples(self, folder: Path) -> Iterator[Sample]:
        """Read chip by chip. Raises RecipeError, ImageryError, NoScenesError, ReadError."""
        drawn = _read_polygons(existing(self.polygons, folder))
        store = open_store(self.store if "://" in self.store else str(existing(self.store, folder)))
        scenes = self._scenes(store)
        chips = self.chosen([*self._on_polygons(drawn, scenes), *self._on_background(drawn, scenes)])
        for chip, place in zip(chips, _places([chip.outline for chip in chips]), strict=True):
            yield self._sample(chip, place, drawn)

    def _scenes(self, store: Store) -> list[Scene]:
        start, end = datetime.combine(self.start, time.min, UTC), datetime.combine(self.end, time.max, UTC)
        found = scenes_from_index(store, self.collection, bands=self.bands, start=start, end=end)
        if not found:
            raise no_scenes_error(store, self.collection, bbox=None, start=start, end=end, max_cloud_percent=None)
        return sorted((with_grids(scene) for scene in found), key=lambda s: (s.cloud_cover or 0.0, s.id))

    def _on_polygons(self, drawn: geopandas.GeoDataFrame, scenes: Sequence[Scene]) -> Iterator[_Chip]:
        for number, (shape, status) in enumerate(zip(drawn.geometry, drawn["status"], strict=True)):
            if status != "candidate":
                yield from self._around(shape.representative_point(), f"{status}-{number}", scenes)

    def _on_background(self, drawn: geopandas.GeoDataFrame, scenes: Sequence[Scene]) -> Iterator[_Chip]:
        generator = np.random.default_rng(self.seed)
        seen = shapely.union_all([scene.footprint for scene in scenes])
        wanted = round(self.background * int(drawn["status"].isin(CONFIRMED).sum()))
        left, bottom, right, top = seen.bounds
        made = 0
        for _ in range(100 * wanted):
            point = shapely.Point(generator.uniform(left, right), generator.uniform(bottom, top))
            if made < wanted and seen.contains(point):
                yield from self._around(point, f"background-{made}", scenes)
                made += 1

    def _around(self, point: shapely.Point, name: str, scenes: Sequence[Scene]) -> Iterator[_Chip]:
        """Chips centred on a lon/lat point from the first scenes that show it."""
        shown = [scene for scene in scenes if scene.footprint.contains(point)]
        for scene in shown[: self.dates]:
            yield _Chip(id=f"{name}-{scene.id}", scene=scene, grid=self._grid(scene, point))

    def _grid(self, scene: Scene, point: shapely.Point) -> GeoBox:
        """A square on the scene's own pixels, or on coarser or finer ones with the same corners."""
        native = scene.bands[self.bands[0]].grid
        if native is None or native.crs is None or native.crs.geographic:
            raise ImageryError(
                f"scene {scene.id}: its grid {native} is not in metres; index imagery in a projected CRS"
            )
        place = geopandas.GeoSeries([point], crs="OGC:CRS84").to_crs(str(native.crs)).iloc[0]
        zoom = (self.pixel_m or abs(native.affine.a)) / abs(native.affine.a)
        column, row = ~native.affine @ (place.x, place.y)
        half = self.chip_px * zoom / 2
        corner = Affine.translation(math.floor(column - half), math.floor(row - half))
        return GeoBox((self.chip_px, self.chip_px), native.affine @ corner @ Affine.scale(zoom), native.crs)

    def _sample(self, chip: _Chip, place: int, drawn: geopandas.GeoDataFrame) -> Sample:
        image = time_stack([chip.scene], self.bands, chip.grid).values[0]
        label = _label(drawn, chip.grid)
        return Sample(
            id=chip.id,
            group=f"place-{place}",
            image=np.ascontiguousarray(image, np.float32),
            bands=self.bands,
            label=label,
            pixel_m=abs(float(chip.grid.affine.a)),
            source=self.name or self.collection,
        )


def _read_polygons(path: Path) -> geopandas.GeoDataFrame:
    """Polygons in lon/lat with a `status`. Raises RecipeError."""
    read = geopandas.read_parquet if path.suffix == ".parquet" else geopandas.read_file
    table = read(path)
    if table.crs is None:
        raise RecipeError(f"{path} has no CRS; write it with one")
    if "status" not in table:
        table["status"] = "confirmed"
    odd = sorted(set(table["status"]) - {*CONFIRMED, "rejected", "candidate"})
    if odd:
        raise RecipeError(f"{path}: status {odd[0]!r}; expected confirmed, edited, rejected or candidate")
    return table.to_crs("OGC:CRS84")


def _label(drawn: geopandas.GeoDataFrame, grid: GeoBox) -> NDArray[np.uint8]:
    """Burn the polygons into the chip's grid; where they overlap, landform wins over unknown over other."""
    near = drawn.iloc[drawn.sindex.query(shapely.box(*grid.geographic_extent.boundingbox.bbox))].to_crs(str(grid.crs))
    rank = {"rejected": (0, OTHER), "candidate": (1, UNKNOWN), **dict.fromkeys(CONFIRMED, (2, LANDFORM))}
    ordered = sorted(zip(near["status"], near.geometry, strict=True), key=lambda pair: rank[pair[0]][0])
    if not ordered:
        return np.zeros(tuple(grid.shape), np.uint8)
    burnt: NDArray[np.uint8] = rasterize(
        [(shape, rank[status][1]) for status, shape in ordered],
        out_shape=tuple(grid.shape),
        transform=grid.affine,
        fill=OTHER,
        dtype="uint8",
    )
    return burnt


def _places(outlines: Sequence[shapely.Geometry]) -> list[int]:
    """Number the groups of chips that touch one another, directly or through others."""
    left, right = shapely.STRtree(outlines).query(outlines, predicate="intersects")
    links = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(outlines), len(outlines)))
    return [int(number) for number in connected_components(links, directed=False)[1]]
