"""pystac-client against a recorded STAC API: pages, retries, and errors of one line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import shapely
from shapely.geometry import mapping

from stac_server import RecordedStacServer
from talik_stac.catalogs import CatalogOptions, scenes_from_catalog
from talik_stac.errors import ImageryError, NoScenesError

SHARED = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
needs_data = pytest.mark.skipif(not (SHARED / "stac").is_dir(), reason=f"{SHARED}/stac is absent")
BANDS = ("green", "nir")


def item(day: int, *, cloud: float | None = 5.0, west: float = 10.0, bands: tuple[str, ...] = BANDS) -> dict[str, Any]:
    """An item of July 2020, a degree wide."""
    east = west + 1 if west + 1 <= 180 else west + 1 - 360
    geometry = (
        shapely.box(west, 60, west + 1, 61)
        if east > west
        else shapely.MultiPolygon([shapely.box(west, 60, 180, 61), shapely.box(-180, 60, east, 61)])
    )
    properties: dict[str, Any] = {"datetime": f"2020-07-{day:02d}T10:00:00Z", "proj:epsg": 32632}
    if cloud is not None:
        properties["eo:cloud_cover"] = cloud
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": f"scene-{west:g}-{day:02d}",
        "collection": "aerial",
        "geometry": mapping(geometry),
        "bbox": [west, 60, east, 61],
        "properties": properties,
        "links": [],
        "assets": {
            band: {
                "href": f"https://example.org/{day}/{band}.tif",
                "type": "image/tiff; application=geotiff",
                "roles": ["data"],
                "eo:bands": [{"name": band, "common_name": band}],
                "raster:bands": [{"data_type": "uint16", "scale": 1e-4, "offset": 0.0}],
            }
            for band in bands
        },
    }


ITEMS = [item(day, cloud=day if day % 4 else None) for day in range(1, 29)]
QUICK = CatalogOptions(retries=1, timeout_s=5)
HERE = (10.2, 60.2, 10.4, 60.4)


@pytest.fixture
def server() -> Iterator[RecordedStacServer]:
    with RecordedStacServer(ITEMS, page_size=5) as running:
        yield running


def july(day: int) -> datetime:
    return datetime(2020, 7, day, tzinfo=UTC)


def test_all_pages_are_read_and_sorted(server: RecordedStacServer) -> None:
    scenes = scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=HERE)
    assert [scene.datetime.day for scene in scenes] == list(range(1, 29))
    assert sum(path == "/search" for _, path, _ in server.requests) == 6
    assert scenes[0].bands["nir"].href == "https://example.org/1/nir.tif"


def test_the_season_and_the_cloud_limit_hold_and_unknown_cloud_passes(server: RecordedStacServer) -> None:
    scenes = scenes_from_catalog(
        server.url, "aerial", bands=BANDS, aoi=HERE, start=july(3), end=july(13), max_cloud_percent=6
    )
    assert [scene.datetime.day for scene in scenes] == [3, 4, 5, 6, 8, 12]
    assert {scene.cloud_cover for scene in scenes if scene.datetime.day in (4, 8, 12)} == {None}


def test_a_geometry_that_misses_its_own_bbox_corner_finds_nothing_there(server: RecordedStacServer) -> None:
    triangle = shapely.Polygon([(9, 60), (9, 62), (11, 62)])
    assert len(scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=triangle)) == 28
    beside = shapely.Polygon([(9, 60.5), (9, 62), (10.4, 62)])
    with pytest.raises(NoScenesError):
        scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=beside)


@pytest.mark.parametrize("sort", [True, False])
def test_no_scenes_says_what_was_searched_and_the_nearest_date(sort: bool) -> None:
    with RecordedStacServer(ITEMS, sort=sort) as server, pytest.raises(NoScenesError) as caught:
        scenes_from_catalog(
            server.url,
            "aerial",
            bands=BANDS,
            aoi=HERE,
            start=datetime(2021, 6, 1, tzinfo=UTC),
            end=datetime(2021, 9, 30, tzinfo=UTC),
        )
    said = str(caught.value)
    assert "no scene of collection 'aerial' in bbox 10.2,60.2,10.4,60.4 from 2021-06-01 to 2021-09-30" in said
    assert "the nearest date is 2020-07-28" in said


def test_too_much_cloud_and_no_place_are_told_apart(server: RecordedStacServer) -> None:
    with pytest.raises(NoScenesError, match="with at most 2 % cloud; 2 cloudier scenes"):
        scenes_from_catalog(
            server.url, "aerial", bands=BANDS, aoi=HERE, start=july(9), end=july(11), max_cloud_percent=2
        )
    with pytest.raises(NoScenesError, match="nor near it in time"):
        scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=(50.0, 0.0, 51.0, 1.0), start=july(1))


def test_an_area_across_the_antimeridian_is_asked_for_in_two_parts() -> None:
    far = [item(3, west=179.5), item(4, west=178.2), item(5, west=-179.4), item(6, west=0.0)]
    with RecordedStacServer(far) as server:
        scenes = scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=(179.0, 60.0, -179.0, 61.0))
        assert [scene.datetime.day for scene in scenes] == [3, 4, 5]
        asked = next(body for _, path, body in server.requests if path == "/search")
        assert asked["intersects"]["type"] == "MultiPolygon"
    assert scenes[0].footprint.geom_type == "MultiPolygon"


def test_an_unknown_collection_lists_those_there_are(server: RecordedStacServer) -> None:
    with pytest.raises(ImageryError, match=r"no collection 'naip'; there is: aerial$"):
        scenes_from_catalog(server.url, "naip", bands=BANDS, aoi=HERE)


def test_a_catalogue_that_is_busy_is_asked_again() -> None:
    with RecordedStacServer(ITEMS[:2], failures=2) as server:
        options = CatalogOptions(retries=3)
        assert len(scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=HERE, options=options)) == 2


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9", "does not answer: Connection refused"),
        ("earth-search", "is no address"),
        ("{url}/missing", "answers 404"),
        ("{url}/conformance", "does not answer as a STAC API"),
        ("{url}/collections", "does not answer as a STAC API"),
    ],
)
def test_an_address_without_stac_api_is_one_clear_line(server: RecordedStacServer, address: str, said: str) -> None:
    with pytest.raises(ImageryError, match=said) as caught:
        scenes_from_catalog(address.format(url=server.url), "aerial", bands=BANDS, aoi=HERE, options=QUICK)
    assert "\n" not in str(caught.value)


def test_a_catalogue_without_search_or_with_too_much_says_so() -> None:
    with (
        RecordedStacServer(ITEMS, search=False) as server,
        pytest.raises(ImageryError, match="without item search"),
    ):
        scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=HERE)
    with RecordedStacServer(ITEMS) as server, pytest.raises(ImageryError, match="more than 7 items"):
        scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=HERE, options=CatalogOptions(max_items=7))


def test_items_that_lack_a_band_are_left_out_unless_all_do(caplog: pytest.LogCaptureFixture) -> None:
    mixed = [item(1), item(2, bands=("green",))]
    with RecordedStacServer(mixed) as server:
        scenes = scenes_from_catalog(server.url, "aerial", bands=BANDS, aoi=HERE)
        assert [scene.datetime.day for scene in scenes] == [1]
        assert "scene-10-02 has no band 'nir'" in caplog.text
        with pytest.raises(ImageryError, match="no band 'red'; there is: green"):
            scenes_from_catalog(server.url, "aerial", bands=("red",), aoi=HERE)


@pytest.mark.realdata
@needs_data
def test_a_search_over_real_sentinel_2_items_gives_readable_scenes() -> None:
    folder = SHARED / "stac" / "odc_stac_tests"
    found = {}
    for name in ("site1-20200606-tall-strip-africa.geojson", "site2-2020_jun_jul-35MNM.geojson"):
        found |= {feature["id"]: feature for feature in json.loads((folder / name).read_text())["features"]}
    collection = json.loads((folder / "sentinel-2-l2a.collection.json").read_text())
    with RecordedStacServer(list(found.values()), [collection], page_size=4) as server:
        area = shapely.Point(27.5, -7.7).buffer(0.05)
        scenes = scenes_from_catalog(
            server.url, "sentinel-2-l2a", bands=("red", "green", "blue", "nir"), aoi=area, max_cloud_percent=2
        )
    assert [scene.datetime.strftime("%m-%d") for scene in scenes] == [
        "06-06",
        "06-11",
        "06-16",
        "06-21",
        "07-06",
        "07-16",
        "07-21",
        "07-26",
        "07-31",
    ]
    assert all(scene.footprint.intersects(area) and scene.quality is not None for scene in scenes)
