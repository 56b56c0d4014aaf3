"""The demonstration: map a simulated permafrost lowland over three years and score it against its truth."""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from talik_inference.chips import time_stack
from talik_inference.executors import InProcess
from talik_inference.picture import Panel, draw
from talik_inference.pipeline import MapRequest, MapResult, map_landform
from talik_inference.predict import landform_above
from talik_inference.score import Score, object_score, pixel_score
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_inference.simulate import VIEWS, Simulation, index_simulation, simulate, view_grid
from talik_inference.simulated_ground import to_lonlat
from talik_inference.vectorize import NO_DATA
from talik_stac.aoi import AreaOfInterest
from talik_stac.errors import StoreError
from talik_stac.imagery import scenes_from_index
from talik_stac.landforms import recipe_for
from talik_stac.store import Store, open_store

COLLECTION = "simulated"
AREA = "simulated-lowland"
OBSERVED_SHARE = 0.95
"""Lakes of which less was seen are not asked for. What was mapped of them still counts as false, so that the object F1
errs on the low side."""
MARKER = ".talik-demo"
"""A file that says that `MADE` beside it came from a demonstration, and may be replaced by the next."""
MADE = ("imagery", "store", "demo.png")
CHIP_PX = 300
PICTURED_M = (-5_850.0, 2_500.0)
"""Where two lakes grow into one, metres from the ground's origin for scenes of 1000 px."""


@dataclass(frozen=True, kw_only=True)
class YearScore:
    """How one year went."""

    year: int
    result: MapResult
    pixels: Score
    objects: Score
    observed: float
    """Share of the area that was seen."""
    seconds: float
    peak_mb: float
    """Of the process so far."""


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demonstration made."""

    store: Store
    years: tuple[YearScore, ...]
    picture: Path


def run_demo(folder: Path, *, seed: int, size_px: int, workers: int, say: Callable[[str], None]) -> Demo:
    """Simulate, index, map, score and draw. What an earlier demonstration left in the folder is replaced.

    Raises StoreError, and leaves the folder as it is, where files of those names are not a demonstration's.
    """
    _make_room(folder)
    say("simulating three years of a permafrost lowland")
    simulation = simulate(folder / "imagery", seed=seed, size_px=size_px)
    store = open_store(str(folder / "store"))
    say("indexing the scenes as STAC over COGs")
    index_simulation(store, simulation, collection=COLLECTION)
    years = []
    for year in simulation.years:
        say(f"mapping water in {year}")
        years.append(_map_year(store, simulation, year, workers))
    say("drawing")
    picture = _draw(folder / "demo.png", store, years, size_px)
    return Demo(store=store, years=tuple(years), picture=picture)


def _make_room(folder: Path) -> None:
    """Remove an earlier demonstration and claim the folder, before anything is written into it."""
    marker = folder / MARKER
    try:
        old = [folder / name for name in MADE if (folder / name).exists()]
        if old and not marker.exists():
            names = ", ".join(path.name for path in old)
            raise StoreError(
                f"'{folder}' holds {names}, which no demonstration is known to have made; "
                "give a new or empty --folder, or move them away"
            )
        for path in old:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError as error:
        raise StoreError(
            f"cannot write a demonstration into '{folder}': {error.strerror or error}; give another --folder"
        ) from error


def _map_year(store: Store, simulation: Simulation, year: int, workers: int) -> YearScore:
    recipe = recipe_for("water")
    started = time.perf_counter()
    result = map_landform(
        MapRequest(
            store_root=store.root,
            aoi=AreaOfInterest(name=AREA, geometry=simulation.area),
            recipe=recipe,
            season=parse_season(str(year), recipe),
            imagery=Imagery(collection=COLLECTION),
            executor=InProcess(workers=workers),
        )
    )
    seconds = time.perf_counter() - started
    folder = Path(store.url(result.edition.prefix))
    pixels, observed = _pixel_score(sorted(folder.glob("probability/*.tif")), simulation, year)
    return YearScore(
        year=year,
        result=result,
        pixels=pixels,
        objects=_object_score(folder, simulation, year, recipe.min_area_m2),
        observed=observed,
        seconds=seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _pixel_score(tiles: Sequence[Path], simulation: Simulation, year: int) -> tuple[Score, float]:
    """Compare the probability COGs with the truth at their pixels; and the share of the area that was seen.

    Zones overlap by the strip along their border, where a pixel of each zone counts.
    """
    score = Score(true_positive=0, false_positive=0, false_negative=0)
    for path in tiles:
        with rasterio.open(path) as source:
            probability = source.read(1)
            grid = GeoBox(source.shape, source.transform, source.crs)
        valid = probability != NO_DATA
        score += pixel_score(simulation.truth(year, grid), probability > landform_above(0.5), valid)
    observed = geopandas.read_parquet(tiles[0].parents[1] / "observed.parquet").union_all()
    return score, shapely.intersection(observed, simulation.area).area / simulation.area.area


def _object_score(folder: Path, simulation: Simulation, year: int, min_area_m2: float) -> Score:
    """Match objects. Lakes partly outside the area or unseen, or below the recipe's area, are not asked for."""
    observed = geopandas.read_parquet(folder / "observed.parquet").union_all()
    shapely.prepare(observed)
    found = geopandas.read_parquet(folder / "inventory.parquet")
    truth = geopandas.GeoSeries(simulation.truth_polygons(year), crs="OGC:CRS84")
    truth = truth[truth.to_crs(VIEWS[0].crs).area >= min_area_m2]
    return object_score(_seen(truth.to_numpy(), observed), _seen(found.geometry.to_numpy(), observed))


def _seen(polygons: NDArray[np.object_], observed: shapely.Geometry) -> NDArray[np.object_]:
    share = shapely.area(shapely.intersection(polygons, observed)) / shapely.area(polygons)
    seen: NDArray[np.object_] = polygons[share >= OBSERVED_SHARE]
    return seen


def _draw(path: Path, store: Store, years: Sequence[YearScore], size_px: int) -> Path:
    """One panel a year, of the place where two lakes grow into one."""
    whole, side = view_grid(VIEWS[0], size_px), min(CHIP_PX, size_px // 2)
    lon, lat = to_lonlat(*(np.array(metres * size_px / 1000) for metres in PICTURED_M))
    x, y = Transformer.from_crs("OGC:CRS84", VIEWS[0].crs, always_xy=True).transform(lon, lat)
    col, row = (int(place) - side // 2 for place in ~whole.affine * (x, y))
    chip = whole[max(0, row) : max(0, row) + side, max(0, col) : max(0, col) + side]
    scenes = scenes_from_index(store, COLLECTION, bands=["blue", "green", "red", "nir"])
    own = [scene for scene in scenes if scene.id.startswith(f"simulated_{VIEWS[0].name}_")]
    stack = time_stack(own, ["nir", "red", "green"], chip).values
    stack[:, 0] /= 2  # vegetation is bright in the near infrared
    panels = [
        Panel(
            title=f"{score.year}: {score.result.edition.count} water bodies",
            reflectance=reflectance,
            grid=chip,
            outlines=geopandas.read_parquet(
                Path(store.url(f"{score.result.edition.prefix}/inventory.parquet")), bbox=_lonlat_bounds(chip)
            ),
        )
        for score, reflectance in zip(years, stack, strict=True)
    ]
    return draw(path, panels, caption="Simulated scenes (near infrared, red, green) and the water that Talik mapped")


def _lonlat_bounds(grid: GeoBox) -> tuple[float, float, float, float]:
    box = grid.extent.to_crs("OGC:CRS84", resolution=100).boundingbox
    return (box.left, box.bottom, box.right, box.top)
