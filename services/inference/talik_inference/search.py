"""Where a run's scenes come from: the local index, or a STAC API."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import shapely
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import pixel_metres
from talik_inference.plan import Windows
from talik_inference.read import with_grids
from talik_inference.season import Season
from talik_inference.zones import native_lattice
from talik_stac.aoi import AreaOfInterest
from talik_stac.catalogs import CatalogOptions, scenes_from_catalog
from talik_stac.imagery import no_scenes_error, scenes_from_index
from talik_stac.scenes import Scene
from talik_stac.store import Store


@dataclass(frozen=True, kw_only=True)
class Imagery:
    """A collection in the store's index, or in the STAC API at `catalog`."""

    collection: str
    catalog: str | None = None
    hosts: tuple[str, ...] | None = None
    """Where the catalogue and its files may lie (`CatalogOptions.hosts`); None: anywhere. Never changes a result."""

    def described(self) -> dict[str, str | None]:
        """For the record of a run."""
        return {"collection": self.collection, "catalog": self.catalog}


@dataclass(frozen=True, kw_only=True)
class Found:
    """The scenes of a season."""

    near: tuple[Scene, ...]
    """Those that touch the area or the context around it."""
    season: tuple[Scene, ...]
    """All that the catalogue was asked for; they decide the lattice, so that the area does not."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run looks for."""

    imagery: Imagery
    aoi: AreaOfInterest
    season: Season
    bands: Sequence[str]
    """Common names."""
    max_cloud_percent: float
    windows: Windows
    """The model's: scenes in the context around the area count too."""


def find_scenes(wanted: Wanted, store: Store) -> Found:
    """Search the season's scenes over the area and the model's context around it.

    Raises NoScenesError, ImageryError, OutgoingError.
    """
    if wanted.imagery.catalog is None:
        return _from_index(wanted, store)
    return _from_catalog(wanted, wanted.imagery.catalog)


def _from_index(wanted: Wanted, store: Store) -> Found:
    collection, (start, end) = wanted.imagery.collection, wanted.season.interval
    cloud = wanted.max_cloud_percent
    scenes = scenes_from_index(store, collection, bands=wanted.bands, start=start, end=end, max_cloud_percent=cloud)
    near = _near(scenes, wanted)
    if not any(scene.footprint.intersects(wanted.aoi.geometry) for scene in near):
        raise no_scenes_error(store, collection, bbox=wanted.aoi.bbox, start=start, end=end, max_cloud_percent=cloud)
    return Found(near=near, season=tuple(scenes))


def _from_catalog(wanted: Wanted, url: str) -> Found:
    """Ask twice: first over the area, which tells the pixel size; then over the area and its context."""
    start, end = wanted.season.interval

    def ask(geometry: BaseGeometry) -> list[Scene]:
        found = scenes_from_catalog(
            url,
            wanted.imagery.collection,
            bands=wanted.bands,
            aoi=geometry,
            start=start,
            end=end,
            max_cloud_percent=wanted.max_cloud_percent,
            options=CatalogOptions(hosts=wanted.imagery.hosts),
        )
        return [with_grids(scene) for scene in found]

    context_m = _context_m(ask(wanted.aoi.geometry), wanted.windows)
    near = _near(ask(_widened(wanted.aoi.geometry, context_m)), wanted)
    return Found(near=near, season=near)


def _near(scenes: Sequence[Scene], wanted: Wanted) -> tuple[Scene, ...]:
    """Those that touch any window which touches the area."""
    if not scenes:
        return ()
    wide = _widened(wanted.aoi.geometry, _context_m(scenes, wanted.windows))
    return tuple(scene for scene in scenes if scene.footprint.intersects(wide))


def _context_m(scenes: Sequence[Scene], windows: Windows) -> float:
    """How far from the area a pixel can lie that a window of the area sees, in metres."""
    return windows.window_px * max(pixel_metres(native_lattice(scene)) for scene in scenes)


def _widened(area: BaseGeometry, metres: float) -> BaseGeometry:
    """Grow a lon/lat geometry by at least `metres`; a longitude beyond 180 is looked for on its own side."""
    lat = min(89.0, max(abs(area.bounds[1]), abs(area.bounds[3])))
    reach = metres / (111_320 * math.cos(math.radians(lat)))
    wide = area.buffer(reach, join_style="mitre")
    shifted = [translate(wide, xoff=turn) for turn in (-360, 0, 360)]
    return shapely.intersection(shapely.union_all(shifted), shapely.box(-180, -90, 180, 90))
