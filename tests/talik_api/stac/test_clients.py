"""Clients that know nothing of Talik, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from pystac_client import Client

from world import WATER, World

MANY = 2_500


@pytest.fixture
def client(address: str) -> Client:
    return Client.open(f"{address}/stac")


def ids(found: Any) -> list[str]:
    return [item.id for item in found.items()]


def test_pystac_client_finds_every_collection(client: Client) -> None:
    assert {each.id for each in client.get_collections()} == {"inventories-water", "many", "single", "test"}
    assert client.get_collection("test").extent.spatial.bboxes[0][0] == pytest.approx(12.648, abs=1e-3)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_all_items_hold_each_once_newest_first(client: Client, method: str) -> None:
    found = client.search(collections=["many"], limit=300, method=method)
    assert found.matched() == MANY
    assert ids(found) == [f"many-{number:05d}" for number in reversed(range(MANY))]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_break_inside_ties_and_put_nulls_last(client: Client, method: str) -> None:
    order = [("eo:cloud_cover", "desc"), ("platform", "asc")]
    sortby = [{"field": f"properties.{name}", "direction": direction} for name, direction in order]
    found = [
        (item.properties.get("eo:cloud_cover"), item.properties["platform"], item.id)
        for item in client.search(collections=["many"], limit=170, sortby=sortby, method=method).items()
    ]
    assert len({each[2] for each in found}) == MANY
    assert found == sorted(found, key=lambda each: (each[0] is None, -(each[0] or 0), each[1], each[2]))


def test_every_parameter_at_once_gives_what_a_loop_gives(client: Client) -> None:
    area = shapely.box(-30, 69, 40, 70.5)
    found = client.search(
        collections=["many", "test"],
        intersects=shapely.geometry.mapping(area),
        datetime="2019-02-01T00:00:00Z/2019-03-01T00:00:00Z",
        query={"eo:cloud_cover": {"gte": 2, "lt": 6}, "platform": {"in": ["platform_0", "platform_2"]}},
        filter={"op": "<>", "args": [{"property": "eo:cloud_cover"}, 3]},
        sortby=["+eo:cloud_cover", "-id"],
        fields={"include": ["properties.eo:cloud_cover"], "exclude": ["assets"]},
        limit=4,
        method="POST",
    )
    expected = []
    for item in client.search(collections=["many"], limit=1000).items():
        cloud = item.properties.get("eo:cloud_cover")
        inside = datetime(2019, 2, 1, tzinfo=UTC) <= item.datetime <= datetime(2019, 3, 1, tzinfo=UTC)
        known = cloud is not None and 2 <= cloud < 6 and cloud != 3 and item.properties["platform"] != "platform_1"
        if inside and known and shapely.geometry.shape(item.geometry).intersects(area):
            expected.append((cloud, item.id))
    expected.sort(key=lambda each: each[1], reverse=True)
    expected.sort(key=lambda each: each[0])
    assert len(expected) > 8
    pages = list(found.items_as_dicts())
    assert [(item["properties"]["eo:cloud_cover"], item["id"]) for item in pages] == expected
    assert all("assets" not in item and "platform" not in item["properties"] for item in pages)


def test_cql2_text_and_json_agree_over_http(client: Client) -> None:
    text = client.search(
        collections=["many"],
        filter="platform = 'platform_1' AND eo:cloud_cover BETWEEN 2 AND 4",
        filter_lang="cql2-text",
    )
    tree = {
        "op": "and",
        "args": [
            {"op": "=", "args": [{"property": "platform"}, "platform_1"]},
            {"op": "between", "args": [{"property": "eo:cloud_cover"}, 2, 4]},
        ],
    }
    assert text.matched() == client.search(collections=["many"], filter=tree, filter_lang="cql2-json").matched() > 100


def test_editions_are_items_whose_files_can_be_had(client: Client, address: str) -> None:
    [item] = client.search(collections=["inventories-water"], datetime="2021-07-01T00:00:00Z").items()
    assert item.datetime is None
    assert item.properties["start_datetime"] == "2021-06-01T00:00:00Z"
    assert item.get_collection().id == "inventories-water"
    assert item.get_root().id == "talik"
    assert item.assets["inventory-parquet"].href == f"{address}/editions/{item.id}/files/inventory.parquet"
    probability = next(asset.href for key, asset in item.assets.items() if key.startswith("probability"))
    with rasterio.open(probability) as source:
        assert set(np.unique(source.read(1))) <= {50, 200, 255}
        assert source.nodata == 255


def test_an_item_s_asset_opens_in_gdal_through_the_service(client: Client, stac_world: World) -> None:
    item = client.get_collection("test").get_item("left_20210701")
    assert item.get_self_href().endswith("/stac/collections/test/items/left_20210701")
    with (
        rasterio.open(item.assets["image"].href) as remote,
        rasterio.open(stac_world.folder / "imagery" / "left_20210701.tif") as local,
    ):
        np.testing.assert_array_equal(remote.read(), local.read())
        assert remote.crs == local.crs


def test_stacit_mosaics_a_search(address: str) -> None:
    source = f'STACIT:"{address}/stac/search?collections=test":asset=image'
    with rasterio.open(source) as mosaic:
        assert mosaic.crs.to_epsg() == 32633
        assert (mosaic.width, mosaic.height) == (128 + 96, 128)
        assert set(np.unique(mosaic.read(1))) == {600, WATER[0]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_odc_stac_loads_items_of_a_search(client: Client) -> None:
    import odc.stac

    loaded = odc.stac.load(client.search(collections=["test"]).items(), bands=["green"], chunks=None)
    assert loaded.sizes == {"time": 2, "y": 128, "x": 224}
    assert int((loaded.green == WATER[0]).sum()) == 2 * 40 * 60


@pytest.mark.filterwarnings("ignore")
def test_stackstac_stacks_items_of_a_search(client: Client) -> None:
    # stackstac reads files of one band only, and knows proj:epsg but not the newer proj:code
    import stackstac

    found = client.search(collections=["single"]).item_collection()
    stack = stackstac.stack(found, assets=list(found[0].assets), epsg=32633, rescale=False)
    assert stack.sizes["time"] == 1
    assert float(stack.isel(band=0).max().compute()) == WATER[0]


def test_every_item_is_valid_by_pystac(client: Client) -> None:
    checked = 0
    for item in client.search(collections=["inventories-water"]).items():
        assert isinstance(item, pystac.Item)
        item.stac_extensions = []  # their schemas are not at hand without a network
        checked += len(item.validate())
    assert checked == 1


def test_stac_api_validator_finds_no_error(address: str) -> None:
    area = shapely.geometry.mapping(shapely.box(12.6, 67.5, 12.8, 67.7))
    script = Path(__file__).with_name("validate_api.py")
    ran = subprocess.run(
        [sys.executable, str(script), address, "test", json.dumps(area)], capture_output=True, text=True, check=False
    )
    assert "Errors: none" in ran.stdout, ran.stdout[-3000:] + ran.stderr[-1000:]
    assert ran.returncode == 0
