"""Radar items become scenes: Sentinel-1 RTC as the Planetary Computer writes it, and our own."""

from __future__ import annotations

from typing import Any

import pytest

from talik_stac.conventions import BACKSCATTER, COMMON_NAMES, band_role, product_of
from talik_stac.errors import ImageryError
from talik_stac.items import scene_from_item

TIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def rtc(**changes: Any) -> dict[str, Any]:
    """An item with the fields that Microsoft's notebook sentinel-1-rtc-example prints; its asset hrefs are made up."""
    assets = {
        name: {
            "href": f"https://example.com/{name}.rtc.tiff",
            "type": TIFF,
            "title": f"{name.upper()}: terrain-corrected gamma naught",
            "roles": ["data"],
            "raster:bands": [{"nodata": -32768, "data_type": "float32", "spatial_resolution": 10.0}],
        }
        for name in ("vh", "vv")
    }
    assets["rendered_preview"] = {"href": "https://example.com/preview.png", "type": "image/png", "roles": ["overview"]}
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S1A_IW_GRDH_1SDV_20220504T233157_20220504T233222_043068_05249C_rtc",
        "collection": "sentinel-1-rtc",
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[-80.8, 8.5], [-78.3, 8.5], [-78.3, 10.4], [-80.8, 10.4], [-80.8, 8.5]]],
        },
        "bbox": [-80.8, 8.5, -78.3, 10.4],
        "properties": {
            "constellation": "Sentinel-1",
            "datetime": "2022-05-04T23:32:10.313109Z",
            "platform": "SENTINEL-1A",
            "proj:epsg": 32617,
            "proj:shape": [28806, 21907],
            "proj:transform": [10.0, 0.0, 519430.0, 0.0, -10.0, 1154570.0, 0.0, 0.0, 1.0],
            "sar:instrument_mode": "IW",
            "sar:looks_equivalent_number": 4.4,
            "sar:polarizations": ["VV", "VH"],
            "sar:product_type": "GRD",
        },
        "assets": assets,
        "links": [],
    }
    return {**item, **changes}


def test_sentinel_1_rtc_is_linear_power_with_its_own_nodata_and_no_quality_band() -> None:
    scene = scene_from_item(rtc(), ["vv", "vh"])
    assert product_of(rtc()) == "sentinel-1"
    for name in ("vv", "vh"):
        band = scene.bands[name]
        assert (band.asset, band.index) == (name, 1)
        assert (band.scale, band.offset, band.nodata) == (1.0, 0.0, -32768.0)
        assert band.grid is not None
        assert band.grid.resolution.x == 10
    assert scene.quality is None
    assert scene.cloud_cover is None
    assert scene.warnings == ()


def test_an_item_that_states_no_raster_bands_is_read_as_the_product_is() -> None:
    item = rtc()
    del item["assets"]["vv"]["raster:bands"]
    scene = scene_from_item(item, ["vv"])
    assert (scene.bands["vv"].scale, scene.bands["vv"].nodata) == (1.0, -32768.0)
    assert scene.warnings == (), "power is not reflectance x 10000"


def test_a_polarisation_that_is_not_there_names_those_there_are() -> None:
    with pytest.raises(ImageryError, match=r"no band 'hh'; there is: vh, vv"):
        scene_from_item(rtc(), ["hh"])


@pytest.mark.parametrize("collection", ["sentinel-1-grd", "sentinel-1-slc", "SENTINEL-1-GRD"])
def test_uncalibrated_radar_is_refused_with_what_to_take_instead(collection: str) -> None:
    with pytest.raises(ImageryError, match=r"not calibrated; take terrain-corrected .* sentinel-1-rtc"):
        scene_from_item(rtc(collection=collection), ["vv"])


def test_items_that_talik_wrote_may_be_called_anything() -> None:
    item = rtc(collection="my-grd")
    item["properties"]["talik:signature"] = "0" * 64
    assert scene_from_item(item, ["vv"]).bands["vv"].scale == 1.0


def test_polarisations_and_grey_are_words_for_bands_outside_the_closed_list() -> None:
    assert [band_role(word) for word in ("VV", "vh", "Grey", "gray")] == ["vv", "vh", "grey", "grey"]
    assert not BACKSCATTER & COMMON_NAMES
