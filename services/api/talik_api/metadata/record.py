"""The record of an inventory edition: all that its metadata say, whatever the standard they are written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from talik_api.metadata.wording import abstract_of, lineage_of, mapped
from talik_stac.errors import EditionError

if TYPE_CHECKING:
    from talik_stac.editions import Edition

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
GCMD = "NASA/GCMD Earth Science Keywords"
_ORCID = re.compile(r"\d{4}-\d{4}-\d{4}-\d{3}[\dX]", re.ASCII)
_DOI_PREFIX = re.compile(r"10\.\d{4,9}", re.ASCII)
_SHA256_MULTIHASH = "1220"
_GCMD_KEYWORDS = {
    "water": "EARTH SCIENCE > TERRESTRIAL HYDROSPHERE > SURFACE WATER > SURFACE WATER FEATURES > LAKES/RESERVOIRS",
    "glacial_lake": (
        "EARTH SCIENCE > TERRESTRIAL HYDROSPHERE > SURFACE WATER > SURFACE WATER FEATURES > LAKES/RESERVOIRS"
    ),
    "thaw_slump": "EARTH SCIENCE > CRYOSPHERE > FROZEN GROUND > PERMAFROST",
    "ice_fracture": "EARTH SCIENCE > CRYOSPHERE > GLACIERS/ICE SHEETS",
}
"""By landform; one that is not here gets free keywords only."""
_LICENCE_URLS = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
}
_NO_LICENCE_ID = {"other", "proprietary", "various"}
"""What STAC writes where no SPDX id fits."""

BBox = tuple[float, float, float, float]
"""(west, south, east, north) in degrees; west > east where it crosses the antimeridian."""


@dataclass(frozen=True, kw_only=True)
class Creator:
    """Who made the data. Raises EditionError for an ORCID that is none."""

    name: str
    """A person's as 'Family, Given'."""
    orcid: str | None = None
    """0000-0002-1825-0097, without the host."""
    affiliation: str | None = None
    organisation: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise EditionError("a creator has no name; give a person's as 'Family, Given'")
        if self.orcid is not None and not _ORCID.fullmatch(self.orcid):
            raise EditionError(f"'{self.orcid}' is no ORCID; one reads 0000-0002-1825-0097, without https://orcid.org/")


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Who publishes the editions of a service. Raises EditionError for a DOI prefix that is none."""

    name: str
    url: str | None = None
    creators: tuple[Creator, ...] = ()
    """Empty: the publisher itself."""
    doi_prefix: str | None = None
    """10.12345; None where no DOIs are registered."""
    contact_email: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise EditionError("the publisher has no name; metadata must name who publishes: give its name")
        if self.doi_prefix is not None and not _DOI_PREFIX.fullmatch(self.doi_prefix):
            raise EditionError(f"'{self.doi_prefix}' is no DOI prefix; one reads 10.12345, without a slash")


@dataclass(frozen=True, kw_only=True)
class Licence:
    """The terms of use."""

    name: str
    """As the edition states it, mostly an SPDX id."""
    spdx: str | None
    url: str | None

    @property
    def is_open(self) -> bool:
        """Whether the licence is one that surely lets anyone use the data."""
        return self.name in _LICENCE_URLS


@dataclass(frozen=True, kw_only=True)
class Keyword:
    """A keyword, of a thesaurus where it is known."""

    text: str
    thesaurus: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of an edition."""

    name: str
    """Path inside the edition, inventory.parquet."""
    url: str
    title: str
    media_type: str | None
    size_bytes: int | None
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the inventory table."""

    name: str
    description: str
    unit: str | None
    """None where a column has none."""


@dataclass(frozen=True, kw_only=True)
class Related:
    """Another edition that this one comes from."""

    id: str
    url: str
    doi: str | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of an edition; None and empty mean unknown."""

    identifier: str
    title: str
    abstract: str
    creators: tuple[Creator, ...]
    publisher: Publisher
    published: date | None
    version: str
    licence: Licence
    keywords: tuple[Keyword, ...]
    bbox: BBox
    start: date
    end: date
    """Inclusive."""
    lineage: str
    technique: str
    """How it was measured, in a few words."""
    files: tuple[FileRecord, ...]
    columns: tuple[Column, ...]
    url: str
    """Of the landing page."""
    doi: str | None
    predecessor: Related | None
    """The version of the same area and season that this one replaces."""
    ids_from: Related | None
    """The edition of another season whose objects' ids are carried on."""
    object_count: int
    area_m2: float
    language: str = "en"
    crs: str = CRS84

    @property
    def boxes(self) -> tuple[BBox, ...]:
        """The bbox in one or, across the antimeridian, two boxes with west <= east."""
        west, south, east, north = self.bbox
        if west <= east:
            return (self.bbox,)
        return (west, south, 180.0, north), (-180.0, south, east, north)

    @property
    def doi_url(self) -> str | None:
        """The DOI as a link."""
        return None if self.doi is None else f"https://doi.org/{self.doi}"


