"""What catalogues call bands, and how each product's digital numbers become reflectance: tables and rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from talik_stac.errors import ImageryError
from talik_stac.scenes import QualityKind

Product = Literal["sentinel-1", "sentinel-2", "landsat-c2-l2", "hls-l30", "hls-s30", "planet", "other"]

QUALITY_KINDS: tuple[QualityKind, ...] = ("scl", "udm2", "fmask", "qa_pixel", "valid")

# The common names of the STAC eo extension v1.1 (and the numbered red edges that Earth Search uses).
COMMON_NAMES = frozenset(
    {
        "pan",
        "coastal",
        "blue",
        "green",
        "green05",
        "yellow",
        "red",
        "rededge",
        "rededge1",
        "rededge2",
        "rededge3",
        "rededge071",
        "rededge075",
        "rededge078",
        "nir",
        "nir08",
        "nir09",
        "cirrus",
        "swir16",
        "swir22",
        "lwir",
        "lwir11",
        "lwir12",
    }
)
BACKSCATTER = frozenset({"vv", "vh", "hh", "hv"})
"""Radar by polarisation: backscatter coefficient (gamma0 or sigma0) in linear power where nobody says otherwise."""
OTHER_NAMES = BACKSCATTER | {"grey"}
"""Bands that the eo extension has no name for; grey: one optical channel of a mosaic stretched for viewing."""
BAND_NAMES = COMMON_NAMES | OTHER_NAMES
_ROLE_ALIASES = {
    "gray": "grey",
    "b": "blue",
    "g": "green",
    "r": "red",
    "n": "nir",
    "near_infrared": "nir",
    "nearinfrared": "nir",
    "nir1": "nir",
    "red_edge": "rededge",
    "swir1": "swir16",
    "swir2": "swir22",
    "panchromatic": "pan",
    "coastal_aerosol": "coastal",
    "qa": "qa_pixel",
}
SKIPPED_ROLES = frozenset({"-", "_", "skip", ""})
"""Roles that say: this band of the file is not used."""

# Landsat 8-9 and HLS have one near infrared, whose common name is nir08; a request for nir is meant for it.
_SUBSTITUTES = {"nir": ("nir", "nir08"), "nir08": ("nir08",)}

_SENTINEL_2 = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge",
    "B06": "rededge",
    "B07": "rededge",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
_OLI = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "nir08",
    "B06": "swir16",
    "B07": "swir22",
    "B09": "cirrus",
}
_TM = {"B01": "blue", "B02": "green", "B03": "red", "B04": "nir08", "B05": "swir16", "B07": "swir22"}

_NODATA: dict[Product, float] = {"hls-l30": -9999.0, "hls-s30": -9999.0, "planet": 0.0}
"""Of products in reflectance x 10000 whose items need not state it."""

_BASELINE_IN_ID = re.compile(r"_N(\d{2})(\d{2})_")
_LANDSAT_ID = re.compile(r"^L[COTEM]0[1-9]_L2S[PR]_")
SIGNATURE = "talik:signature"
"""The property of items that `talik index` wrote: sha256 over their files and what was said of them."""

OFFSET_SINCE = datetime(2022, 1, 25, tzinfo=UTC)
"""The day Sentinel-2 processing baseline 04.00 came in: sentiwiki.copernicus.eu/web/s2-products."""


@dataclass(frozen=True, kw_only=True)
class Radiometry:
    """reflectance = digital number * scale + offset."""

    scale: float
    offset: float
    nodata: float | None
    warnings: tuple[str, ...] = ()
    """Where the metadata contradict each other, and the reading that was chosen."""


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What one band of an item says of itself; None where it says nothing."""

    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    data_type: str | None = None


def band_role(text: str) -> str | None:
    """Return the common name or quality kind a person's word means, None for a band that is not used.

    Raises ImageryError naming the words there are.
    """
    word = text.strip().lower().replace(" ", "_")
    if word in SKIPPED_ROLES:
        return None
    word = _ROLE_ALIASES.get(word, word)
    if word in BAND_NAMES or word in QUALITY_KINDS:
        return word
    raise ImageryError(
        f"unknown band role '{text}'; expected one of {', '.join(sorted(BAND_NAMES))}, "
        f"a quality band ({', '.join(QUALITY_KINDS)}), or '-' for a band that is not used"
    )


def quality_kind(name: str) -> QualityKind | None:
    """Return the quality kind a band name is, None where it is an ordinary band."""
    return next((kind for kind in QUALITY_KINDS if kind == name), None)


