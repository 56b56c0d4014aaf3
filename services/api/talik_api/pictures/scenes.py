"""Which scenes show a feature: from the imagery that an edition was made from, one frame for each date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from talik_api.pictures.reading import Allowed, Pixels, Source, open_source, read_on
from talik_api.pictures.render import FIXED, FIXED_8_BIT
from talik_api.problems import Problem
from talik_stac.errors import ImageryError, MissingKeyError, NoScenesError, StoreError
from talik_stac.imagery import Bbox, Search, read_items
from talik_stac.items import footprint_of, item_datetime, scene_from_item
from talik_stac.scenes import Band, Scene
from talik_stac.store import Store

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

TRUE_COLOUR = ("red", "green", "blue")
FALSE_COLOUR = ("nir", "red", "green")
GREY = ("nir", "red", "green", "blue", "pan", "swir16", "swir22")
"""One band alone is shown grey: the first of these that is there."""
MAX_SCENES_OF_A_DATE = 8
MAX_FRAMES = 60


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which scenes, and how they are to be seen."""

    bands: tuple[str, ...] | None = None
    """One or three common names; None: true colour, else false colour, else one band grey."""
    scene: str | None = None
    """Only the scene of this id."""
    start: datetime | None = None
    end: datetime | None = None
    """Inclusive; None: open."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The scenes of one UTC date over one place, best first."""

    day: date
    scenes: tuple[Scene, ...]


def imagery_of(store: Store, prefix: str) -> str:
    """The collection of the store's index that an edition (by its folder) was made from, as its run.json says.

    Raises NoScenesError where the edition names none, or was made from a STAC API.
    """
    try:
        imagery = json.loads(store.get(f"{prefix}/run.json")).get("imagery") or {}
    except MissingKeyError:
        imagery = {}
    if not imagery.get("collection") or imagery.get("catalog"):
        raise NoScenesError(
            f"edition {prefix.rsplit('/', 1)[-1]} was not made from imagery that this store indexes; "
            "name a collection of the store with collection="
        )
    return str(imagery["collection"])


def frames_over(store: Store, collection: str, place: BaseGeometry, wanted: Wanted) -> list[Frame]:
    """The dates whose scenes touch a place (lon/lat), oldest first. Raises NoScenesError that says what dates exist."""
    box = search_bbox(place)
    search = Search(bbox=box, start=wanted.start, end=wanted.end)
    items = [item for item in _items(store, collection, search=search) if footprint_of(item).intersects(place)]
    if wanted.scene is not None:
        items = [item for item in items if item["id"] == wanted.scene]
    if not items:
        raise _no_scenes(store, collection, box, wanted)
    bands = wanted.bands or bands_for(items)
    scenes = _with_bands(items, bands)
    ordered = sorted(scenes, key=lambda scene: (scene.datetime.date(), *_rank(scene)))
    days = groupby(ordered, key=lambda scene: scene.datetime.date())
    return [Frame(day=day, scenes=tuple(each)[:MAX_SCENES_OF_A_DATE]) for day, each in days]


def frame_of(store: Store, collection: str, item: str, bands: tuple[str, ...] | None = None) -> Frame:
    """One scene of the index by its id. Raises NoScenesError where there is none of that id."""
    brief = _items(store, collection, missing=404, columns=("id", "datetime"))
    found = next((each for each in brief if each["id"] == item), None)
    if found is None:
        raise NoScenesError(
            f"collection '{collection}' has no scene '{item[:100]}'; see /stac/collections/{collection}"
        )
    when = item_datetime(found)
    items = [each for each in _items(store, collection, search=Search(start=when, end=when)) if each["id"] == item]
    scene = scene_from_item(items[0], bands or bands_for(items))
    return Frame(day=scene.datetime.date(), scenes=(scene,))


def evenly(frames: Sequence[Frame], most: int = MAX_FRAMES) -> list[Frame]:
    """At most so many frames, evenly chosen, the first and the last among them."""
    if len(frames) <= most:
        return list(frames)
    return [frames[round(number)] for number in np.linspace(0, len(frames) - 1, most)]