def record_of(edition: Edition, run: Mapping[str, Any], *, base_url: str, publisher: Publisher) -> Record:
    """Gather the record of a published edition; `run` is its run.json, `base_url` that of the service."""
    from talik_stac.editions import EditionId

    properties = edition.item["properties"]
    season = EditionId.parse(edition.id).season
    when = season if season.isdigit() else f"{edition.season_start} to {edition.season_end}"
    what = mapped(edition, run)
    before, ids_from = _predecessor(edition), run.get("previous_edition")
    return Record(
        identifier=edition.id,
        title=f"{what} of {edition.area}, {when}: an inventory",
        abstract=abstract_of(edition, run),
        creators=publisher.creators or (Creator(name=publisher.name, organisation=True),),
        publisher=publisher,
        published=_published(properties, run),
        version=str(edition.version),
        licence=licence_of(str(properties["license"])),
        keywords=_keywords(edition, what),
        bbox=_bbox(edition),
        start=edition.season_start,
        end=edition.season_end,
        lineage=lineage_of(edition, run),
        technique=str(run.get("model", {}).get("title") or properties["talik:model"]),
        files=tuple(_file(asset, _landing(base_url, edition.id)) for asset in edition.item["assets"].values()),
        columns=_columns(edition),
        url=_landing(base_url, edition.id),
        doi=_doi(publisher, edition.id),
        predecessor=_related(before, base_url, publisher),
        ids_from=_related(ids_from if ids_from != before else None, base_url, publisher),
        object_count=edition.count,
        area_m2=edition.area_m2,
    )


def licence_of(name: str) -> Licence:
    """Find the text of a licence."""
    if name in _NO_LICENCE_ID:
        return Licence(name=name, spdx=None, url=None)
    url = _LICENCE_URLS.get(name, f"https://spdx.org/licenses/{quote(name)}.html")
    return Licence(name=name, spdx=name, url=url)


def _landing(base_url: str, edition_id: str) -> str:
    return f"{base_url.rstrip('/')}/editions/{quote(edition_id)}"


def _doi(publisher: Publisher, edition_id: str) -> str | None:
    return None if publisher.doi_prefix is None else f"{publisher.doi_prefix}/{edition_id}"


def _related(edition_id: str | None, base_url: str, publisher: Publisher) -> Related | None:
    if edition_id is None:
        return None
    return Related(id=edition_id, url=_landing(base_url, edition_id), doi=_doi(publisher, edition_id))


def _predecessor(edition: Edition) -> str | None:
    """The edition's id in ../water-x-2014-v1/item.json."""
    hrefs = [link["href"] for link in edition.item["links"] if link["rel"] == "predecessor-version"]
    return PurePosixPath(hrefs[0]).parent.name if hrefs else None


def _published(properties: Mapping[str, Any], run: Mapping[str, Any]) -> date | None:
    """Editions of before item.json said `created` have it in run.json, or nowhere."""
    said = properties.get("created") or run.get("published")
    return None if said is None else date.fromisoformat(str(said)[:10])


def _keywords(edition: Edition, what: str) -> tuple[Keyword, ...]:
    named = _GCMD_KEYWORDS.get(edition.landform)
    known = () if named is None else (Keyword(text=named, thesaurus=GCMD),)
    free = dict.fromkeys((edition.landform.replace("_", " "), what, edition.area, "inventory", "remote sensing"))
    return (*known, *(Keyword(text=text) for text in free))


def _bbox(edition: Edition) -> BBox:
    """From the footprint: the item's own bbox goes round the globe where the footprint is cut at the antimeridian."""
    from shapely.geometry import shape

    from talik_stac.antimeridian import polygons_of
    from talik_stac.aoi import AreaOfInterest

    return AreaOfInterest(name=edition.area, geometry=polygons_of(shape(edition.item["geometry"]))).bbox


def _file(asset: Mapping[str, Any], landing: str) -> FileRecord:
    name = str(asset["href"]).removeprefix("./")
    checksum = str(asset.get("file:checksum", ""))
    return FileRecord(
        name=name,
        url=f"{landing}/files/{quote(name)}",
        title=str(asset.get("title", name)),
        media_type=asset.get("type"),
        size_bytes=asset.get("file:size"),
        sha256=checksum.removeprefix(_SHA256_MULTIHASH) if checksum.startswith(_SHA256_MULTIHASH) else None,
    )


def _columns(edition: Edition) -> tuple[Column, ...]:
    from talik_stac.inventory import BBOX_FIELD, schema_with

    described = [(field.name, field.metadata or {}) for field in (*schema_with(edition.attributes), BBOX_FIELD)]
    return tuple(
        Column(
            name=name,
            description=metadata[b"description"].decode(),
            unit=metadata[b"unit"].decode() if b"unit" in metadata else None,
        )
        for name, metadata in described
    )