def substitutes(band: str) -> tuple[str, ...]:
    """The common names that serve a request, best first."""
    return _SUBSTITUTES.get(band, (band,))


def product_of(item: Mapping[str, Any]) -> Product:
    """Say whose conventions an item follows, from its collection, id and platform.

    Items that `talik index` wrote state everything themselves, whatever they are called.
    """
    if SIGNATURE in item["properties"]:
        return "other"
    properties = item["properties"]
    collection = str(item.get("collection") or properties.get("collection") or "").lower()
    platform = f"{properties.get('platform', '')} {properties.get('constellation', '')}".lower()
    hrefs = " ".join(str(asset.get("href", "")) for asset in item.get("assets", {}).values())
    rules: tuple[tuple[Product, bool], ...] = (
        ("hls-l30", "hlsl30" in collection or "HLS.L30" in hrefs),
        ("hls-s30", "hlss30" in collection or "HLS.S30" in hrefs),
        ("landsat-c2-l2", bool(_LANDSAT_ID.match(str(item["id"]))) or collection.startswith("landsat-c2")),
        ("sentinel-1", bool(re.search(r"sentinel[- ]?s?1", f"{collection} {platform}"))),
        ("sentinel-2", bool(re.search(r"sentinel[- ]?s?2", f"{collection} {platform}"))),
        ("planet", bool(re.search(r"planet|psscene|\bps2", f"{collection} {platform}"))),
    )
    return next((product for product, holds in rules if holds), "other")


def common_name_of(code: str, product: Product, item_id: str = "") -> str | None:
    """Return the common name of a band code (B03, SR_B3, B03_10m, nbart_green) of a known product."""
    word = code.lower().removeprefix("nbart_")
    if word in BAND_NAMES:
        return word
    match = re.match(r"^(?:SR_)?B(\d{1,2}|8A)(?:[._]|$)", code, re.IGNORECASE)
    if match is None:
        return None
    number = match.group(1).upper()
    key = "B8A" if number == "8A" else f"B{int(number):02d}"
    if product in ("sentinel-2", "hls-s30"):
        return _SENTINEL_2.get(key)
    if product == "hls-l30":
        return _OLI.get(key)
    if product == "landsat-c2-l2":
        table = _OLI if item_id.startswith(("LC08", "LC09", "LO08", "LO09")) else _TM
        return table.get(key)
    return None


def quality_of_asset(key: str, product: Product) -> QualityKind | None:
    """Return the kind of quality band an asset key names, None for any other asset."""
    word = re.sub(r"(?:[._]\d+m)?(?:\.tif|-jp2)?$", "", key.lower())
    if word == "scl" and product == "sentinel-2":
        return "scl"
    if word == "fmask" and product in ("hls-l30", "hls-s30"):
        return "fmask"
    if word == "qa_pixel" and product == "landsat-c2-l2":
        return "qa_pixel"
    return "udm2" if word in ("udm2", "ortho_udm2", "basic_udm2") else None


def processing_baseline(item: Mapping[str, Any]) -> float | None:
    """Return the Sentinel-2 processing baseline (5.11 for 05.11), None where the item does not say."""
    properties = item["properties"]
    for key in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        try:
            return float(properties[key])
        except (KeyError, TypeError, ValueError):
            continue
    names = (properties.get(key, "") for key in ("s2:product_uri", "sentinel:product_id"))
    for name in (*names, item["id"]):
        if match := _BASELINE_IN_ID.search(str(name)):
            return float(f"{match.group(1)}.{match.group(2)}")
    return None


def radiometry(item: Mapping[str, Any], product: Product, band: str, stated: Stated, when: datetime) -> Radiometry:
    """Choose scale, offset and nodata of one band: what the item states, checked against its product.

    Raises ImageryError for radar that is no backscatter on the ground.
    """
    if band in BACKSCATTER:
        return _backscatter(item, product, stated)
    if product == "sentinel-2":
        return _sentinel_2(item, stated, when)
    if product == "landsat-c2-l2":
        # USGS, Landsat Collection 2 Level-2 product guide: surface reflectance; temperature in kelvin.
        scale, offset = (0.00341802, 149.0) if band.startswith("lwir") else (2.75e-5, -0.2)
        return _or_default(stated, scale=scale, offset=offset, nodata=0.0)
    if product in _NODATA:
        return _or_default(stated, scale=1e-4, offset=0.0, nodata=_NODATA[product])
    if stated.scale is None and stated.data_type is None:
        found = _or_default(stated, scale=1e-4, offset=0.0, nodata=None)
        warning = "the item states neither scale nor data type; digital numbers are taken as reflectance x 10000"
        return Radiometry(scale=found.scale, offset=found.offset, nodata=found.nodata, warnings=(warning,))
    return _or_default(stated, scale=default_scale(stated.data_type or "uint16"), offset=0.0, nodata=None)


