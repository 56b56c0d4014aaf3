"""Write a STAC item for files of one date: proj, eo, raster and file extensions, every field that readers look for.

STAC 1.0.0 with eo:bands and raster:bands, and proj:epsg beside proj:code: GDAL 3.6-3.10 (STACIT) and stackstac read
no other; pystac, pystac-client and odc-stac bring them up to 1.1 themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from talik_inference.described import FileBand, Part
from talik_inference.footprint import lonlat_bbox
from talik_inference.naming import is_quality
from talik_stac.conventions import COMMON_NAMES, SIGNATURE

_EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.2.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Where the pixels of a file lie."""

    href: str
    """An absolute path, or s3://bucket/key."""
    key: str | None
    """The store's key of a converted file, None for a COG that stays where it is."""
    checksum: str
    """Multihash of the file at `href`."""
    size_bytes: int
    source_checksum: str
    """Multihash of the file that was given."""
    conversion: str | None = None
    """Names what a converted file was made from and how; None for a COG that stays where it is."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file and what it gives to the item."""

    part: Part
    file: Placed


def asset_key(part: Part, group: Sequence[Part]) -> str:
    """Return the key of a file's asset: its band where it holds one, else image, image-2, ..."""
    if len(part.used) == 1:
        return str(part.used[0].role)
    several = [other for other in group if len(other.used) > 1]
    number = several.index(part) + 1
    return "image" if number == 1 else f"image-{number}"


def build_item(
    *,
    collection: str,
    item_id: str,
    assets: Mapping[str, Asset],
    footprint: BaseGeometry,
    signature: str,
) -> dict[str, Any]:
    """Return the STAC item as JSON; equal arguments give equal items."""
    parts = [asset.part for asset in assets.values()]
    properties: dict[str, Any] = {
        "datetime": parts[0].when.isoformat().replace("+00:00", "Z"),
        **_crs_fields(parts[0]),
        SIGNATURE: signature,
    }
    if len({(part.crs.to_wkt(), part.transform, part.shape_yx) for part in parts}) == 1:
        properties |= _grid_fields(parts[0])
    clouds = [part.cloud_cover for part in parts if part.cloud_cover is not None]
    if clouds:
        properties["eo:cloud_cover"] = float(clouds[0])
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": item_id,
        "collection": collection,
        "geometry": mapping(footprint),
        "bbox": lonlat_bbox(footprint),
        "properties": properties,
        "links": [
            {"rel": "collection", "href": "./collection.json", "type": "application/json"},
            {"rel": "parent", "href": "./collection.json", "type": "application/json"},
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
        ],
        "assets": {key: _asset(asset) for key, asset in sorted(assets.items())},
    }


def _asset(asset: Asset) -> dict[str, Any]:
    part, file = asset.part, asset.file
    quality_only = all(is_quality(band.role) for band in part.used)
    return {
        "href": file.href,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "roles": ["data", "cloud"] if quality_only else ["data"],
        **_crs_fields(part),
        **_grid_fields(part),
        "eo:bands": [_eo_band(band) for band in part.bands],
        "raster:bands": [_raster_band(band, abs(part.transform.a)) for band in part.bands],
        "file:checksum": file.checksum,
        "file:size": file.size_bytes,
        "talik:source": str(part.path),
        "talik:source_checksum": file.source_checksum,
        **({} if file.conversion is None else {"talik:conversion": file.conversion}),
    }


def _eo_band(band: FileBand) -> dict[str, Any]:
    """Bands are named by place in the list; a band of another date keeps its place and has no common name."""
    if band.role is None:
        return {"name": f"band{band.index}"}
    if band.role not in COMMON_NAMES:  # the extension's list is closed: no radar, no quality
        return {"name": band.role}
    return {"name": band.role, "common_name": band.role}


def _raster_band(band: FileBand, resolution: float) -> dict[str, Any]:
    described: dict[str, Any] = {"data_type": band.data_type, "spatial_resolution": float(resolution)}
    # NaN is no data in any file; JSON has no NaN, and an Arrow column holds numbers or text, not both
    if band.nodata is not None and np.isfinite(band.nodata):
        described["nodata"] = float(band.nodata)
    if band.role is not None and not is_quality(band.role):
        described |= {"scale": float(band.scale), "offset": float(band.offset)}
    return described


def _crs_fields(part: Part) -> dict[str, Any]:
    epsg = part.crs.to_epsg()
    if epsg is None:
        return {"proj:wkt2": part.crs.to_wkt()}
    return {"proj:epsg": epsg, "proj:code": f"EPSG:{epsg}"}


def _grid_fields(part: Part) -> dict[str, Any]:
    grid = GeoBox(part.shape_yx, part.transform, part.crs.to_wkt())
    return {
        "proj:shape": list(part.shape_yx),
        "proj:transform": [float(value) for value in part.transform[:6]],
        "proj:bbox": [float(value) for value in grid.boundingbox.bbox],
    }
