"""The real series and the real Sentinel-2 pair, end to end by the command."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio

from talik_stac.changes import diff
from talik_stac.editions import list_editions
from talik_stac.store import open_store

DATA = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
TALIK = Path(sys.executable).parent / "talik"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real data of ../shared are not at {DATA}"),
]


def talik(*arguments: object) -> str:
    done = subprocess.run([str(TALIK), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ten dates of the NAIP series, mapped by the example that the README names."""
    store = tmp_path_factory.mktemp("naip") / "store"
    example = Path(__file__).parents[1] / "examples" / "series.sh"
    folder = DATA / "timeseries_naip_landsat" / "naip"
    subprocess.run(
        [str(example), str(folder), "naip", "R,G,B,NIR", str(store)],
        check=True,
        env={**os.environ, "TALIK": str(TALIK)},
        stdout=subprocess.DEVNULL,
    )
    return store


def test_every_date_of_the_series_is_an_edition_of_its_own_pixels(series: Path) -> None:
    """Each edition holds the pixels that NDWI > 0 finds in its image, counted with numpy."""
    editions = list_editions(open_store(str(series)), "water")
    assert len(editions) == 10
    for edition in editions:
        (path,) = (DATA / "timeseries_naip_landsat" / "naip").glob(f"*_{edition.season_start.year}*.tif")
        with rasterio.open(path) as source:
            _, green, _, nir = source.read().astype(np.float64)
        total = np.maximum(green + nir, 1e-6)
        probability = np.rint(((green - nir) / total + 1) / 2 * 250)
        expected = int(((probability > 125) & ((green != 0) | (nir != 0))).sum())
        probability_sum = 0
        for tile in sorted((series / edition.prefix / "probability").glob("*.tif")):
            with rasterio.open(tile) as source:
                found = source.read(1)
            probability_sum += int(((found > 125) & (found != 255)).sum())
        assert probability_sum == expected
        inventory = geopandas.read_parquet(series / edition.prefix / "inventory.parquet")
        assert 0.8 * expected < inventory["pixels"].sum() <= expected, "only ponds below 400 m2 are left out"
        assert inventory["area_m2"].min() >= 400


GOLDEN = {
    2009: (104, 2.304),
    2010: (291, 7.676),
    2012: (217, 5.270),
    2014: (328, 9.636),
    2015: (232, 4.601),
    2016: (297, 5.456),
    2017: (144, 4.044),
    2018: (232, 4.301),
    2019: (215, 4.728),
    2020: (222, 5.919),
}
"""Objects and km2 of each date, as first published (November 2026)."""


def test_the_series_is_mapped_as_it_was_when_first_published(series: Path) -> None:
    editions = list_editions(open_store(str(series)), "water")
    found = {e.season_start.year: (e.count, e.area_m2 / 1e6) for e in editions}
    assert found.keys() == GOLDEN.keys()
    for year, (count, km2) in GOLDEN.items():
        assert found[year] == (count, pytest.approx(km2, abs=1e-3)), year


def test_ponds_keep_their_ids_through_the_years(series: Path) -> None:
    store = open_store(str(series))
    editions = list_editions(store, "water")
    ids = [set(geopandas.read_parquet(series / e.prefix / "inventory.parquet")["id"]) for e in editions]
    for before, after in pairwise(ids):
        assert len(before & after) > 50
    changes = diff(store, editions[0].id, editions[-1].id)
    assert changes.table["area_b_m2"].sum() == pytest.approx(editions[-1].area_m2)


def test_the_inn_river_is_mapped_on_both_dates_of_one_file(tmp_path: Path) -> None:
    store = tmp_path / "store"
    image = DATA / "s2_scenes" / "ftw_inn_river" / "inference-img.tif"
    dates = ["--datetime", "2021-06-01", "--datetime", "2021-09-01"]  # the file does not say which they are
    talik("index", image, "--collection", "inn", "--bands", "R,G,B,NIR", *dates, "--store", store)
    for season in ("2021-06-01", "2021-09-01"):
        talik("map", "--landform", "water", "--season", season, "--collection", "inn", "--store", store)
    editions = list_editions(open_store(str(store)))
    assert len(editions) == 2
    rivers = [
        geopandas.read_parquet(store / edition.prefix / "inventory.parquet").nlargest(1, "area_m2")
        for edition in editions
    ]
    for river in rivers:
        assert river["area_m2"].iloc[0] > 1e6, "the Inn"
        assert bool(river["on_data_edge"].iloc[0]), "it runs on beyond the image"
    assert rivers[0]["id"].iloc[0] == rivers[1]["id"].iloc[0]