def bands_for(items: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """True colour where all items have it, else false colour, else one band. Raises ImageryError with the names."""
    for bands in (TRUE_COLOUR, FALSE_COLOUR, *((name,) for name in GREY)):
        if all(_scene(item, bands) is not None for item in items):
            return bands
    first = _first_band(items[0])
    if all(_scene(item, (first,)) is not None for item in items):
        return (first,)
    raise ImageryError(f"the scenes share no band to show; the first has {first}: choose with bands= and scene=")


def _items(store: Store, collection: str, *, missing: int = 400, **wanted: Any) -> list[dict[str, Any]]:
    """The items of an index. Raises Problem `missing` where there is none, StoreError for one that cannot be read."""
    try:
        return read_items(store, collection, **wanted)
    except ImageryError as error:  # its message names the folder of the store
        if error.__cause__ is None or isinstance(error.__cause__, MissingKeyError):
            detail = f"there is no collection of imagery '{collection[:100]}'; see /stac/collections"
            raise Problem(missing, "There is no such imagery", detail) from error
        raise StoreError(str(error)) from error


def frame_bands(frame: Frame) -> tuple[str, ...]:
    """The names of a frame's bands, in the order they are shown."""
    return tuple(frame.scenes[0].bands)


def fixed_range(frame: Frame) -> tuple[float, float]:
    """The reflectance shown black and white by the fixed stretch: of 8-bit pictures all of it, see render."""
    bands = [band for scene in frame.scenes for band in scene.bands.values()]
    pictures = all(abs(band.scale * 255 - 1) < 1e-6 and band.offset == 0 for band in bands)
    return FIXED_8_BIT if pictures else FIXED


def read_frame(frame: Frame, grid: GeoBox, allowed: Allowed) -> Pixels:
    """Reflectance (band, y, x) float32 of a frame on a grid, 0 where not valid; its scenes fill each other's gaps."""
    parts = (_read_scene(scene, grid, allowed) for scene in frame.scenes)
    count = len(frame.scenes[0].bands)
    data = np.zeros((count, *grid.shape), np.float32)
    valid = np.zeros(grid.shape, np.bool_)
    for part in parts:
        fill = part.valid & ~valid
        data[:, fill] = part.data[:, fill]
        valid |= fill
        if valid.all():
            break
    return Pixels(data=data, valid=valid)


def file_grid(scene: Scene, allowed: Allowed) -> GeoBox:
    """The pixel grid of a scene's first band: as its item says, else from the file's header."""
    band = next(iter(scene.bands.values()))
    if band.grid is not None:
        return band.grid
    with open_source(_source(scene, [band]), allowed) as dataset:
        from odc.geo.geobox import GeoBox  # late: it brings dask where that is installed

        return GeoBox(dataset.shape, dataset.transform, dataset.crs.to_wkt())


def search_bbox(place: BaseGeometry) -> Bbox:
    """The bbox of lon/lat geometry; west > east where its parts meet at the antimeridian."""
    west, south, east, north = place.bounds
    parts = [part.bounds for part in getattr(place, "geoms", [place])]
    if east - west > 180 and len(parts) > 1:
        west = min(part[0] for part in parts if part[0] >= 0)
        east = max(part[2] for part in parts if part[0] < 0)
    return west, south, east, north


def _read_scene(scene: Scene, grid: GeoBox, allowed: Allowed) -> Pixels:
    """Bands of one scene as reflectance on a grid; each file is opened once."""
    bands = list(scene.bands.values())
    data = np.zeros((len(bands), *grid.shape), np.float32)
    valid = np.ones(grid.shape, np.bool_)
    for href in dict.fromkeys(band.href for band in bands):
        numbers = [number for number, band in enumerate(bands) if band.href == href]
        part = read_on(_source(scene, [bands[number] for number in numbers]), grid, allowed, smooth=True)
        if part is None:
            return Pixels(data=data, valid=np.zeros(grid.shape, np.bool_))
        for number, values in zip(numbers, part.data, strict=True):
            data[number] = values.astype(np.float32) * np.float32(bands[number].scale) + np.float32(
                bands[number].offset
            )
        valid &= part.valid & np.isfinite(data[numbers]).all(axis=0)
    data[:, ~valid] = 0
    return Pixels(data=data, valid=valid)


def _source(scene: Scene, bands: Sequence[Band]) -> Source:
    indexes = tuple(band.index for band in bands)
    return Source(name=scene.id, href=bands[0].href, indexes=indexes, nodata=bands[0].nodata)


def _with_bands(items: Sequence[Mapping[str, Any]], bands: Sequence[str]) -> list[Scene]:
    """The scenes that have the bands. Raises ImageryError, naming the bands there are, where none has."""
    scenes = [scene for item in items if (scene := _scene(item, bands)) is not None]
    return scenes or [scene_from_item(items[0], bands)]  # which raises, and says why


def _scene(item: Mapping[str, Any], bands: Sequence[str]) -> Scene | None:
    try:
        return scene_from_item(item, bands)
    except ImageryError:
        return None


def _first_band(item: Mapping[str, Any]) -> str:
    for asset in item["assets"].values():
        for band in asset.get("bands") or asset.get("eo:bands") or ():
            name = band.get("eo:common_name") or band.get("common_name") or band.get("name")
            if name:
                return str(name).lower()
    return "none"


def _rank(scene: Scene) -> tuple[float, datetime, str]:
    """Clear scenes first; those that say nothing of clouds come between."""
    return (50.0 if scene.cloud_cover is None else scene.cloud_cover, scene.datetime, scene.id)


def _no_scenes(store: Store, collection: str, box: Bbox, wanted: Wanted) -> NoScenesError:
    """Say what was looked for and what dates there are at this place."""
    search = Search(bbox=box, start=wanted.start, end=wanted.end)
    here = _items(store, collection, search=Search(bbox=box), columns=("id", "datetime"))
    days = sorted({item_datetime(item).date().isoformat() for item in here})
    shown = [*days[:5], "...", *days[-5:]] if len(days) > 11 else days
    named = "" if wanted.scene is None else f" named '{wanted.scene}'"
    there = f"there are {', '.join(shown)}" if days else "there is none of any date"
    return NoScenesError(f"no scene of collection '{collection}'{named} {search} shows this place; {there}")
