"""Every recipe on real imagery by the command, with tiny models in the place of the learned ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
import typer
from affine import Affine
from click.testing import CliRunner
from rasterio.features import shapes

from talik_stac.cli import app
from talik_stac.editions import Edition, list_editions
from talik_stac.errors import ImageryError
from talik_stac.store import open_store
from tiny_models import dark

DATA = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
S1 = DATA / "s1_glacial_lakes_nepal"
CREVASSES = DATA / "crevasse_moa_antarctica"
NAIP = DATA / "timeseries_naip_landsat" / "naip"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not S1.is_dir(), reason=f"the real data of ../shared are not at {DATA}"),
]


def talik(*words: object) -> str:
    """Run the command; what it said."""
    done = CliRunner().invoke(typer.main.get_command(app), [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def inventory(store: Path, edition: Edition) -> geopandas.GeoDataFrame:
    return geopandas.read_parquet(store / edition.prefix / "inventory.parquet")


def one_edition(store: Path, landform: str) -> Edition:
    (edition,) = list_editions(open_store(str(store)), landform)
    return edition


def labelled_lake(name: str) -> shapely.Geometry:
    """The lake that the publishers drew, EPSG:32645: the masks carry no CRS and have the chip's grid."""
    with rasterio.open(S1 / "SAR_model_data" / "Prelabelled" / name) as chip:
        transform = chip.transform
    with rasterio.open(S1 / "SAR_model_data" / "Labelled" / name) as mask:
        drawn = (mask.read(1) > 0.5).astype(np.uint8)
    parts = [shapely.geometry.shape(part) for part, _ in shapes(drawn, mask=drawn == 1, transform=transform)]
    return shapely.union_all(parts)


def share_found(found: geopandas.GeoDataFrame, lake: shapely.Geometry) -> float:
    """How much of the drawn lake lies in objects of the inventory."""
    objects = shapely.union_all(found.to_crs("EPSG:32645").geometry.to_numpy())
    return float(objects.intersection(lake).area / lake.area)


