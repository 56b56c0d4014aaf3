"""A STAC item as JSON -> a Scene: which asset holds each band, on what grid, in what radiometry."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pystac
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.geometry import MultiPolygon, Polygon, box, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from talik_stac.antimeridian import split_unwrapped
from talik_stac.conventions import (
    Product,
    Stated,
    common_name_of,
    product_of,
    quality_kind,
    quality_of_asset,
    radiometry,
    substitutes,
)
from talik_stac.errors import ImageryError
from talik_stac.scenes import Band, Quality, Scene

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_NOT_DATA = frozenset({"thumbnail", "overview", "visual", "metadata", "tiles"})
_PICTURES = re.compile(r"^(visual|tci|preview|rendered_preview|thumbnail|browse|overview)([_-].*)?$", re.IGNORECASE)
_LAYERS = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "application/x-hdf")


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """One band of one asset, as the item describes it."""

    key: str
    asset: Mapping[str, Any]
    index: int
    names: tuple[str, ...]
    """Common name first, then the band's own name, lower case."""
    described: Mapping[str, Any]
    """What the item says of the band: raster:bands and bands entries over asset fields."""
    single: bool
    """Whether the asset holds this band alone."""

    @property
    def rank(self) -> tuple[bool, float, bool, str]:
        """Best first: a file of its own, the finest pixels, GeoTIFF before JPEG 2000."""
        return not self.single, _resolution(self), _is_jp2(self.asset), self.key


