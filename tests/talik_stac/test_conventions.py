"""Band names and radiometry of the catalogues, contradictions included."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from talik_stac.conventions import (
    Stated,
    band_role,
    common_name_of,
    default_scale,
    processing_baseline,
    product_of,
    quality_of_asset,
    radiometry,
)
from talik_stac.errors import ImageryError

BEFORE, AFTER = datetime(2021, 7, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC)


def s2(**properties: Any) -> dict[str, Any]:
    named = {key.replace("__", ":"): value for key, value in properties.items()}
    return {"id": "S2B_x", "collection": "sentinel-2-l2a", "properties": named, "assets": {}}


@pytest.mark.parametrize(
    ("item", "stated", "when", "offset", "warning"),
    [
        (s2(s2__processing_baseline="02.12"), None, BEFORE, 0.0, ""),
        (s2(s2__processing_baseline="05.11"), None, AFTER, -0.1, ""),
        (s2(s2__processing_baseline="05.00"), None, BEFORE, -0.1, ""),  # Collection 1 reprocessed the old years
        (s2(processing__version="05.11"), -0.1, AFTER, -0.1, ""),
        (s2(s2__product_uri="S2A_MSIL2A_20200714T115221_N0214_R123_T28QCH_x.SAFE"), None, BEFORE, 0.0, ""),
        (s2(s2__product_uri="S2A_MSIL2A_20240714T115221_N0511_R123_T28QCH_x.SAFE"), None, AFTER, -0.1, ""),
        (s2(s2__processing_baseline="05.11", earthsearch__boa_offset_applied=True), None, AFTER, 0.0, ""),
        (s2(s2__processing_baseline="05.11", earthsearch__boa_offset_applied=True), 0.0, AFTER, 0.0, ""),
        (
            s2(s2__processing_baseline="05.11", earthsearch__boa_offset_applied=True),
            -0.1,
            AFTER,
            0.0,
            "boa_offset_applied is true, yet raster offset is -0.1",
        ),
        (s2(sentinel__processing_baseline="04.00", sentinel__boa_offset_applied=True), None, AFTER, 0.0, ""),
        (s2(s2__processing_baseline="05.11", earthsearch__boa_offset_applied=False), -0.1, AFTER, -0.1, ""),
        (
            s2(s2__processing_baseline="05.11", earthsearch__boa_offset_applied=False),
            0.0,
            AFTER,
            -0.1,
            "boa_offset_applied is false",
        ),
        (s2(s2__processing_baseline="05.11"), 0.0, AFTER, 0.0, "raster offset is 0, yet processing baseline"),
        (s2(s2__processing_baseline="03.01"), None, AFTER, 0.0, "acquired 2024-07-01, yet processing baseline"),
        (s2(s2__processing_baseline="02.14"), -0.1, BEFORE, 0.0, "raster offset is -0.1, yet processing baseline"),
        (s2(), None, AFTER, -0.1, "no processing baseline"),
        (s2(), None, BEFORE, 0.0, "no processing baseline"),
        (s2(), -0.1, BEFORE, -0.1, ""),
    ],
)
def test_the_sentinel_2_offset_follows_flag_then_baseline_then_statement(
    item: dict[str, Any], stated: float | None, when: datetime, offset: float, warning: str
) -> None:
    found = radiometry(item, "sentinel-2", "green", Stated(offset=stated, scale=1e-4), when)
    assert found.scale == 1e-4
    assert found.offset == offset
    assert found.nodata == 0.0
    if warning:
        assert any(warning in said for said in found.warnings)
    else:
        assert found.warnings == ()


def test_landsat_and_hls_have_their_own_scales_and_a_statement_outweighs_them() -> None:
    item = {"id": "LC08_L2SP_x", "collection": "landsat-c2-l2", "properties": {}, "assets": {}}
    sr = radiometry(item, "landsat-c2-l2", "green", Stated(), AFTER)
    assert (sr.scale, sr.offset, sr.nodata) == (2.75e-5, -0.2, 0.0)
    kelvin = radiometry(item, "landsat-c2-l2", "lwir11", Stated(), AFTER)
    assert (kelvin.scale, kelvin.offset) == (0.00341802, 149.0)
    told = radiometry(item, "landsat-c2-l2", "green", Stated(scale=1e-4, nodata=-1), AFTER)
    assert (told.scale, told.offset, told.nodata) == (1e-4, 0.0, -1.0)
    assert radiometry(item, "hls-s30", "green", Stated(), AFTER).nodata == -9999.0


def test_an_unknown_product_without_scale_or_type_is_warned_of() -> None:
    found = radiometry({"id": "x", "properties": {}}, "other", "green", Stated(), AFTER)
    assert found.scale == 1e-4
    assert "neither scale nor data type" in found.warnings[0]
    assert radiometry({}, "other", "green", Stated(data_type="uint8"), AFTER).scale == 1 / 255
    assert [default_scale(t) for t in ("uint8", "uint16", "int16", "float32")] == [1 / 255, 1e-4, 1e-4, 1.0]


def test_words_of_people_become_roles() -> None:
    assert [band_role(word) for word in ("R", "G", "b", "NIR", "N", "Near Infrared", "swir1", "SCL", "-", "skip")] == [
        "red",
        "green",
        "blue",
        "nir",
        "nir",
        "nir",
        "swir16",
        "scl",
        None,
        None,
    ]
    with pytest.raises(ImageryError, match=r"unknown band role 'nirr'.*nir08"):
        band_role("nirr")


def test_codes_mean_what_their_sensor_says() -> None:
    assert common_name_of("B05", "sentinel-2") == "rededge"
    assert common_name_of("B05", "hls-l30") == "nir08"
    assert common_name_of("SR_B4", "landsat-c2-l2", "LC08_L2SP_1") == "red"
    assert common_name_of("SR_B4", "landsat-c2-l2", "LE07_L2SP_1") == "nir08"
    assert common_name_of("B8A", "hls-s30") == "nir08"
    assert common_name_of("B03_10m", "sentinel-2") == "green"
    assert common_name_of("B03", "other") is None


def test_products_and_their_quality_bands_are_told_by_their_items() -> None:
    assert product_of(s2()) == "sentinel-2"
    planet = {"id": "2020_x", "properties": {"constellation": "planetscope"}, "assets": {}}
    assert product_of(planet) == "planet"
    assert product_of({**s2(), "properties": {"talik:signature": "x"}}) == "other"
    assert quality_of_asset("SCL_20m", "sentinel-2") == "scl"
    assert quality_of_asset("scl-jp2", "sentinel-2") == "scl"
    assert quality_of_asset("ortho_udm2", "planet") == "udm2"
    assert quality_of_asset("QA_PIXEL.TIF", "landsat-c2-l2") == "qa_pixel"
    assert quality_of_asset("oa_fmask", "other") is None  # Geoscience Australia's codes are not those of HLS
    assert processing_baseline({"id": "S2C_MSIL2A_20250330T100051_N0511_R122_x", "properties": {}}) == 5.11
