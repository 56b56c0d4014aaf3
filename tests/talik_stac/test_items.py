"""Real items of the catalogues become scenes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pystac
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import mapping, shape

from talik_stac.errors import ImageryError
from talik_stac.items import bbox_parts, footprint_of, scene_from_item, split_antimeridian

SHARED = Path(os.environ.get("TALIK_SHARED_DATA", Path(__file__).parents[2] / ".." / "shared" / "data")).resolve()
needs_data = pytest.mark.skipif(not (SHARED / "stac").is_dir(), reason=f"{SHARED}/stac is absent")
BANDS = ("red", "green", "blue", "nir")


def real(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SHARED / "stac" / "odc_stac_tests" / name).read_text())
    return document["features"][0] if document["type"] == "FeatureCollection" else document


EARTH_SEARCH_V0 = "S2A_28QCH_20200714_0_L2A.json"
PLANETARY = "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531.json"
PLANETARY_RASTER = "S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531_raster_ext.json"
CDSE = "S2C_MSIL2A_20250330T100051_N0511_R122_T33UWP_20250330T145914_cdse_stac_v110.json"
LANDSAT = "LC08_L2SP_028030_20200114_20200824_02_T1_SR.json"


@pytest.mark.realdata
@needs_data
@pytest.mark.parametrize(
    ("name", "assets", "quality", "offset", "epsg"),
    [
        (EARTH_SEARCH_V0, ["B04", "B03", "B02", "B08"], ("scl", "SCL"), 0.0, 32628),
        (PLANETARY, ["B04", "B03", "B02", "B08"], ("scl", "SCL"), 0.0, 32606),
        (PLANETARY_RASTER, ["B04", "B03", "B02", "B08"], ("scl", "SCL"), 0.0, 32606),
        (CDSE, ["B04_10m", "B03_10m", "B02_10m", "B08_10m"], ("scl", "SCL_20m"), -0.1, 32633),
    ],
)
@pytest.mark.parametrize("migrated", [False, True])
def test_sentinel_2_items_of_three_catalogues_are_read_alike(
    name: str, assets: list[str], quality: tuple[str, str], offset: float, epsg: int, migrated: bool
) -> None:
    item = real(name)
    scene = scene_from_item(pystac.Item.from_dict(item) if migrated else item, BANDS)
    assert [scene.bands[band].asset for band in BANDS] == assets
    for band in scene.bands.values():
        assert (band.scale, band.offset, band.nodata, band.index) == (1e-4, offset, 0.0, 1)
        assert band.grid is not None
        assert band.grid.resolution.x == 10
        assert band.grid.shape == (10980, 10980)
        assert band.grid.crs is not None
        assert band.grid.crs.epsg == epsg
    assert scene.quality is not None
    assert (scene.quality.kind, scene.quality.asset) == quality
    assert scene.quality.grid is not None
    assert scene.quality.grid.resolution.x == 20
    assert scene.footprint.equals_exact(shape(item["geometry"]), 1e-9) or scene.footprint.equals(
        shape(item["geometry"])
    )


@pytest.mark.realdata
@needs_data
def test_cdse_keeps_its_s3_address_unless_https_is_preferred() -> None:
    item = real(CDSE)
    assert scene_from_item(item, ["green"]).bands["green"].href.startswith("s3://eodata/")
    https = scene_from_item(item, ["green"], prefer_https=True)
    assert https.bands["green"].href.startswith("https://zipper.dataspace.copernicus.eu/")
    assert https.quality is not None
    assert https.quality.href.startswith("https://")


@pytest.mark.realdata
@needs_data
def test_planetary_computer_files_are_warned_of_without_its_package() -> None:
    scene = scene_from_item(real(PLANETARY), BANDS)
    assert any("planetary-computer" in warning for warning in scene.warnings)


@pytest.mark.realdata
@needs_data
def test_landsat_serves_its_one_near_infrared_for_nir() -> None:
    scene = scene_from_item(real(LANDSAT), BANDS)
    assert scene.bands["nir"].asset == "nir08"
    assert (scene.bands["nir"].scale, scene.bands["nir"].offset) == (2.75e-5, -0.2)
    assert scene.quality is not None
    assert scene.quality.kind == "qa_pixel"
    old = scene_from_item(real("LC08_L2SR_081119_20200101_20200823_02_T2.json"), BANDS)  # STAC 1.0.0-beta
    assert [old.bands[band].asset for band in BANDS] == ["SR_B4.TIF", "SR_B3.TIF", "SR_B2.TIF", "SR_B5.TIF"]


@pytest.mark.realdata
@needs_data
def test_hls_items_that_say_little_are_read_by_their_file_names() -> None:
    items = json.loads((SHARED / "stac" / "pystac_client_sample-item-collection.json").read_text())["features"]
    for item in items:
        scene = scene_from_item(item, BANDS)
        assert (scene.bands["nir"].asset, scene.bands["red"].scale) == ("B05", 1e-4)
        assert scene.bands["nir"].grid is None
        assert scene.quality is not None
        assert scene.quality.kind == "fmask"
        assert scene.cloud_cover is not None


@pytest.mark.realdata
@needs_data
def test_a_hundred_items_of_stac_geoparquet_are_read() -> None:
    import stac_geoparquet.arrow
    from pyarrow import parquet

    table = parquet.read_table(SHARED / "stac" / "100-sentinel-2-items.parquet")
    items = list(stac_geoparquet.arrow.stac_table_to_items(table))
    scenes = [scene_from_item(item, BANDS) for item in items]
    assert len(scenes) == 100
    assert {band.offset for scene in scenes for band in scene.bands.values()} == {-0.1}  # baseline 05.11
    assert all(scene.footprint.is_valid and scene.quality is not None for scene in scenes)


@pytest.mark.realdata
@needs_data
def test_a_missing_band_names_the_bands_there_are() -> None:
    with pytest.raises(ImageryError, match="no band 'red'; there is: dem"):
        scene_from_item(real("lidar_dem.json"), BANDS)


def earth_search_v1(offset: float = -0.1, applied: bool = False) -> dict[str, Any]:
    """An item as Earth Search v1 writes them: COGs beside JPEG 2000, raster:bands with offset, a flag."""

    def asset(name: str, index: int, kind: str) -> dict[str, Any]:
        return {
            "href": f"https://example.org/{name}.{kind}",
            "type": "image/jp2" if kind == "jp2" else "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data", "reflectance"],
            "eo:bands": [{"name": name, "common_name": name}],
            "proj:shape": [10980, 10980],
            "proj:transform": [10, 0, 399960, 0, -10, 4500000],
            "raster:bands": [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": offset}],
        }

    names = ("red", "green", "blue", "nir")
    assets = {f"{name}-jp2": asset(name, i, "jp2") for i, name in enumerate(names)}
    assets |= {name: asset(name, i, "tif") for i, name in enumerate(names)}
    assets["visual"] = {**asset("red", 0, "tif"), "roles": ["visual"]}
    assets["thumbnail"] = {"href": "https://example.org/t.jpg", "type": "image/jpeg", "roles": ["thumbnail"]}
    scl = {"href": "https://example.org/scl.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}
    assets |= {"scl": scl, "scl-jp2": {**scl, "href": "https://example.org/scl.jp2", "type": "image/jp2"}}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_13TDE_20241203_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": mapping(shapely.box(-105, 39, -104, 40)),
        "bbox": [-105, 39, -104, 40],
        "properties": {
            "datetime": "2024-12-03T17:46:29Z",
            "proj:epsg": 32613,
            "s2:processing_baseline": "05.11",
            "earthsearch:boa_offset_applied": applied,
            "eo:cloud_cover": 3.5,
        },
        "links": [],
        "assets": assets,
    }


def test_earth_search_v1_gives_geotiff_before_jpeg_2000_and_its_flag_outweighs_the_offset() -> None:
    scene = scene_from_item(earth_search_v1(), BANDS)
    assert [scene.bands[band].href for band in BANDS] == [f"https://example.org/{band}.tif" for band in BANDS]
    assert {band.offset for band in scene.bands.values()} == {-0.1}
    assert scene.warnings == ()
    assert scene.quality is not None
    assert scene.quality.href.endswith("scl.tif")
    applied = scene_from_item(earth_search_v1(applied=True), BANDS)
    assert {band.offset for band in applied.bands.values()} == {0.0}
    assert len(applied.warnings) == 1  # one sentence for four bands


def test_a_multi_band_asset_gives_bands_by_their_place() -> None:
    item = earth_search_v1()
    del item["properties"]["s2:processing_baseline"]
    item["collection"], item["id"] = "naip", "nd_m_4709963"
    item["assets"] = {
        "image": {
            "href": "https://example.org/naip.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "eo:bands": [{"name": n, "common_name": n.lower()} for n in ("Red", "Green", "Blue", "NIR")],
            "raster:bands": [{"data_type": "uint8"}] * 4,
        }
    }
    scene = scene_from_item(item, BANDS)
    assert [scene.bands[band].index for band in BANDS] == [1, 2, 3, 4]
    assert scene.bands["nir"].scale == 1 / 255
    assert scene.quality is None


def test_a_footprint_that_jumps_over_the_antimeridian_is_split() -> None:
    ring = [(179.2, 70.0), (-179.3, 70.1), (-179.4, 71.0), (179.1, 70.9), (179.2, 70.0)]
    area = footprint_of({"id": "x", "geometry": {"type": "Polygon", "coordinates": [ring]}})
    assert area.geom_type == "MultiPolygon"
    assert area.is_valid
    assert area.bounds[0] == -180
    assert area.bounds[2] == 180
    assert area.area == pytest.approx(1.35, rel=0.05)
    box_only = footprint_of({"id": "x", "geometry": None, "bbox": [179.0, 70.0, -179.0, 71.0]})
    assert box_only.area == pytest.approx(2.0)
    assert bbox_parts([179.0, 70.0, 0.0, -179.0, 71.0, 9.0]) == [(179, 70, 180, 71), (-180, 70, -179, 71)]


@settings(max_examples=60, deadline=None)
@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-80, 80),
    width=st.floats(0.1, 40),
    height=st.floats(0.1, 5),
)
def test_splitting_keeps_the_area_of_any_box_however_its_longitudes_are_written(
    lon: float, lat: float, width: float, height: float
) -> None:
    corners = [(lon, lat), (lon + width, lat), (lon + width, lat + height), (lon, lat + height)]
    wrapped = [((x + 180) % 360 - 180, y) for x, y in corners]
    for written in (corners, wrapped):
        area = split_antimeridian(shapely.Polygon(written))
        assert area.is_valid
        assert area.area == pytest.approx(width * height, rel=1e-6)
        assert area.bounds[0] >= -180
        assert area.bounds[2] <= 180


def test_an_item_without_datetime_or_place_is_refused() -> None:
    item = earth_search_v1()
    item["properties"].pop("datetime")
    with pytest.raises(ImageryError, match="states no datetime"):
        scene_from_item(item, BANDS)
    item["properties"] |= {"start_datetime": "2024-07-01T00:00:00Z", "end_datetime": "2024-07-03T00:00:00Z"}
    assert scene_from_item(item, BANDS).datetime.isoformat() == "2024-07-02T00:00:00+00:00"
    with pytest.raises(ImageryError, match="neither geometry nor bbox"):
        footprint_of({"id": "x", "geometry": None})
