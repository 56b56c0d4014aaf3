"""The local index: written once, searched by place, time, cloud and band."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import geopandas
import pyarrow.parquet
import pystac
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping

from talik_stac import imagery
from talik_stac.errors import ImageryError, NoScenesError
from talik_stac.imagery import (
    collections,
    link_in_catalog,
    nearest_date,
    no_scenes_error,
    read_items,
    scenes_from_index,
    write_index,
)
from talik_stac.store import Store, open_store

BANDS = ("green", "nir")
START = datetime(2020, 1, 1, tzinfo=UTC)


def item(
    number: int, *, west: float = 10.0, south: float = 60.0, cloud: float | None = None, bands: tuple[str, ...] = BANDS
) -> dict[str, Any]:
    """An item a degree wide, `number` days after the first of January 2020."""
    east = west + 1 if west + 1 <= 180 else west + 1 - 360
    area = (
        shapely.box(west, south, west + 1, south + 1)
        if east > west
        else shapely.MultiPolygon([shapely.box(west, south, 180, south + 1), shapely.box(-180, south, east, south + 1)])
    )
    when = START + timedelta(days=number)
    properties: dict[str, Any] = {"datetime": when.isoformat().replace("+00:00", "Z"), "proj:epsg": 32632}
    properties["proj:code"] = "EPSG:32632"
    if cloud is not None:
        properties["eo:cloud_cover"] = cloud
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": f"scene-{number:04d}",
        "collection": "c",
        "geometry": mapping(area),
        "bbox": [west, south, east, south + 1],
        "properties": properties,
        "links": [{"rel": "collection", "href": "./collection.json", "type": "application/json"}],
        "assets": {
            "image": {
                "href": f"/data/{number}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "proj:shape": [100, 100],
                "proj:transform": [10.0, 0.0, 500000.0, 0.0, -10.0, 6700000.0],
                "eo:bands": [{"name": band, "common_name": band} for band in bands],
                "raster:bands": [{"data_type": "uint8", "scale": 1 / 255, "offset": 0.0}] * len(bands),
            }
        },
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def test_scenes_come_sorted_by_date_within_the_season(store: Store) -> None:
    write_index(store, "c", [item(n) for n in (30, 10, 20, 40)])
    scenes = scenes_from_index(store, "c", bands=BANDS, start=day(10), end=day(30))
    assert [scene.id for scene in scenes] == ["scene-0010", "scene-0020", "scene-0030"]
    assert scenes[0].bands["nir"].index == 2
    assert scenes[0].bands["nir"].grid is not None
    assert collections(store) == ["c"]


def test_cloudier_scenes_are_left_out_and_unknown_cloud_passes(store: Store) -> None:
    write_index(store, "c", [item(1, cloud=10), item(2, cloud=90), item(3)])
    scenes = scenes_from_index(store, "c", bands=BANDS, max_cloud_percent=80)
    assert [scene.id for scene in scenes] == ["scene-0001", "scene-0003"]
    write_index(store, "none-known", [item(1), item(2)])
    assert len(scenes_from_index(store, "none-known", bands=BANDS, max_cloud_percent=1)) == 2


@settings(max_examples=40, deadline=None)
@given(
    wests=st.lists(st.integers(-180, 179), min_size=1, max_size=8),
    west=st.integers(-180, 180),
    width=st.integers(1, 90),
)
def test_a_search_by_bbox_equals_the_geometry_of_a_turning_globe(
    tmp_path_factory: pytest.TempPathFactory, wests: list[int], west: int, width: int
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("s")))
    # half-degree offsets: edges never merely touch
    write_index(store, "c", [item(n, west=w + 0.5) for n, w in enumerate(wests)])
    east = west + width if west + width <= 180 else west + width - 360
    scenes = scenes_from_index(store, "c", bands=BANDS, bbox=(west, 60.2, east, 60.4))
    expected = [
        n
        for n, w in enumerate(wests)
        if any(w + 0.5 + turn < west + width and w + 1.5 + turn > west for turn in (-360, 0, 360))
    ]
    assert [int(scene.id[-4:]) for scene in scenes] == expected


def test_an_unknown_collection_lists_those_there_are(store: Store) -> None:
    with pytest.raises(ImageryError, match="there is: none yet"):
        scenes_from_index(store, "naip", bands=BANDS)
    write_index(store, "aerial", [item(1)])
    with pytest.raises(ImageryError, match=r"no imagery collection 'naip'.*there is: aerial\. Make it with"):
        scenes_from_index(store, "naip", bands=BANDS)
    with pytest.raises(ImageryError, match="is no name"):
        scenes_from_index(store, "../naip", bands=BANDS)


def test_a_missing_band_names_the_bands_there_are(store: Store) -> None:
    write_index(store, "c", [item(1)])
    with pytest.raises(ImageryError, match="scene-0001 has no band 'red'; there is: green, nir"):
        scenes_from_index(store, "c", bands=("red",))


def test_no_scenes_says_what_was_searched_and_the_nearest_date(store: Store) -> None:
    write_index(store, "c", [item(10, cloud=50), item(200), item(20, west=30.0)])
    here = (10.2, 60.2, 10.4, 60.4)
    error = no_scenes_error(store, "c", bbox=here, start=day(60), end=day(90))
    assert isinstance(error, NoScenesError)
    assert "in bbox 10.2,60.2,10.4,60.4 from 2020-03-01 to 2020-03-31" in str(error)
    assert "searched 2 scenes there, the nearest date is 2020-01-11" in str(error)
    assert "its 3 scenes cover 10,60,31,61" in str(no_scenes_error(store, "c", bbox=(50, 0, 51, 1)))
    cloudy = no_scenes_error(store, "c", bbox=here, start=day(9), end=day(11), max_cloud_percent=20)
    assert "1 cloudier scenes there" in str(cloudy)
    beside = no_scenes_error(store, "c", bbox=here, start=day(199), end=day(201), max_cloud_percent=20)
    assert "1 scenes touch its bbox only" in str(beside)  # the area is not its bbox
    assert nearest_date(store, "c", bbox=here, start=day(150), end=day(160)) == day(200)
    assert nearest_date(store, "c", bbox=(50, 0, 51, 1)) is None


def test_equal_items_give_equal_bytes_in_any_order(store: Store) -> None:
    items = [item(n, cloud=n if n % 2 else None) for n in range(12)]
    write_index(store, "c", items)
    first = store.get("imagery/c/items.parquet")
    write_index(store, "c", list(reversed(read_items(store, "c"))))
    assert store.get("imagery/c/items.parquet") == first
    assert read_items(store, "c")[3] == json.loads(json.dumps(items[3]))


def test_items_lie_in_row_groups_by_date(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagery, "_ROWS_PER_GROUP", 10)
    write_index(store, "c", [item(n) for n in range(60)])
    file = pyarrow.parquet.ParquetFile(io.BytesIO(store.get("imagery/c/items.parquet")))
    assert file.num_row_groups == 6
    assert file.metadata.row_group(0).num_rows == 10
    assert len(scenes_from_index(store, "c", bands=BANDS, start=day(15), end=day(24))) == 10


def test_files_in_the_store_are_named_relative_so_that_it_may_move(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "a"))
    own = item(1)
    own["assets"]["image"]["href"] = store.url("imagery/c/scene-0001/x.tif")
    write_index(store, "c", [own, item(2)])
    (tmp_path / "a").rename(tmp_path / "b")
    moved = open_store(str(tmp_path / "b"))
    hrefs = [found["assets"]["image"]["href"] for found in read_items(moved, "c")]
    assert hrefs == [moved.url("imagery/c/scene-0001/x.tif"), "/data/2.tif"]


def test_the_index_is_geoparquet_and_its_documents_are_valid_stac(store: Store) -> None:
    write_index(store, "c", [item(1), item(2, west=179.5)])
    table = geopandas.read_parquet(io.BytesIO(store.get("imagery/c/items.parquet")))
    assert len(table) == 2
    assert table.crs.to_epsg() in (4326, None)
    for found in read_items(store, "c"):
        pystac.Item.from_dict(found).validate()
    collection = pystac.Collection.from_dict(json.loads(store.get("imagery/c/collection.json")))
    collection.validate()
    assert collection.extent.spatial.bboxes == [[-180.0, 60.0, 180.0, 61.0]]
    catalog = pystac.Catalog.from_dict(json.loads(store.get("catalog.json")))
    catalog.validate()


def test_the_root_catalog_keeps_what_others_linked(store: Store) -> None:
    link_in_catalog(store, href="./inventories/water/collection.json", title="water")
    write_index(store, "c", [item(1)])
    write_index(store, "a", [item(1)])
    before = store.get("catalog.json")
    write_index(store, "c", [item(1)])
    assert store.get("catalog.json") == before
    children = [link["href"] for link in json.loads(before)["links"] if link["rel"] == "child"]
    assert children == [
        "./imagery/a/collection.json",
        "./imagery/c/collection.json",
        "./inventories/water/collection.json",
    ]


def test_a_damaged_index_is_one_clear_line(store: Store) -> None:
    store.put("imagery/c/items.parquet", b"PAR1 not parquet")
    with pytest.raises(ImageryError, match=r"items\.parquet is no index of imagery.*talik index again") as caught:
        read_items(store, "c")
    assert "\n" not in str(caught.value)


def test_an_index_in_s3_is_searched_like_one_in_a_folder(s3_environment: str) -> None:
    store = open_store("s3://talik-test/imagery-test")
    own = item(1)
    own["assets"]["image"]["href"] = store.url("imagery/c/scene-0001/x.tif")
    write_index(store, "c", [own])
    scene = scenes_from_index(store, "c", bands=BANDS, bbox=(10.2, 60.2, 10.4, 60.4))[0]
    assert scene.bands["green"].href == "s3://talik-test/imagery-test/imagery/c/scene-0001/x.tif"
