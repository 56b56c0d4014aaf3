"""*Simulated* Sentinel-2-like scenes over the simulated lowland, with all that makes mapping hard.

Cloud and its shadow, snow, a ridge and its shadow, a wedge without data, two overlapping scenes in one UTM zone and a
third in the next. The quality band misses the rim of each cloud, as the real one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from scipy.ndimage import binary_erosion, gaussian_filter, shift

from talik_inference.indexing import IndexOptions, index_files
from talik_inference.sidecar import Said
from talik_inference.simulated_ground import EXTENT_M, Ground, make_ground, plane_of, to_lonlat
from talik_stac.store import Store

BANDS = ("blue", "green", "red", "nir")
PIXEL_M = 10.0
SCL = {"nodata": 0, "dark": 2, "shadow": 3, "vegetation": 4, "bare": 5, "water": 6, "cloud": 9, "snow": 11}
_SPECTRA = {  # reflectance x 1e4 in BANDS; typical values of Sentinel-2 L2A
    "tundra": (350, 620, 560, 2300),
    "gravel": (1300, 1500, 1700, 2100),
    "water": (480, 450, 270, 100),
    "snow": (8200, 8300, 8200, 7300),
    "cloud": (5600, 5500, 5500, 5700),
    "terrain_shadow": (150, 130, 100, 95),
}


@dataclass(frozen=True, kw_only=True)
class View:
    """Where one scene looks, every year."""

    name: str
    crs: str
    centre_m: tuple[float, float]
    """Metres east and north of the ground's origin, for scenes of 1000 px."""
    month_day: str
    cloud_share: float
    wedge: bool


VIEWS = (
    View(name="a", crs="EPSG:32605", centre_m=(-9_000, 0), month_day="0716", cloud_share=0.10, wedge=False),
    View(name="b", crs="EPSG:32605", centre_m=(-4_000, 0), month_day="0723", cloud_share=0.14, wedge=True),
    View(name="c", crs="EPSG:32606", centre_m=(4_000, 0), month_day="0719", cloud_share=0.08, wedge=False),
)


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Simulated scenes on disk and the ground they show."""

    ground: Ground
    years: tuple[int, ...]
    files: dict[int, tuple[Path, ...]]
    """GeoTIFFs by year: four bands as reflectance x 1e4 (nodata 0), and SCL codes at 20 m."""
    area: shapely.Polygon
    """lon/lat: the area of interest, across the zones' border."""

    def truth(self, year: int, grid: GeoBox) -> NDArray[np.bool_]:
        """Bool (y, x): water, seen without cloud or snow."""
        return self.ground.water(self.years.index(year), grid)

    def truth_polygons(self, year: int) -> NDArray[np.object_]:
        """The same as lon/lat polygons."""
        return self.ground.polygons(self.years.index(year))


def simulate(
    folder: Path, *, seed: int = 1, years: Sequence[int] = (2021, 2022, 2023), size_px: int = 1000
) -> Simulation:
    """Write the scenes of each year. The same seed and size give the same pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = size_px / 1000
    ground = make_ground(seed, years=len(years), scale=scale)
    files = {
        year: tuple(
            path
            for number, view in enumerate(VIEWS)
            for path in _write_view(folder, view, ground, index, year, size_px, seed=(seed, index, number))
        )
        for index, year in enumerate(years)
    }
    west, south, east, north = (scale * side for side in EXTENT_M)
    lon, lat = to_lonlat(np.array([west, east]), np.array([south, north]))
    area = shapely.box(lon[0], lat[0], lon[1], lat[1])
    return Simulation(ground=ground, years=tuple(years), files=files, area=area)


def index_simulation(store: Store, simulation: Simulation, *, collection: str) -> None:
    """Index all scenes as one collection; each SCL file is its scene's quality band."""
    every = [path for paths in simulation.files.values() for path in paths]
    folder = every[0].parent
    for path in every:
        bands = ("scl",) if path.stem.endswith("_scl") else BANDS
        said = [f"bands = {list(bands)}", f'id = "{path.stem.removesuffix("_scl")}"']
        path.with_suffix(".toml").write_text("\n".join(said) + "\n")
    index_files(store, [folder], IndexOptions(collection=collection, said=Said()))