def scene_from_item(
    item: pystac.Item | Mapping[str, Any], bands: Sequence[str], *, prefer_https: bool = False
) -> Scene:
    """Reduce a STAC item to the named bands (common names). Knows Earth Search, Planetary Computer and CDSE.

    `prefer_https` takes the alternate https href where there is one (CDSE then wants a token; its own href is
    s3://eodata). Raises ImageryError naming the bands there are.
    """
    raw: Mapping[str, Any] = item.to_dict(transform_hrefs=False) if isinstance(item, pystac.Item) else item
    product, when = product_of(raw), item_datetime(raw)
    candidates = list(_candidates(raw, product))
    found: dict[str, Band] = {}
    warnings: list[str] = []
    for name in bands:
        chosen = _choose(candidates, name)
        if chosen is None:
            there = sorted({candidate.names[0] for candidate in candidates if candidate.names})
            raise ImageryError(
                f"item {raw['id']} has no band '{name}'; there is: {', '.join(there) or 'no band'}. Take imagery that "
                "has it, or a model that needs no such band (`talik models list`, then --model)"
            )
        values = radiometry(raw, product, name, _stated(chosen), when)
        warnings += values.warnings
        found[name] = Band(
            name=name,
            asset=chosen.key,
            href=_href(chosen.asset, raw, prefer_https),
            index=chosen.index,
            scale=values.scale,
            offset=values.offset,
            nodata=values.nodata,
            grid=_grid(raw, chosen.asset),
        )
    warnings += _signing_warnings(found.values())
    cloud = raw["properties"].get("eo:cloud_cover")
    return Scene(
        id=str(raw["id"]),
        collection=str(raw.get("collection") or ""),
        datetime=when,
        cloud_cover=None if cloud is None else float(cloud),
        footprint=footprint_of(raw),
        bands=found,
        quality=_quality(raw, product, candidates, prefer_https),
        item=dict(raw),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def item_datetime(item: Mapping[str, Any]) -> datetime:
    """Return the acquisition time in UTC; the middle where the item gives a start and an end only."""
    properties = item["properties"]
    if properties.get("datetime"):
        return parse_datetime(properties["datetime"])
    try:
        start = parse_datetime(properties["start_datetime"])
        return start + (parse_datetime(properties["end_datetime"]) - start) / 2
    except KeyError as error:
        raise ImageryError(f"item {item['id']} states no datetime; STAC items need one") from error


def parse_datetime(value: str | datetime) -> datetime:
    """Parse RFC 3339 text; UTC where no zone is given."""
    when = value if isinstance(value, datetime) else datetime.fromisoformat(value.replace("Z", "+00:00"))
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry:
    """Return the item's geometry: lon/lat, valid, split at the antimeridian; its bbox where it has none."""
    if item.get("geometry"):
        return split_antimeridian(shape(item["geometry"]))
    if item.get("bbox"):
        return unary_union([box(*part) for part in bbox_parts(tuple(item["bbox"]))])
    raise ImageryError(f"item {item['id']} has neither geometry nor bbox")


def bbox_parts(bbox: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """Split a bbox (west, south, east, north, or six numbers) that crosses the antimeridian in two."""
    west, south, east, north = (bbox[0], bbox[1], bbox[3], bbox[4]) if len(bbox) == 6 else bbox
    if west <= east:
        return [(west, south, east, north)]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]


def split_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """Return the polygons within [-180, 180], cut at the antimeridian.

    A part wider than 180 degrees is one that crosses it: so catalogues write tiles of UTM zones 1 and 60.
    """
    parts = [part for polygon in _polygons(geometry) for part in _split(polygon)]
    return unary_union(parts)


def _split(polygon: Polygon) -> Iterator[BaseGeometry]:
    west, _, east, _ = polygon.bounds
    if east - west > 180 and west >= -180 and east <= 180:
        polygon = shapely.transform(polygon, _eastwards)
    yield from (split_unwrapped(part) for part in _polygons(shapely.make_valid(polygon)))


def _eastwards(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) lon/lat with lon in [0, 360)."""
    return np.column_stack([lonlat[:, 0] % 360.0, lonlat[:, 1]])


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    if isinstance(geometry, Polygon):
        return [] if geometry.is_empty else [geometry]
    if isinstance(geometry, MultiPolygon) or hasattr(geometry, "geoms"):
        return [polygon for part in geometry.geoms for polygon in _polygons(part)]
    return []


def _candidates(item: Mapping[str, Any], product: Product) -> Iterator[_Candidate]:
    for key, asset in item.get("assets", {}).items():
        if not _is_layer(key, asset):
            continue
        entries = _band_entries(asset)
        for number, entry in enumerate(entries, start=1):
            names = _names(key, entry, product, str(item["id"]), single=len(entries) == 1)
            described = {**{k: v for k, v in asset.items() if k != "bands"}, **entry}
            yield _Candidate(
                key=key, asset=asset, index=number, names=names, described=described, single=len(entries) == 1
            )


def _is_layer(key: str, asset: Mapping[str, Any]) -> bool:
    """Whether an asset holds pixels to compute with, not a picture or a text."""
    roles = set(asset.get("roles") or ())
    if _PICTURES.match(key) or ((roles & _NOT_DATA) and "data" not in roles and not roles & {"cloud"}):
        return False
    kind = str(asset.get("type") or "")
    href = str(asset.get("href", "")).lower().split("?")[0]
    return kind.startswith(_LAYERS) if kind else href.endswith((".tif", ".tiff", ".jp2"))


def _band_entries(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The bands of an asset in file order: STAC 1.1 `bands`, else eo:bands joined with raster:bands."""
    if asset.get("bands"):
        return [dict(band) for band in asset["bands"]]
    eo = [band for band in asset.get("eo:bands") or () if isinstance(band, Mapping)]
    raster = [band for band in asset.get("raster:bands") or () if isinstance(band, Mapping)]
    count = max(len(eo), len(raster), 1)
    entries: list[dict[str, Any]] = [{} for _ in range(count)]
    for described in (raster, eo):
        for entry, band in zip(entries, described, strict=False):
            entry.update(band)
    return entries


def _names(key: str, entry: Mapping[str, Any], product: Product, item_id: str, *, single: bool) -> tuple[str, ...]:
    """The band's common name first, then its own name and, where it is alone, its asset's key."""
    own = str(entry.get("name") or "")
    common = entry.get("eo:common_name") or entry.get("common_name")
    code = common_name_of(own, product, item_id) or (common_name_of(key, product, item_id) if single else None)
    names = [str(name).lower() for name in (common, code, own, key if single else None) if name]
    return tuple(dict.fromkeys(names))


def _choose(candidates: Sequence[_Candidate], band: str) -> _Candidate | None:
    for name in substitutes(band.lower()):
        # A band's first name outweighs its others: B8A is rededge to the Planetary Computer.
        first = [c for c in candidates if c.names[:1] == (name,)]
        matches = first or [c for c in candidates if name in c.names]
        if matches:
            return min(matches, key=lambda candidate: candidate.rank)
    return None


def _quality(
    item: Mapping[str, Any], product: Product, candidates: Sequence[_Candidate], prefer_https: bool
) -> Quality | None:
    """The product's own quality band: by the asset's key, or by the band's name in items that we wrote."""
    found = []
    for candidate in candidates:
        named = next((kind for name in candidate.names if (kind := quality_kind(name))), None)
        kind = quality_of_asset(candidate.key, product) or (named if product == "other" else None)
        if kind is not None and (candidate.index == 1 or not candidate.single):
            found.append((candidate.rank, candidate.index, kind, candidate))
    if not found:
        return None
    _, index, kind, chosen = min(found, key=lambda entry: (_resolution(entry[3]), entry[0][2:], entry[1]))
    return Quality(
        kind=kind,
        asset=chosen.key,
        href=_href(chosen.asset, item, prefer_https),
        index=index,
        grid=_grid(item, chosen.asset),
    )


def _stated(candidate: _Candidate) -> Stated:
    """Collect scale, offset, nodata and type from the raster extension v1 and v2 and from STAC 1.1 fields."""
    described = candidate.described

    def number(*keys: str) -> float | None:
        for key in keys:
            value = described.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            if isinstance(value, str):
                return float(value)  # the raster extension writes "nan", "inf" and "-inf"
        return None

    return Stated(
        scale=number("raster:scale", "scale"),
        offset=number("raster:offset", "offset"),
        nodata=number("nodata"),
        data_type=described.get("data_type"),
    )


def _grid(item: Mapping[str, Any], asset: Mapping[str, Any]) -> GeoBox | None:
    """The pixel grid by proj:shape, proj:transform and the CRS of the asset, else of the item."""
    properties = item["properties"]

    def field(name: str) -> Any:
        return asset.get(name) if asset.get(name) is not None else properties.get(name)

    shape_yx, affine = field("proj:shape"), field("proj:transform")
    crs = field("proj:code") or field("proj:wkt2") or field("proj:projjson")
    if crs is None and field("proj:epsg"):
        crs = f"EPSG:{int(field('proj:epsg'))}"
    if not shape_yx or not affine or crs is None:
        return None
    from odc.geo.geobox import GeoBox  # late: it brings dask where that is installed

    try:
        text = crs if isinstance(crs, str) else CRS.from_json_dict(crs).to_wkt()
        return GeoBox((int(shape_yx[0]), int(shape_yx[1])), Affine(*(float(v) for v in affine[:6])), text)
    except (CRSError, ValueError, TypeError) as error:
        raise ImageryError(f"item {item['id']}: its proj fields describe no grid: {error}") from error


def _href(asset: Mapping[str, Any], item: Mapping[str, Any], prefer_https: bool) -> str:
    if prefer_https and (https := (asset.get("alternate") or {}).get("https")):
        return str(https["href"])
    href = str(asset["href"])
    if re.match(r"^[a-z0-9]+://", href) or href.startswith("/"):
        return href
    own = next((link["href"] for link in item.get("links") or () if link.get("rel") == "self"), None)
    return pystac.utils.make_absolute_href(href, own) if own else href


def _resolution(candidate: _Candidate) -> float:
    """Pixel size for comparing assets of one item, in metres or units of its CRS; large where unknown."""
    affine = candidate.asset.get("proj:transform")
    if affine:
        return abs(float(affine[0]))
    for key in ("spatial_resolution", "raster:spatial_resolution", "gsd"):
        if candidate.described.get(key) is not None:
            return float(candidate.described[key])
    match = re.search(r"_(\d+)m$", candidate.key)
    return float(match.group(1)) if match else 1e9


def _is_jp2(asset: Mapping[str, Any]) -> bool:
    return "jp2" in str(asset.get("type") or "") or str(asset.get("href", "")).lower().endswith(".jp2")


def _signing_warnings(bands: Iterable[Band]) -> list[str]:
    if not any(".blob.core.windows.net/" in band.href and "?" not in band.href for band in bands):
        return []
    if importlib.util.find_spec("planetary_computer") is not None:
        return []
    return [
        "the files lie at blob.core.windows.net, which needs signed URLs: pip install planetary-computer, "
        "then search again"
    ]
