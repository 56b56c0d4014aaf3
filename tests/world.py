"""A small world for tests: scenes written to disk, indexed, mapped, and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from making import footprint_of, write_tif
from talik_inference.executors import Executor, InProcess
from talik_inference.indexing import IndexOptions, index_files
from talik_inference.pipeline import MapRequest, MapResult, map_landform
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_inference.sidecar import Said
from talik_stac.aoi import AreaOfInterest
from talik_stac.landforms import recipe_for
from talik_stac.store import open_store

WATER = (1000, 250)
"""Green, nir as reflectance x 1e4: NDWI 0.6."""
LAND = (600, 2400)
"""NDWI -0.6."""


def paint(water: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Green and nir of a landscape: bool (y, x) -> uint16 (band, y, x)."""
    return np.stack([np.where(water, wet, dry) for wet, dry in zip(WATER, LAND, strict=True)]).astype(np.uint16)


@dataclass(frozen=True, kw_only=True)
class World:
    """A store with one collection `test` of scenes from summer 2021."""

    folder: Path

    @property
    def root(self) -> str:
        return str(self.folder / "store")

    def add(
        self,
        name: str,
        pixels: NDArray[Any],
        grid: GeoBox,
        *,
        bands: Sequence[str] = ("green", "nir"),
        nodata: float | None = 0,
        **said: Any,
    ) -> Path:
        """Write and index one scene; its name holds its date (YYYYMMDD)."""
        path = write_tif(self.folder / "imagery" / f"{name}.tif", pixels, grid, nodata=nodata)
        self.index([path], bands=tuple(bands), **said)
        return path

    def index(self, paths: Sequence[Path], **said: Any) -> None:
        """Index files as they are."""
        index_files(open_store(self.root), paths, IndexOptions(collection="test", said=Said(**said)))

    def request(
        self,
        area: shapely.Geometry,
        *,
        name: str = "area",
        block_px: int = 2048,
        executor: Executor | None = None,
        skip_bad: bool = False,
        season: str = "2021",
        **recipe: Any,
    ) -> MapRequest:
        """A run over an area; every object is kept unless the recipe says otherwise."""
        chosen = recipe_for("water").model_copy(update={"model": "ndwi@1", "min_area_m2": 0.0, **recipe})
        return MapRequest(
            store_root=self.root,
            aoi=AreaOfInterest(name=name, geometry=area),
            recipe=chosen,
            season=parse_season(season, chosen),
            imagery=Imagery(collection="test"),
            executor=executor or InProcess(workers=2),
            block_px=block_px,
            skip_bad=skip_bad,
        )

    def map(self, area: shapely.Geometry, **options: Any) -> MapResult:
        """Map water over an area."""
        return map_landform(self.request(area, **options))

    def inventory(self, result: MapResult) -> geopandas.GeoDataFrame:
        """Read the published inventory."""
        return geopandas.read_parquet(Path(self.root) / result.edition.prefix / "inventory.parquet")

    def probability(self, result: MapResult) -> list[Path]:
        """The published probability COGs."""
        return sorted((Path(self.root) / result.edition.prefix / "probability").glob("*.tif"))

    def bytes_of(self, result: MapResult) -> dict[str, str]:
        """SHA-256 of everything whose bytes must not depend on how the run was done."""
        folder = Path(self.root) / result.edition.prefix
        names = ["inventory.parquet", "inventory.fgb", "observed.parquet"]
        paths = [folder / name for name in names] + self.probability(result)
        return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def around(grid: GeoBox, margin_deg: float = 0.01) -> shapely.Geometry:
    """An area that holds the whole grid with a margin."""
    return shapely.box(*footprint_of(grid).buffer(margin_deg).bounds)