def view_grid(view: View, size_px: int) -> GeoBox:
    """The pixel grid of a view, on whole pixels of its zone."""
    scale = size_px / 1000
    lon, lat = to_lonlat(np.array(view.centre_m[0] * scale), np.array(view.centre_m[1] * scale))
    x, y = Transformer.from_crs("OGC:CRS84", view.crs, always_xy=True).transform(lon, lat)
    half = size_px * PIXEL_M / 2
    left, top = round((x - half) / 20) * 20, round((y + half) / 20) * 20
    return GeoBox((size_px, size_px), Affine(PIXEL_M, 0, left, 0, -PIXEL_M, top), view.crs)


def _write_view(
    folder: Path, view: View, ground: Ground, index: int, year: int, size_px: int, *, seed: tuple[int, ...]
) -> tuple[Path, Path]:
    rng = np.random.default_rng(seed)
    grid = view_grid(view, size_px)
    pixels, scl = _look(ground.water(index, grid), plane_of(grid), view, rng)
    path = folder / f"simulated_{view.name}_{year}{view.month_day}.tif"
    _write(path, pixels, grid)
    half = (size_px + 1) // 2  # as many as [::2] takes, so that an odd last row has its code too
    coarse = GeoBox((half, half), grid.affine * Affine.scale(2), view.crs)
    quality = folder / f"{path.stem}_scl.tif"
    _write(quality, scl[np.newaxis, ::2, ::2], coarse)
    return path, quality


def _look(
    water: NDArray[np.bool_],
    place: tuple[NDArray[np.float64], NDArray[np.float64]],
    view: View,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """What the sensor sees and what the product's quality band says of it: (band, y, x) and (y, x)."""
    x, y = place
    shape = water.shape
    gravel = _patches(shape, 30, 0.06, rng) & ~water
    snow = _patches(shape, 12, 0.01, rng) & ~water
    ridge = np.abs(y - 0.35 * x + 5_200 * shape[0] / 1000) < 450 * shape[0] / 1000
    terrain_shadow = ridge & (_patches(shape, 10, 0.3, rng)) & ~water
    cloud = _patches(shape, 45, view.cloud_share, rng)
    cloud_shadow = shift(cloud.astype(np.uint8), (18, 25), order=0).astype(bool) & ~cloud
    reflectance = np.empty((len(BANDS), *shape))
    relief = 1 + 0.12 * gaussian_filter(rng.standard_normal(shape), 6) / 0.047
    for kind, where in (("tundra", None), ("gravel", gravel), ("terrain_shadow", terrain_shadow), ("water", water)):
        _cover(reflectance, kind, where)
    reflectance[:, ~water] *= relief[~water]
    _cover(reflectance, "snow", snow)
    reflectance[:, cloud_shadow] *= 0.35
    reflectance += 120 * gaussian_filter(rng.random(shape), 60) / 0.5  # haze, thin and even
    _cover(reflectance, "cloud", cloud)
    reflectance *= 1 + 0.03 * rng.standard_normal(reflectance.shape)
    reflectance += 25 * rng.standard_normal(reflectance.shape)
    pixels = np.clip(reflectance, 1, 12_000).astype(np.uint16)
    scl = np.full(shape, SCL["vegetation"], np.uint8)
    said = (
        ("bare", gravel),
        ("water", water),
        ("dark", terrain_shadow),
        ("snow", snow),
        ("shadow", binary_erosion(cloud_shadow)),
        ("cloud", binary_erosion(cloud)),
    )
    for name, where in said:
        scl[where] = SCL[name]
    if view.wedge:
        row, col = np.mgrid[0 : shape[0], 0 : shape[1]]
        unseen = col + 0.35 * row < 0.18 * shape[1]
        pixels[:, unseen] = 0
        scl[unseen] = SCL["nodata"]
    return pixels, scl


def _cover(reflectance: NDArray[np.float64], kind: str, where: NDArray[np.bool_] | None) -> None:
    spectrum = np.array(_SPECTRA[kind], np.float64)
    if where is None:
        reflectance[:] = spectrum[:, None, None]
    else:
        reflectance[:, where] = spectrum[:, None]


def _patches(shape: tuple[int, ...], size: float, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Smooth blobs that cover a share of the scene."""
    field = gaussian_filter(rng.standard_normal(shape), size)
    return np.asarray(field > np.quantile(field, 1 - share))


def _write(path: Path, pixels: NDArray[Any], grid: GeoBox) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        dtype=pixels.dtype,
        count=len(pixels),
        height=grid.shape.y,
        width=grid.shape.x,
        crs=str(grid.crs),
        transform=grid.affine,
        nodata=0,
        compress="deflate",
        predictor=2,
    ) as target:
        target.write(pixels)
