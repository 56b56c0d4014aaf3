"""Time-lapse strips: one image a date, side by side, the outline drawn; what an expert decides from."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from logging import getLogger
from pathlib import Path

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from shapely.geometry.base import BaseGeometry

from talik_inference.chips import time_stack
from talik_inference.region import from_lonlat
from talik_inference.review.strips import Frame, draw_strip
from talik_stac.errors import ImageryError, ReadError
from talik_stac.imagery import read_items, scenes_from_index
from talik_stac.scenes import Scene
from talik_stac.store import Store

_log = getLogger(__name__)

PANEL_PX = 256
"""Side of one image of a strip, and the most pixels of imagery that it shows."""
OWN_YEAR = ", year of the outline"
MARGIN = 1.0
"""Ground shown on each side of an object, as a share of its larger side."""
SMALLEST_PX = 48
"""Pixels of imagery that a panel shows at least, so that a small object is seen in its place."""
SHOWN = (("red", "green", "blue"), ("nir", "red", "green"), ("nir", "nir", "green"))
"""Bands shown as red, green and blue: the first that all items of the collection have; else their first band, grey."""


@dataclass(frozen=True, kw_only=True)
class Strips:
    """What was drawn."""

    paths: dict[str, Path]
    """By object id."""
    without: tuple[str, ...]
    """Objects that no scene of the collection shows."""
    left_out: tuple[ReadError, ...]
    """Of each scene that was left out, why it cannot be read (only with `skip_bad`)."""


def write_strips(
    store: Store,
    frame: geopandas.GeoDataFrame,
    collection: str,
    folder: Path,
    *,
    most_dates: int = 8,
    year: int | None = None,
    skip_bad: bool = False,
) -> Strips:
    """Write a PNG strip for each object of `frame` (id, geometry; lon/lat) as folder/<id>.png, and an index.html.

    Where there are more dates than `most_dates`, each year is shown by its clearest date, and of the years as many as
    fit, evenly from the first to the last, with `year` (the inventory's) among them. Raises ImageryError, and ReadError
    for a file that cannot be read; with `skip_bad` its scene is left out, and another date of the year takes its place.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scenes = scenes_from_index(store, collection, bands=sorted(set(bands := shown_bands(store, collection))))
    tree = shapely.STRtree([scene.footprint for scene in scenes])
    paths, without, bad = {}, [], dict[str, ReadError]()
    ids, polygons = frame["id"].tolist(), frame.geometry.tolist()
    for name, polygon in zip(ids, polygons, strict=True):
        here = [scenes[i] for i in sorted(tree.query(polygon, predicate="intersects"))]
        draw = partial(strip, bands=bands, polygon=polygon, title=name, year=year)
        image = _drawn(here, lambda scenes: chosen_dates(scenes, most_dates, year), draw, bad if skip_bad else None)
        if image is None:
            without.append(name)
        else:
            paths[name] = folder / f"{name}.png"
            image.save(paths[name])
    _write_index(folder, paths)
    return Strips(paths=paths, without=tuple(without), left_out=tuple(bad.values()))


def _drawn(
    here: Sequence[Scene],
    choose: Callable[[list[Scene]], list[list[Scene]]],
    draw: Callable[[list[list[Scene]]], Image.Image | None],
    bad: dict[str, ReadError] | None,
) -> Image.Image | None:
    """Draw the scenes of an object, and again without those that cannot be read, which `bad` takes up (None: raise)."""
    while scenes := [scene for scene in here if scene.id not in (bad or {})]:
        try:
            return draw(choose(scenes))
        except ReadError as error:
            if bad is None or error.scene_id in bad:
                raise
            _log.warning("scene %s is left out: cannot read %s: %s", error.scene_id, error.href, error.reason)
            bad[error.scene_id] = error
    return None


def shown_bands(store: Store, collection: str) -> tuple[str, ...]:
    """Choose the three bands to show as red, green and blue. Raises ImageryError."""
    items = read_items(store, collection)
    have = [
        {band.get("common_name") or band["name"] for asset in item["assets"].values() for band in asset["eo:bands"]}
        for item in items
    ]
    common = set.intersection(*have) if have else set()
    if not common:
        raise ImageryError(f"the scenes of collection '{collection}' have no band in common; index them apart")
    grey = (min(common),) * 3
    return next((bands for bands in SHOWN if set(bands) <= common), grey)


def strip(
    dates: Sequence[Sequence[Scene]],
    bands: Sequence[str],
    polygon: BaseGeometry,
    *,
    title: str,
    year: int | None = None,
) -> Image.Image | None:
    """Draw one object on scenes grouped by day; None where no scene has a pixel in view.

    Dates of `year`, the one in which the outline was mapped, are marked as such.
    """
    chosen = [scene for day in dates for scene in day]
    view = view_of(polygon, chosen[0])
    names = list(dict.fromkeys(bands))
    stack = time_stack(chosen, names, view)
    order = [names.index(band) for band in bands]
    frames = _by_date(stack.values[:, order], [scene.datetime.date().isoformat() for scene in _ordered(chosen)])
    if not frames:
        return None
    frames = [replace(each, note=OWN_YEAR) if each.date[:4] == str(year) else each for each in frames]
    outline = shapely.transform(polygon, _onto(view))
    return draw_strip(frames, outline, title=title, metres_per_px=_metres(view), panel_px=PANEL_PX)


def chosen_dates(scenes: Sequence[Scene], most: int, year: int | None = None) -> list[list[Scene]]:
    """Group scenes by day, ascending; see `write_strips` for which are kept where there are more than `most`."""
    days: dict[str, list[Scene]] = {}
    for scene in _ordered(scenes):
        days.setdefault(scene.datetime.date().isoformat(), []).append(scene)
    if len(days) <= most:
        return list(days.values())
    years: dict[str, list[Scene]] = {}
    for day, found in days.items():
        best = years.get(day[:4])
        if best is None or _cloud(found) < _cloud(best):
            years[day[:4]] = found
    names = list(years)
    picked = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int)).tolist()
    if str(year) in years and (own := names.index(str(year))) not in picked:
        picked[int(np.abs(np.array(picked) - own).argmin())] = own
    return [years[names[place]] for place in sorted(picked)]


