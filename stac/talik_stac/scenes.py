"""A scene: a STAC item reduced to what mapping needs. Made by `imagery` (local index) and `catalogs` (STAC API)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from shapely.geometry.base import BaseGeometry

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

QualityKind = Literal["scl", "udm2", "fmask", "qa_pixel", "valid"]


@dataclass(frozen=True, kw_only=True)
class Band:
    """One band of a scene: where its pixels lie and how they become reflectance."""

    name: str
    """The common name of the STAC eo extension in lower case: blue, green, red, nir, ..."""
    asset: str
    """The key of the asset in the STAC item."""
    href: str
    """An absolute path, or an https:// or s3:// URL."""
    index: int
    """The band's number in the file, from 1."""
    scale: float
    offset: float
    """reflectance = digital number * scale + offset (raster extension)."""
    nodata: float | None
    """The digital number that means no data, None where the file says nothing."""
    grid: GeoBox | None
    """The pixel grid of the file, None where the item does not say (then the reader opens the file)."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """The product's own quality band, at any resolution."""

    kind: QualityKind
    """Whose codes: scl (Sentinel-2 L2A), udm2 (Planet), fmask (HLS), qa_pixel (Landsat C2), valid (1 = clear)."""
    asset: str
    href: str
    index: int
    grid: GeoBox | None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One acquisition. Picklable; equal scenes give equal pixels."""

    id: str
    collection: str
    datetime: datetime
    """Acquisition time, UTC."""
    cloud_cover: float | None
    """Percent 0-100 as the catalogue says, None where unknown."""
    footprint: BaseGeometry
    """Where valid data lie: lon/lat (OGC:CRS84), valid, split at the antimeridian."""
    bands: dict[str, Band]
    """By common name."""
    quality: Quality | None
    item: dict[str, Any] = field(repr=False, hash=False, compare=False)
    """The STAC item as JSON."""
    warnings: tuple[str, ...] = ()
    """What the catalogue says that contradicts itself, for the run's record."""
