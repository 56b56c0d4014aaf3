"""Named areas: what a user mapped once is known by its name from then on, and the name never changes its meaning.

areas/<name>.geojson holds one Feature in lon/lat, as docs/decisions/0001-areas-have-names.md explains.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import shapely
from shapely.geometry import mapping, shape

from talik_stac.antimeridian import polygons_of
from talik_stac.aoi import (
    MAX_AREA_KM2,
    MAX_VERTICES,
    AreaOfInterest,
    check_area,
    is_name,
    parse_aoi,
    slug,
)
from talik_stac.errors import AoiError, ImageryError, MissingKeyError
from talik_stac.store import Store

_FOLDER = "areas"
_SAME = 1e-6
"""Two geometries are one area where they differ by less than this part of it: rounding, not ground."""


def resolve_area(
    store: Store,
    text: str,
    *,
    name: str | None = None,
    max_area_km2: float = MAX_AREA_KM2,
    max_vertices: int = MAX_VERTICES,
) -> AreaOfInterest:
    """Return the saved area called `text`, else what `parse_aoi` makes of it; nothing is written.

    A saved name goes before a file of that name. `name` gives the area another name. Raises AoiError, StoreError.
    """
    text = text.strip()
    saved = load_area(store, text) if is_name(text) else None
    if saved is not None:
        check_area(saved, max_area_km2=max_area_km2)
        return AreaOfInterest(name=name or saved.name, geometry=saved.geometry)
    if is_name(text) and not Path(text).exists():
        names = ", ".join(list_areas(store)) or "none yet"
        raise AoiError(
            f"no area is saved as '{text}' in {store.root}, and there is no file '{text}'; saved areas: {names}; "
            "give west,south,east,north or a file, and --name to save it"
        )
    return parse_aoi(text, name=name, max_area_km2=max_area_km2, max_vertices=max_vertices)


def area_of_collection(
    store: Store,
    collection: str,
    *,
    name: str | None = None,
    max_area_km2: float = MAX_AREA_KM2,
    max_vertices: int = MAX_VERTICES,
) -> AreaOfInterest:
    """Return the bbox of an indexed imagery collection, named like it. Raises AoiError, ImageryError, StoreError."""
    try:
        document = json.loads(store.get(f"imagery/{collection}/collection.json"))
        bbox = ",".join(repr(float(degrees)) for degrees in document["extent"]["spatial"]["bbox"][0])
    except MissingKeyError as error:
        from talik_stac.imagery import collections  # late: it brings pyarrow

        there = ", ".join(collections(store)) or "none yet"
        raise ImageryError(
            f"no imagery collection '{collection}' in {store.root}; there is: {there}. "
            f"Make it with: talik index FILES --collection {collection}"
        ) from error
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ImageryError(
            f"imagery/{collection}/collection.json in {store.root} states no extent ({error!r}); "
            "run talik index again, or give --aoi"
        ) from error
    called = name or slug(collection) or None
    return parse_aoi(bbox, name=called, max_area_km2=max_area_km2, max_vertices=max_vertices)


def load_area(store: Store, name: str) -> AreaOfInterest | None:
    """Return the area saved under `name`, None where there is none. Raises AoiError where it is damaged."""
    try:
        data = store.get(_key(name))
    except MissingKeyError:
        return None
    try:
        return AreaOfInterest(name=name, geometry=polygons_of(shape(json.loads(data)["geometry"])))
    except (ValueError, TypeError, KeyError, AttributeError, shapely.errors.ShapelyError) as error:
        raise AoiError(
            f"the saved area {store.url(_key(name))} is damaged ({error}); restore it, or choose another --name"
        ) from error


def remember_area(store: Store, aoi: AreaOfInterest) -> None:
    """Save an area under its name, once. Raises AoiError where the name means another place already."""
    if store.put_if_absent(_key(aoi.name), _feature(aoi)):
        return
    saved = load_area(store, aoi.name)
    if saved is None or same_place(saved, aoi):  # None: deleted since; the next run saves it
        return
    raise AoiError(
        f"'{aoi.name}' is another area already: {saved.area_km2:,.2f} km2 at {_bbox_text(saved)}, "
        f"not {aoi.area_km2:,.2f} km2 at {_bbox_text(aoi)}; choose another --name"
    )


def same_place(one: AreaOfInterest, other: AreaOfInterest) -> bool:
    """Whether two areas cover the same ground, but for a millionth of it."""
    if one.geometry == other.geometry:
        return True
    difference = shapely.symmetric_difference(one.geometry, other.geometry)
    return bool(difference.area <= _SAME * min(one.geometry.area, other.geometry.area))


def list_areas(store: Store) -> Iterator[str]:
    """Yield the names of the saved areas, sorted."""
    for key in store.list(_FOLDER):
        name = key.removeprefix(f"{_FOLDER}/").removesuffix(".geojson")
        if key == _key(name) and is_name(name):
            yield name


def _key(name: str) -> str:
    return f"{_FOLDER}/{name}.geojson"


def _feature(aoi: AreaOfInterest) -> bytes:
    """Write the area as an RFC 7946 Feature; JSON numbers keep every bit, so that it loads as it was."""
    feature = {
        "type": "Feature",
        "bbox": list(aoi.bbox),
        "properties": {"name": aoi.name, "area_km2": round(aoi.area_km2, 6)},
        "geometry": mapping(shapely.orient_polygons(aoi.geometry)),
    }
    return json.dumps(feature, indent=1).encode()


def _bbox_text(aoi: AreaOfInterest) -> str:
    return ",".join(f"{value:.6g}" for value in aoi.bbox)