def _cloud(day: Sequence[Scene]) -> float:
    return max(100.0 if scene.cloud_cover is None else scene.cloud_cover for scene in day)


def _ordered(scenes: Sequence[Scene]) -> list[Scene]:
    """In the order of `time_stack`."""
    return sorted(scenes, key=lambda scene: (scene.datetime, scene.id))


def view_of(polygon: BaseGeometry, scene: Scene) -> GeoBox:
    """A square around an object on the pixels of a scene, coarser where more than PANEL_PX would be needed."""
    grid = next(iter(scene.bands.values())).grid
    if grid is None or grid.crs is None or grid.crs.to_epsg() is None:
        raise ImageryError(f"scene {scene.id} states no grid with an EPSG code; index its files with talik index")
    crs = f"EPSG:{grid.crs.to_epsg()}"
    there = shapely.transform(polygon, _carry(crs))
    left, bottom, right, top = there.bounds
    side = max(right - left, top - bottom) * (1 + 2 * MARGIN)
    native = abs(float(grid.affine.a))
    pixels = max(SMALLEST_PX, min(PANEL_PX, round(side / native)))
    size = max(native, side / pixels)
    x, y = (left + right) / 2, (bottom + top) / 2
    if size == native:  # on the scene's own pixels, which are then shown as they are
        x = grid.affine.c + round((x - grid.affine.c) / native) * native
        y = grid.affine.f + round((y - grid.affine.f) / native) * native
        pixels += pixels % 2
    half = size * pixels / 2
    box = (x - half, y - half, x + half, y + half)
    return GeoBox.from_bbox(box, crs, shape=(pixels, pixels), tight=True)


def _carry(crs: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    transformer = from_lonlat(crs)
    return lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1]))


def _onto(view: GeoBox) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """From lon/lat to (column, row) of a view, fractions of a pixel from its upper left corner."""
    carry, back = _carry(str(view.crs)), ~view.affine

    def pixels(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        there = carry(xy)
        return np.column_stack(back * (there[:, 0], there[:, 1]))

    return pixels


def _metres(view: GeoBox) -> float:
    """Length of a pixel's side; of a grid in degrees along the meridian."""
    size = float(view.affine.a)
    return size if view.crs is not None and view.crs.projected else size * 111_195.0


def _by_date(stack: NDArray[np.float32], dates: Sequence[str]) -> list[Frame]:
    """Lay the scenes of one day over each other; days without a pixel are left out. stack: (scene, band, y, x)."""
    frames: dict[str, NDArray[np.float32]] = {}
    for layer, day in zip(stack, dates, strict=True):
        below = frames.get(day)
        frames[day] = layer if below is None else np.where(np.isnan(below), layer, below)
    return [Frame(date=day, values=values) for day, values in frames.items() if not np.isnan(values).all()]


def _write_index(folder: Path, paths: dict[str, Path]) -> None:
    """A page of all strips, in their order."""
    images = "\n".join(
        f'<figure><img src="{html.escape(path.name)}" alt="{html.escape(name)}"></figure>'
        for name, path in paths.items()
    )
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Strips</title>\n{images}\n</html>\n'
    (folder / "index.html").write_text(page, encoding="utf-8")