LAKE = "S1A_IW_20210814T001137_DVP_RTC20_G_gpufed_7C84_VV.tif_clipped_to_tshoRolpaAOI.geojson.tif"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_season_of_sentinel_1_chips_becomes_an_edition_of_glacial_lakes(tmp_path: Path) -> None:
    """Bytes equalised for viewing; roles and dates are in the names, nodata in the files."""
    store = tmp_path / "store"
    chips = sorted((S1 / "SAR_model_data" / "Prelabelled").glob("S1A_IW_2021*tshoRolpa*.tif"))
    said = talik("index", *chips, "-c", "s1", "--store", store)
    assert f"{len(chips)} new" in said
    assert "uint8 without scale: backscatter" in said
    model = dark(tmp_path / "dark", bands=("vv",), below=0.2, radius=1, landform="glacial_lake")
    base = ("map", "--landform", "glacial_lake", "--season", "2021", "--collection", "s1", "--store", store)
    assert "warning" not in talik(*base, "--name", "tsho-rolpa", "--model", model, "--workers", 1)
    edition = one_edition(store, "glacial_lake")
    assert edition.id == "glacial_lake-tsho-rolpa-2021-v1"
    found = inventory(store, edition)
    assert found["area_m2"].min() >= 3000
    assert share_found(found, labelled_lake(LAKE)) > 0.8
    talik(*base, "--name", "tsho-rolpa", "--model", model, "--workers", 1, "--despeckle", "ppb")
    again = list_editions(open_store(str(store)), "glacial_lake")
    assert [each.id[-2:] for each in again] == ["v1", "v2"]
    record = json.loads((store / again[1].prefix / "run.json").read_text())
    assert record["recipe"]["despeckle"]["method"] == "ppb"
    assert any("8 bits, no linear power" in warning for warning in record["warnings"])


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_speckle_filter_leaves_the_lake_and_takes_specks_of_real_backscatter(tmp_path: Path) -> None:
    store = tmp_path / "store"
    series = sorted((S1 / "raw_gamma0_tshoRolpa").glob("S1A_IW_2021*.tif"))
    said = talik("index", *series, "-c", "gamma0", "--store", store)
    assert "float32 without scale: backscatter (linear power, no decibels) taken as the number itself" in said
    model = dark(tmp_path / "dark", bands=("vv",), below=0.04, landform="glacial_lake")
    base = ("map", "--landform", "glacial_lake", "--season", "2021-08-14", "--collection", "gamma0", "--min-area", 0)
    rest = ("--model", model, "--store", store, "--workers", 1)
    assert "warning" not in talik(*base, *rest, "--name", "plain", "--no-despeckle")
    assert "warning" not in talik(*base, *rest, "--name", "filtered", "--despeckle", "ppb,looks=4.4")
    editions = {each.area: each for each in list_editions(open_store(str(store)), "glacial_lake")}
    plain, filtered = (inventory(store, editions[name]) for name in ("plain", "filtered"))
    lake = labelled_lake(LAKE)
    assert len(filtered) < 0.75 * len(plain), "153 and 96 when this was written"
    assert share_found(filtered, lake) > share_found(plain, lake) - 0.02
    assert share_found(filtered, lake) > 0.8


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_images_without_a_place_are_refused_until_they_are_given_one(tmp_path: Path) -> None:
    """The fracture images have no CRS; the place that the test gives one of them is made up."""
    store = tmp_path / "store"
    image = CREVASSES / "data_validset" / "fracture_3x4.tif"
    options = ("-c", "moa", "--bands", "grey", "--scale", 1 / 65535, "--nodata", 0, "--datetime", "2009-01-15")
    with pytest.raises(ImageryError, match=r"has no georeference; give it one with gdal_translate .*-a_srs"):
        talik("index", image, *options, "--store", store)
    placed = tmp_path / "fracture_3x4.tif"
    rasterio.shutil.copy(image, placed, driver="GTiff")
    with rasterio.open(placed, "r+") as target:
        target.crs = "EPSG:3031"
        target.transform = Affine(125, 0, -1_500_000, 0, -125, 1_000_000)
    talik("index", placed, *options, "--store", store)
    model = dark(tmp_path / "dark", bands=("grey",), below=0.3, radius=1, landform="ice_fracture", resolution_max_m=150)
    base = ("map", "--landform", "ice_fracture", "--season", "2008", "--collection", "moa", "--name", "made-up-place")
    talik(*base, "--model", model, "--store", store, "--workers", 1)
    edition = one_edition(store, "ice_fracture")
    assert edition.id == "ice_fracture-made-up-place-2008-v1"
    found = inventory(store, edition)
    assert len(found) > 0
    assert found["area_m2"].min() >= 62_500
    with rasterio.open(image) as source:
        numbers = source.read(1)
    for tile in (store / edition.prefix / "probability").glob("*.tif"):
        with rasterio.open(tile) as source:
            valid = int((source.read(1) != 255).sum())
        assert valid == int((numbers != 0).sum()), "beyond the ice shelf there is no data"


def test_red_green_blue_of_an_aeroplane_is_mapped_as_thaw_slumps(tmp_path: Path) -> None:
    """The place has no slumps: what is dark in a tiny model's eyes stands for them."""
    store = tmp_path / "store"
    image = next(NAIP.glob("*_2012*.tif"))
    talik("index", image, "-c", "naip", "--bands", "R,G,B,-", "--store", store)
    bands = ("red", "green", "blue")
    model = dark(tmp_path / "dark", bands=bands, below=0.25, radius=1, landform="thaw_slump")
    base = ("map", "--landform", "thaw_slump", "--season", "2012", "--collection", "naip", "--name", "cottonwood")
    talik(*base, "--model", model, "--store", store, "--workers", 1)
    edition = one_edition(store, "thaw_slump")
    assert edition.id == "thaw_slump-cottonwood-2012-v1"
    found = inventory(store, edition)
    assert set(found["landform"]) == {"thaw_slump"}
    assert found["area_m2"].min() >= 500
    with rasterio.open(image) as source:
        mean = source.read([1, 2, 3]).mean(axis=0) / 255
    assert found["area_m2"].sum() == pytest.approx((mean < 0.25).sum() * 25, rel=0.3)
