"""Files that other people's programs read untouched: rio-cogeo, pystac, geopandas, GDAL, odc-stac."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import geopandas
import numpy as np
import odc.stac
import pystac
import pytest
import rasterio
from rio_cogeo.cogeo import cog_validate

from making import grid_at, write_tif
from talik_inference.pipeline import MapResult
from talik_stac.imagery import read_items
from talik_stac.store import open_store
from world import World, around, paint


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, MapResult]:
    world = World(folder=tmp_path_factory.mktemp("standards"))
    rng = np.random.default_rng(0)
    water = rng.random((700, 800)) > 0.7
    water[100:300, 200:500] = True
    pixels = (paint(water) * rng.uniform(0.8, 1.2, (2, 700, 800))).astype(np.uint16)
    grid = grid_at(40_000, -540_000, 700, 800)
    world.add("a_20210715", pixels, grid)
    return world, world.map(around(grid))


def test_probability_files_are_valid_cogs(mapped: tuple[World, MapResult]) -> None:
    world, result = mapped
    for path in world.probability(result):
        valid, errors, warnings = cog_validate(path)
        assert valid, (errors, warnings)
        with rasterio.open(path) as source:
            assert source.nodata == 255
            assert source.scales == (1 / 250,)


def test_converted_imagery_is_a_valid_cog_of_the_same_pixels(tmp_path: Path) -> None:
    world = World(folder=tmp_path)
    grid = grid_at(40_000, -540_000, 700, 800)
    pixels = np.random.default_rng(0).integers(1, 9000, (2, 700, 800)).astype(np.uint16)
    striped = write_tif(tmp_path / "striped_20210715.tif", pixels, grid, nodata=0, tiled=False)
    assert not cog_validate(striped, strict=True)[0]
    world.index([striped], bands=("green", "nir"))
    (converted,) = Path(world.root).glob("imagery/test/*/*.tif")
    assert cog_validate(converted, strict=True)[0]
    with rasterio.open(converted) as source:
        assert np.array_equal(source.read(), pixels)


def test_every_stac_document_is_valid_and_every_link_leads_somewhere(mapped: tuple[World, MapResult]) -> None:
    world, result = mapped
    catalog = pystac.Catalog.from_file(str(Path(world.root) / "catalog.json"))
    catalog.validate()
    (item,) = [item for item in catalog.get_items(recursive=True) if item.id == result.edition.id]
    item.stac_extensions = []  # their schemas are not to be had offline
    item.validate()
    for asset in item.assets.values():
        assert Path(asset.get_absolute_href() or "").exists()


def test_geopandas_reads_a_part_by_bbox(mapped: tuple[World, MapResult]) -> None:
    world, result = mapped
    path = Path(world.root) / result.edition.prefix / "inventory.parquet"
    everything = geopandas.read_parquet(path)
    west, south, east, north = everything.total_bounds
    middle = (west, south, (west + east) / 2, (south + north) / 2)
    some = geopandas.read_parquet(path, bbox=middle)
    assert 0 < len(some) < len(everything)
    assert everything.crs == "OGC:CRS84"


def test_odc_stac_loads_the_items_of_the_index(mapped: tuple[World, MapResult]) -> None:
    world, _ = mapped
    items = [pystac.Item.from_dict(item) for item in read_items(open_store(world.root), "test")]
    cube = odc.stac.load(items, bands=["green", "nir"])
    assert cube["green"].shape == (1, 700, 800)


@pytest.fixture
def item_collection(mapped: tuple[World, MapResult], tmp_path: Path) -> Path:
    world, _ = mapped
    path = tmp_path / "items.json"
    items = read_items(open_store(world.root), "test")
    path.write_text(json.dumps({"type": "FeatureCollection", "stac_version": "1.0.0", "features": list(items)}))
    return path


def test_gdal_opens_the_items_as_one_mosaic(item_collection: Path) -> None:
    """GDAL's STACIT driver, in the GDAL of rasterio's wheel."""
    with rasterio.open(f"STACIT:{item_collection}") as source:
        assert (source.height, source.width) == (700, 800)
        assert source.read(1).max() > 0


@pytest.mark.parametrize("name", ["inventory.fgb", "inventory.parquet"])
def test_ogrinfo_counts_the_objects(mapped: tuple[World, MapResult], name: str) -> None:
    ogrinfo = shutil.which("ogrinfo")
    if ogrinfo is None:
        pytest.skip("ogrinfo is not installed (Debian: gdal-bin)")
    world, result = mapped
    path = Path(world.root) / result.edition.prefix / name
    done = subprocess.run([ogrinfo, "-so", "-al", str(path)], capture_output=True, text=True, check=False)
    if "Parquet" in done.stderr or (name.endswith("parquet") and done.returncode):
        pytest.skip("this GDAL has no Parquet driver")
    assert f"Feature Count: {result.edition.count}" in done.stdout