def default_scale(data_type: str) -> float:
    """The scale of digital numbers whose maker says nothing: 8 bit 1/255, wider integers 1e-4, floats 1."""
    if data_type in ("uint8", "int8"):
        return 1.0 / 255.0
    return 1.0 if data_type.startswith("float") else 1e-4


def _or_default(stated: Stated, *, scale: float, offset: float, nodata: float | None) -> Radiometry:
    if stated.scale is not None:  # a stated scale without offset means offset 0, as the raster extension says
        offset = 0.0
    return Radiometry(
        scale=scale if stated.scale is None else stated.scale,
        offset=offset if stated.offset is None else stated.offset,
        nodata=nodata if stated.nodata is None else stated.nodata,
    )


def _backscatter(item: Mapping[str, Any], product: Product, stated: Stated) -> Radiometry:
    """Radiometrically terrain corrected backscatter: float32 gamma0 in linear power, as it is.

    Planetary Computer's sentinel-1-rtc has -32768 where there is none, and sar:product_type GRD as what it was made
    from: so the collection tells them apart. ASF's HyP3 writes 0, which its files say.
    """
    collection = str(item.get("collection") or "").lower()
    if SIGNATURE not in item["properties"] and re.search(r"(^|[-_])(grd|slc)($|[-_])", collection):
        raise ImageryError(
            f"item {item['id']}: collection {collection} has numbers in the radar's own geometry, not calibrated; take "
            "terrain-corrected backscatter, such as sentinel-1-rtc of the Planetary Computer"
        )
    nodata = -32768.0 if product == "sentinel-1" else None
    return _or_default(stated, scale=default_scale(stated.data_type or "float32"), offset=0.0, nodata=nodata)


def _sentinel_2(item: Mapping[str, Any], stated: Stated, when: datetime) -> Radiometry:
    properties = item["properties"]
    applied = properties.get("earthsearch:boa_offset_applied", properties.get("sentinel:boa_offset_applied"))
    baseline = processing_baseline(item)
    offset, warnings = _sentinel_2_offset(stated.offset, applied if isinstance(applied, bool) else None, baseline, when)
    return Radiometry(
        scale=1e-4 if stated.scale is None else stated.scale,
        offset=offset,
        nodata=0.0 if stated.nodata is None else stated.nodata,
        warnings=tuple(warnings),
    )


def _sentinel_2_offset(
    stated: float | None, applied: bool | None, baseline: float | None, when: datetime
) -> tuple[float, list[str]]:
    """The offset in reflectance, and a sentence for each contradiction.

    Order of trust: the catalogue's flag that the pixels are already shifted (Element84 documents it for Earth
    Search); the processing baseline (ESA: 04.00 and later add 1000 to every number); the stated offset.
    """
    if applied:
        conflict = f"boa_offset_applied is true, yet raster offset is {stated or 0:g}; read as offset 0"
        return 0.0, [conflict] if stated else []
    if baseline is None:
        if stated is not None:
            return stated, []
        offset = -0.1 if when >= OFFSET_SINCE else 0.0
        return offset, [f"no processing baseline is given; offset {offset:g} follows the date {when:%Y-%m-%d}"]
    name = f"processing baseline is {baseline:05.2f}"
    if baseline < 4.0:
        return 0.0, _before_offset(stated, name, when)
    if stated != 0.0:
        return (-0.1 if stated is None else stated), []
    if applied is False:
        name += " and boa_offset_applied is false"
    offset = -0.1 if applied is False else 0.0
    return offset, [f"raster offset is 0, yet {name}; read as offset {offset:g}"]


def _before_offset(stated: float | None, name: str, when: datetime) -> list[str]:
    """What contradicts a baseline before 04.00, whose numbers have no offset."""
    warnings = []
    if stated:
        warnings.append(f"raster offset is {stated:g}, yet {name}, before 04.00; read as offset 0")
    if when >= OFFSET_SINCE:
        warnings.append(f"acquired {when:%Y-%m-%d}, yet {name}; read as offset 0, the baseline's")
    return warnings
