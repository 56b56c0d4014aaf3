"""A GeoTIFF and what is known of it: which of its bands is what, of which date, in what radiometry."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import rasterio
from affine import Affine
from pyproj import CRS
from rasterio.errors import NotGeoreferencedWarning

from talik_inference.check import file_problem
from talik_inference.naming import default_id, find_datetime, id_by_pattern, is_quality, roles_by_file
from talik_inference.sidecar import Said, ScenePart
from talik_stac.conventions import BACKSCATTER, band_role, default_scale
from talik_stac.errors import ImageryError


@dataclass(frozen=True, kw_only=True)
class FileBand:
    """One band of a file."""

    index: int
    """From 1."""
    role: str | None
    """Common name or quality kind; None where it is not used, or is another date's."""
    data_type: str
    nodata: float | None
    scale: float
    offset: float
    """reflectance = digital number * scale + offset."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one file gives to one item."""

    path: Path
    """Absolute."""
    item_id: str
    when: datetime
    cloud_cover: float | None
    bands: tuple[FileBand, ...]
    """All bands of the file, in its order."""
    crs: CRS
    transform: Affine
    shape_yx: tuple[int, int]
    nodata_said: float | None
    """A nodata value that replaces the file's own."""
    notes: tuple[str, ...]
    """What was assumed, to be said on screen."""

    @property
    def used(self) -> tuple[FileBand, ...]:
        return tuple(band for band in self.bands if band.role is not None)

    @property
    def categorical(self) -> bool:
        """Whether a band holds classes, so that overviews must not average."""
        return any(is_quality(band.role) for band in self.bands)


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Regular expressions that read names."""

    datetime: str | None = None
    item_id: str | None = None


def describe(
    path: Path,
    *,
    said: Said,
    datetimes: Sequence[datetime] = (),
    bands: Sequence[Sequence[str]] = (),
    patterns: Patterns,
    collection: str,
) -> list[Part]:
    """Return what a file gives to each item: one part, or one for each date it stacks.

    `datetimes` and `bands` are the options of the command (one group of bands for each date, or one for all);
    they outweigh what is `said`. Raises ImageryError naming the file: missing, truncated, without CRS or
    georeference, rotated, a wrong number of bands, an unknown role, no datetime.
    """
    if (reason := file_problem(str(path))) is not None:
        raise ImageryError(f"{path}: {reason}; restore the file, or leave it out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as source:
            _check_grid(path, source)
            scenes = _scenes(path, said, datetimes, bands)
            if not scenes:
                return [_single(path, source, said, bands, patterns, collection)]
            return list(_stacked(path, source, said, scenes, patterns))


def _check_grid(path: Path, source: rasterio.DatasetReader) -> None:
    affine = source.transform
    if affine == Affine.identity():
        raise ImageryError(
            f"{path}: has no georeference; give it one with gdal_translate -a_srs EPSG:... -a_ullr LEFT TOP RIGHT "
            "BOTTOM, or gdalwarp where it has ground control points (docs/imagery.md)"
        )
    if source.crs is None:
        raise ImageryError(f"{path}: has no CRS; give it one with gdal_edit.py -a_srs EPSG:32633 {path.name}")
    if affine.b != 0 or affine.d != 0 or affine.e > 0 or affine.a < 0:
        raise ImageryError(
            f"{path}: its grid is rotated or flipped ({affine.a:g}, {affine.b:g}, {affine.d:g}, {affine.e:g}); "
            f"north must be up: gdalwarp -r near {path.name} north-up.tif"
        )
    if source.dtypes[0].startswith("complex"):
        raise ImageryError(f"{path}: holds complex numbers; expected integers or floats")


def _scenes(
    path: Path,
    said: Said,
    datetimes: Sequence[datetime],
    bands: Sequence[Sequence[str]],
) -> tuple[ScenePart, ...]:
    """The dates of a file that stacks several, from the options or the side-car; none for an ordinary file."""
    if len(bands) > 1 and len(bands) != len(datetimes):
        raise ImageryError(
            f"{path}: {len(bands)} times --bands, but {len(datetimes)} times --datetime; a file that stacks dates "
            "needs one --datetime for each, and --bands once or once for each"
        )
    if len(datetimes) > 1:
        groups = list(bands) if len(bands) > 1 else [bands[0] if bands else None] * len(datetimes)
        return tuple(
            ScenePart(datetime=when, bands=None if group is None else tuple(group))
            for when, group in zip(datetimes, groups, strict=True)
        )
    if datetimes:
        return ()
    return tuple(scene.model_copy(update={"bands": tuple(bands[0])}) if bands else scene for scene in said.scene)


def _single(
    path: Path,
    source: rasterio.DatasetReader,
    said: Said,
    bands: Sequence[Sequence[str]],
    patterns: Patterns,
    collection: str,
) -> Part:
    words = bands[0] if bands else said.bands
    roles = roles_by_file(path, source) if words is None else [band_role(word) for word in words]
    if len(roles) != source.count:
        raise ImageryError(
            f"{path}: has {source.count} bands, but {len(roles)} roles are given ({','.join(words or ())}); "
            "write one for each, '-' for a band that is not used"
        )
    notes = []
    if said.datetime is None:
        found = find_datetime(path, source, patterns.datetime)
        when = found.when
        notes.append(f"datetime from {found.source}")
    else:
        when = said.datetime
    item_id = said.id or (
        id_by_pattern(path, patterns.item_id) if patterns.item_id else default_id(path, roles, collection, when)
    )
    return _part(path, source, said, roles, (item_id, when, said.cloud_cover), notes)


def _stacked(
    path: Path, source: rasterio.DatasetReader, said: Said, scenes: Sequence[ScenePart], patterns: Patterns
) -> Iterator[Part]:
    stem = id_by_pattern(path, patterns.item_id) if patterns.item_id else path.stem
    following = 1
    for scene in scenes:
        words = scene.bands or said.bands
        if words is None:
            raise ImageryError(f"{path}: which bands are {scene.datetime:%Y-%m-%d}? Give --bands R,G,B,NIR")
        first = scene.first_band or following
        following = first + len(words)
        if following - 1 > source.count:
            raise ImageryError(
                f"{path}: has {source.count} bands, but {scene.datetime:%Y-%m-%d} takes {first} to {following - 1}"
            )
        roles: list[str | None] = [None] * source.count
        roles[first - 1 : following - 1] = [band_role(word) for word in words]
        item_id = scene.id or f"{stem}-{scene.datetime:%Y%m%d}"
        yield _part(path, source, said, roles, (item_id, scene.datetime, scene.cloud_cover), [])
    if following - 1 < source.count and all(scene.first_band is None for scene in scenes):
        raise ImageryError(
            f"{path}: has {source.count} bands, but its {len(scenes)} dates take {following - 1}; "
            "write '-' for bands that are not used, or first_band in the side-car"
        )


def _part(
    path: Path,
    source: rasterio.DatasetReader,
    said: Said,
    roles: Sequence[str | None],
    scene: tuple[str, datetime, float | None],
    notes: list[str],
) -> Part:
    used = [role for role in roles if role is not None]
    if not used:
        raise ImageryError(f"{path}: none of its bands is used")
    if len(set(used)) != len(used):
        twice = sorted({role for role in used if used.count(role) > 1})
        raise ImageryError(f"{path}: two bands are both '{', '.join(twice)}'; each role may come once for a date")
    item_id, when, cloud_cover = scene
    bands, assumed = _bands(source, said, roles)
    return Part(
        path=path,
        item_id=item_id,
        when=when,
        cloud_cover=cloud_cover,
        bands=bands,
        crs=CRS.from_user_input(source.crs),
        transform=source.transform,
        shape_yx=(source.height, source.width),
        nodata_said=said.nodata,
        notes=(*notes, *assumed),
    )


def _bands(
    source: rasterio.DatasetReader, said: Said, roles: Sequence[str | None]
) -> tuple[tuple[FileBand, ...], list[str]]:
    """Each band's radiometry: as said, else as the file's own scale and offset, else by its type."""
    bands, notes = [], []
    for index, role in enumerate(roles, start=1):
        data_type = source.dtypes[index - 1]
        own = (source.scales[index - 1], source.offsets[index - 1])
        if is_quality(role):
            scale, offset = 1.0, 0.0
        elif said.scale is not None or said.offset is not None:
            scale = default_scale(data_type) if said.scale is None else said.scale
            offset = said.offset or 0.0
        elif own != (1.0, 0.0):
            scale, offset = own
            notes.append("scale and offset from the file")
        else:
            scale, offset = default_scale(data_type), 0.0
            if role is not None:
                notes.append(f"{data_type} without scale: {_quantity(role)} taken as {_formula(data_type)}")
        nodata = source.nodatavals[index - 1] if said.nodata is None else said.nodata
        bands.append(FileBand(index=index, role=role, data_type=data_type, nodata=nodata, scale=scale, offset=offset))
    return tuple(bands), list(dict.fromkeys(notes))


def _quantity(role: str) -> str:
    return "backscatter (linear power, no decibels)" if role in BACKSCATTER else "reflectance"


def _formula(data_type: str) -> str:
    if data_type in ("uint8", "int8"):
        return "number / 255"
    return "the number itself" if data_type.startswith("float") else "number / 10000"
