"""Editions: published inventories. An edition is there once its item.json is, and is never rewritten."""

from __future__ import annotations

import difflib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from shapely.geometry.base import BaseGeometry

from talik_stac.edition_items import collection_document, item_document, media_type
from talik_stac.errors import EditionError, MissingKeyError
from talik_stac.imagery import link_in_catalog
from talik_stac.inventory import InventorySummary
from talik_stac.store import Store

if TYPE_CHECKING:
    import geopandas

_ID = re.compile(
    r"(?P<landform>[a-z_]+)-(?P<area>[a-z0-9-]+)-(?P<season>\d{4}|\d{8}-\d{8})-v(?P<version>[1-9]\d*)", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class EditionId:
    """<landform>-<area>-<season>-v<version>."""

    landform: str
    area: str
    season: str
    """2014, or 20140601-20140930."""
    version: int

    def __str__(self) -> str:
        return f"{self.landform}-{self.area}-{self.season}-v{self.version}"

    @property
    def prefix(self) -> str:
        """The edition's folder in the store."""
        return f"inventories/{self.landform}/{self}"

    @staticmethod
    def parse(text: str) -> EditionId:
        """Read an id. Raises EditionError."""
        found = _ID.fullmatch(text)
        if found is None:
            raise EditionError(f"'{text}' is no edition id; one reads water-cottonwood-2014-v1")
        return EditionId(
            landform=found["landform"],
            area=found["area"],
            season=found["season"],
            version=int(found["version"]),
        )


@dataclass(frozen=True, kw_only=True)
class Edition:
    """A published edition."""

    id: str
    landform: str
    area: str
    version: int
    season_start: date
    season_end: date
    count: int
    area_m2: float
    configuration: str
    """The hash of everything that decided its bytes."""
    prefix: str
    """Its folder in the store."""
    item: dict[str, Any]
    """Its STAC item."""
    attributes: tuple[str, ...] = ()
    """Columns of its inventory beyond those that all have (inventory.ATTRIBUTES)."""


@dataclass(frozen=True, kw_only=True)
class EditionDraft:
    """What is to be published; the files are local."""

    edition_id: str
    season_start: date
    season_end: date
    configuration: str
    footprint: BaseGeometry
    """lon/lat: the area where scenes cover it."""
    summary: InventorySummary
    parquet: Path
    fgb: Path
    observed: Path
    """GeoParquet of the ground that was seen."""
    probability: dict[str, Path]
    """Probability COGs by tile name."""
    run: dict[str, Any]
    """The record of the run."""
    model: str
    licence: str
    """SPDX licence of the inventory."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to publish under an id."""

    edition_id: str
    published: bool
    """True where the same configuration is published already."""


def claim(store: Store, *, landform: str, area: str, season: str, configuration: str) -> Claim:
    """Find the edition of this configuration, or reserve the next free version for it.

    A claim that a killed run left behind is taken up by a run of the same configuration and stepped over by others.
    """
    version = 0
    while True:
        version += 1
        edition = EditionId(landform=landform, area=area, season=season, version=version)
        note = json.dumps({"configuration": configuration}).encode()
        key = f"{edition.prefix}/claim.json"
        ours = store.put_if_absent(key, note) or store.get(key) == note
        if ours:
            published = store.exists(f"{edition.prefix}/item.json")
            if published:
                link_editions(store, landform)  # in case the run that published it was killed before
            return Claim(edition_id=str(edition), published=published)


def publish(store: Store, draft: EditionDraft) -> Edition:
    """Put all files, then the item: the edition appears with that write. Links to it follow.

    Publishing the same configuration twice gives the first. Raises EditionError where the id bears another.
    """
    edition = EditionId.parse(draft.edition_id)
    if not store.exists(f"{edition.prefix}/item.json"):  # what is published is not written again
        _put_edition(store, edition, draft)
    published = load_edition(store, str(edition))
    if published.configuration != draft.configuration:
        raise EditionError(f"{edition} is published with another configuration; nothing published is rewritten")
    link_editions(store, edition.landform)
    return published


def _put_edition(store: Store, edition: EditionId, draft: EditionDraft) -> None:
    files = {
        "inventory.parquet": draft.parquet,
        "inventory.fgb": draft.fgb,
        "observed.parquet": draft.observed,
        **{f"probability/{name}.tif": path for name, path in sorted(draft.probability.items())},
    }
    for name, path in files.items():
        store.put_file(f"{edition.prefix}/{name}", path)
    run = json.dumps(draft.run, indent=1, sort_keys=True).encode()
    store.put(f"{edition.prefix}/run.json", run)
    described = {name: path for name, path in files.items() if media_type(name)}
    item = item_document(edition, draft, described, run, before=_version_before(store, edition))
    store.put_if_absent(f"{edition.prefix}/item.json", json.dumps(item, indent=1).encode())


def _version_before(store: Store, edition: EditionId) -> str | None:
    """The last published version below this one; a run that was killed may have left a gap."""
    lower = (replace(edition, version=version) for version in range(edition.version - 1, 0, -1))
    return next((str(each) for each in lower if store.exists(f"{each.prefix}/item.json")), None)


def load_edition(store: Store, edition_id: str) -> Edition:
    """Read a published edition. Raises EditionError, with the nearest ids, where there is none."""
    edition = EditionId.parse(edition_id)
    try:
        item = json.loads(store.get(f"{edition.prefix}/item.json"))
    except MissingKeyError as error:
        known = [e.id for e in list_editions(store)]
        near = difflib.get_close_matches(edition_id, known, n=3, cutoff=0.3) or known[:3]
        said = f"; did you mean {', '.join(near)}?" if near else "; the store holds none"
        raise EditionError(f"no edition '{edition_id}' in {store.root}{said}") from error
    return _edition(edition, item)


def list_editions(
    store: Store, landform: str | None = None, *, known: Mapping[str, Edition] | None = None
) -> list[Edition]:
    """All published editions, by landform, area, season and version; those that are `known` by id are not read."""
    prefix = "inventories" if landform is None else f"inventories/{landform}"
    found = []
    for key in store.list(prefix):
        parts = key.split("/")
        if len(parts) == 4 and parts[3] == "item.json" and _ID.fullmatch(parts[2]):
            at_hand = (known or {}).get(parts[2])
            found.append(at_hand or _edition(EditionId.parse(parts[2]), json.loads(store.get(key))))
    return sorted(found, key=lambda e: (e.landform, e.area, e.season_start, e.version))


def previous_edition(store: Store, *, landform: str, area: str, season_start: date, edition_id: str) -> Edition | None:
    """The edition of the same area and landform nearest in time: an earlier one where there is one.

    A lower version of the same season counts as earlier.
    """
    others = [e for e in list_editions(store, landform) if e.area == area and e.id != edition_id]
    version = EditionId.parse(edition_id).version
    earlier = [e for e in others if (e.season_start, e.version) < (season_start, version)]
    if earlier:
        return max(earlier, key=lambda e: (e.season_start, e.version))
    return min(others, key=lambda e: (e.season_start, -e.version), default=None)


def read_table(store: Store, edition: Edition, *, columns: list[str] | None = None) -> pa.Table:
    """Read an edition's inventory as an Arrow table, geometry as WKB."""
    data = store.get(f"{edition.prefix}/inventory.parquet")
    return pq.read_table(pa.BufferReader(data), columns=columns)


def read_geo(store: Store, edition: Edition) -> geopandas.GeoDataFrame:
    """Read an edition's inventory with its geometries, lon/lat."""
    import geopandas  # late: a service that only lists editions does without it

    return geopandas.read_parquet(io.BytesIO(store.get(f"{edition.prefix}/inventory.parquet")))


def read_observed(store: Store, edition: Edition) -> geopandas.GeoDataFrame:
    """Read the ground that an edition saw: one row a tile, lon/lat."""
    import geopandas

    return geopandas.read_parquet(io.BytesIO(store.get(f"{edition.prefix}/observed.parquet")))


def _edition(edition: EditionId, item: dict[str, Any]) -> Edition:
    properties = item["properties"]
    return Edition(
        id=str(edition),
        landform=edition.landform,
        area=edition.area,
        version=edition.version,
        season_start=date.fromisoformat(properties["start_datetime"][:10]),
        season_end=date.fromisoformat(properties["end_datetime"][:10]),
        count=properties["talik:count"],
        area_m2=properties["talik:area_m2"],
        configuration=properties["talik:configuration"],
        prefix=edition.prefix,
        item=item,
        attributes=tuple(properties.get("talik:attributes", ())),
    )


def link_editions(store: Store, landform: str) -> None:
    """Put the published editions of a landform into its collection, and the collection into the catalogue.

    The list is read again after it was written, until nothing more came: of two runs that publish at the same time,
    the last to write has seen both. A run that was killed before this is linked by the next.
    """
    key, written = f"inventories/{landform}/collection.json", b""
    while True:
        document = collection_document(landform, [edition.item for edition in list_editions(store, landform)])
        wanted = json.dumps(document, indent=1).encode()
        if wanted == written:
            break
        if not (store.exists(key) and store.get(key) == wanted):
            store.put(key, wanted)
        written = wanted
    link_in_catalog(store, href=f"./{key}", title=document["title"])
