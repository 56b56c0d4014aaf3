"""Polygons that users hand in: WKT, GeoJSON and vector files in any CRS, united in lon/lat."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from talik_stac.antimeridian import check_valid, polygons_of, split_polygon
from talik_stac.errors import AoiError

METRES = "; if these are metres of a projection, use a GeoPackage or Shapefile, which states its CRS"

_LONLAT = CRS.from_user_input("OGC:CRS84")
_CURVE_STEP_M = 1_000.0  # a straight edge of it in a UTM zone bends by less than 0.2 m in lon/lat up to 84 N
_FARTHEST_M = 1e8  # more than twice round the globe: no projection reaches it


def read_wkt(text: str, *, max_vertices: int) -> Polygon | MultiPolygon:
    """Return the polygons of WKT in lon/lat, united. Raises AoiError."""
    try:
        with np.errstate(invalid="ignore"):  # a NaN gets its own message, not numpy's warning
            geometry = shapely.from_wkt(text.split(";", 1)[-1])
    except shapely.errors.ShapelyError as error:
        raise AoiError(f"the WKT cannot be read: {_first_line(error)}; expected POLYGON ((lon lat, ...))") from error
    return united([geometry], crs=_LONLAT, max_vertices=max_vertices)


def read_geojson(text: str, *, max_vertices: int, source: str = "the GeoJSON") -> Polygon | MultiPolygon:
    """Return the polygons of a Geometry, Feature or FeatureCollection, united. Raises AoiError.

    Coordinates are lon/lat, as RFC 7946 says, unless a `crs` member of the older GeoJSON names another CRS.
    """
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
        geometries = [shapely.geometry.shape(each) for each in _geojson_geometries(document)]
        named = document.get("crs")
        crs = CRS.from_user_input(named["properties"]["name"]) if named else _LONLAT
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, CRSError) as error:
        raise AoiError(f"{source} cannot be read: {_first_line(error)}; expected a Feature with a Polygon") from error
    except shapely.errors.ShapelyError as error:
        raise AoiError(f"{source} cannot be read: {_first_line(error)}; expected a Feature with a Polygon") from error
    return united(geometries, crs=crs, max_vertices=max_vertices)


def read_vector_file(path: Path, *, max_vertices: int) -> Polygon | MultiPolygon:
    """Return the polygons of a GeoJSON, GeoParquet or any file that GDAL's vector drivers read, united.

    Raises AoiError where it cannot be read, states no CRS, or has several layers.
    """
    if path.suffix.lower() in (".geojson", ".json"):
        return read_geojson(_text_of(path), max_vertices=max_vertices, source=str(path))
    frame = _frame_of(path)
    if frame.crs is None:
        raise AoiError(
            f"{path} states no CRS (a Shapefile needs its .prj); assign the right one, for example with "
            "'Assign projection' in QGIS"
        )
    return united(list(frame.geometry), crs=CRS(frame.crs), max_vertices=max_vertices)


def united(geometries: Sequence[BaseGeometry | None], *, crs: CRS, max_vertices: int) -> Polygon | MultiPolygon:
    """Return the union of polygons in lon/lat (OGC:CRS84), split at the antimeridian, without idle vertices.

    Where polygons meet along edges that are straight in `crs`, the union has the corners that one polygon would
    have. Edges in a projected CRS are bent as they are in lon/lat. Raises AoiError for what is no area.
    """
    polygons = [shapely.force_2d(part) for geometry in geometries for part in _polygon_parts(geometry)]
    if not polygons:
        raise AoiError("the area of interest is empty; expected at least one polygon")
    vertices = int(shapely.get_num_coordinates(polygons).sum())
    if vertices > max_vertices:
        raise AoiError(
            f"the area of interest has {vertices:,} vertices, more than the limit of {max_vertices:,}; "
            "simplify it, or raise TALIK_MAX_VERTICES"
        )
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise AoiError("the area of interest holds coordinates that are not finite; repair it")
    lonlat = _to_lonlat(polygons, crs.to_2d())
    check_lonlat(shapely.get_coordinates(lonlat), lon_limit=360)
    return _corners_only(polygons_of(shapely.union_all([split_polygon(each) for each in lonlat])))


def check_lonlat(xy: NDArray[np.float64], *, lon_limit: float) -> None:
    """Raise AoiError where coordinates (vertex, 2) cannot be lon and lat in degrees, in this order."""
    if not np.isfinite(xy).all():
        raise AoiError("the area of interest holds coordinates that are not finite; repair it")
    lon, lat = np.abs(xy).max(axis=0)
    if lat > 90 and lon <= 90 and lat <= 360:
        raise AoiError(
            f"the area of interest has a latitude of {lat:g}, past the pole; "
            "its coordinates seem to be in the order lat,lon: write them as lon,lat"
        )
    if lon > lon_limit or lat > 90:
        raise AoiError(
            f"the area of interest reaches {lon:g} in longitude and {lat:g} in latitude; "
            f"expected degrees up to 180 and 90{METRES}"
        )


def _to_lonlat(polygons: list[Polygon], crs: CRS) -> list[Polygon]:
    """Reproject polygons; straight edges of a projected CRS become the curves that they are in lon/lat."""
    if crs.equals(_LONLAT, ignore_axis_order=True):
        return polygons
    if not crs.is_geographic:
        polygons = _prepared(polygons, crs)
    try:
        transformer = Transformer.from_crs(crs, _LONLAT, always_xy=True)
        moved = [
            shapely.transform(polygon, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
            for polygon in polygons
        ]
    except ProjError as error:
        raise AoiError(f"no way from {crs.name} to longitude and latitude: {_first_line(error)}") from error
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise AoiError(
            f"the area of interest leaves the part of the globe where {crs.name} is defined; "
            "check that the file states the right CRS"
        )
    if not crs.is_geographic and np.abs(shapely.get_coordinates(moved)[:, 1]).max() > 90 - 1e-7:
        raise AoiError(
            "the outline of the area of interest passes through a pole, where longitude has no meaning; "
            "move it by a metre, so that the pole is inside or outside"
        )
    return moved


def _prepared(polygons: list[Polygon], crs: CRS) -> list[Polygon]:
    """Unite in the projected CRS, where edges are still straight, then bend them."""
    factor = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    farthest = np.abs(shapely.get_coordinates(polygons)).max() * factor
    if farthest > _FARTHEST_M:
        raise AoiError(f"the area of interest lies {farthest:g} m away in {crs.name}; check that its CRS is right")
    whole = shapely.union_all([check_valid(each, units=f"units of {crs.name}") for each in polygons])
    corners = shapely.normalize(_corners_only(polygons_of(whole)))
    return list(shapely.get_parts(shapely.segmentize(corners, _CURVE_STEP_M / factor)))


def _corners_only(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    """Drop the vertices on straight edges, which a union leaves where its parts met."""
    parts = [
        Polygon(_ring_corners(part.exterior), [_ring_corners(ring) for ring in part.interiors])
        for part in shapely.get_parts(geometry)
    ]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _ring_corners(ring: BaseGeometry) -> NDArray[np.float64]:
    xy: NDArray[np.float64] = shapely.get_coordinates(ring)[:-1]  # (vertex, 2), open
    into, out = xy - np.roll(xy, 1, axis=0), np.roll(xy, -1, axis=0) - xy
    bends = into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0]
    return np.ascontiguousarray(xy[bends])


def _polygon_parts(geometry: BaseGeometry | None) -> Iterator[Polygon]:
    if geometry is None or geometry.is_empty:
        return
    if isinstance(geometry, Polygon):
        yield geometry
    elif geometry.geom_type in ("MultiPolygon", "GeometryCollection"):
        for part in shapely.get_parts(geometry):
            yield from _polygon_parts(part)
    else:
        raise AoiError(f"the area of interest holds a {geometry.geom_type}; expected polygons alone")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not finite")


def _geojson_geometries(document: Any) -> Iterator[Any]:
    kind = document["type"]
    if kind == "FeatureCollection":
        for feature in document["features"]:
            yield from _geojson_geometries(feature)
    elif kind == "Feature":
        if document["geometry"] is not None:
            yield document["geometry"]
    else:
        yield document


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AoiError(f"{path} cannot be read: {_first_line(error)}; give a GeoJSON file") from error


def _frame_of(path: Path) -> Any:
    """Return the GeoDataFrame of a file's one spatial layer, without its columns."""
    import geopandas  # late: `talik --help` needs none of it
    import pyogrio

    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return geopandas.read_parquet(path)
        layers = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
        if len(layers) == 1:
            return pyogrio.read_dataframe(path, layer=layers[0], columns=[])
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, OSError, ValueError) as error:
        raise AoiError(
            f"{path} cannot be read as an area: {_first_line(error)}; "
            "give a GeoJSON, GeoPackage, Shapefile, FlatGeobuf or GeoParquet file of polygons"
        ) from error
    found = f"{len(layers)} layers with geometry ({', '.join(layers)})" if layers else "no layer with geometry"
    raise AoiError(f"{path} has {found}; expected one: export the one you mean to a file of its own")


def _first_line(error: BaseException) -> str:
    """Return what an error says in one line, for those that say something."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
