"""The local index of imagery: items as stac-geoparquet in the store, searched by place, time and cloud."""

from __future__ import annotations

import io
import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from shapely import box, unary_union

from talik_stac.errors import ImageryError, MissingKeyError, NoScenesError
from talik_stac.items import bbox_parts, item_datetime, parse_datetime, scene_from_item
from talik_stac.scenes import Scene
from talik_stac.store import Store

Bbox = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east crosses the antimeridian."""

_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_ROWS_PER_GROUP = 1000  # items are sorted by date, so that a season touches few groups


@dataclass(frozen=True, kw_only=True)
class Search:
    """What was looked for, to say so where nothing was found."""

    bbox: Bbox | None = None
    start: datetime | None = None
    end: datetime | None = None
    """The last moment that counts, inclusive."""
    max_cloud_percent: float | None = None
    """Scenes whose cloud cover is unknown pass."""

    def __str__(self) -> str:
        place = "anywhere" if self.bbox is None else "in bbox " + ",".join(f"{v:.5g}" for v in self.bbox)
        first = "the beginning" if self.start is None else f"{self.start:%Y-%m-%d}"
        last = "today" if self.end is None else f"{self.end:%Y-%m-%d}"
        cloud = "" if self.max_cloud_percent is None else f" with at most {self.max_cloud_percent:g} % cloud"
        return f"{place} from {first} to {last}{cloud}"


def index_key(collection: str) -> str:
    """The store key of a collection's items."""
    return f"imagery/{collection}/items.parquet"


def check_collection_id(collection: str) -> str:
    """Return the id. Raises ImageryError where it cannot be a folder's name."""
    if not _ID.match(collection):
        raise ImageryError(
            f"collection '{collection}' is no name; expected letters, digits, '.', '_', '-', such as naip"
        )
    return collection


def collections(store: Store) -> list[str]:
    """The collections that the store's index holds, sorted."""
    found = (re.fullmatch(r"imagery/([^/]+)/items\.parquet", key) for key in store.list("imagery"))
    return sorted(match.group(1) for match in found if match)


def scenes_from_index(
    store: Store,
    collection: str,
    *,
    bands: Sequence[str],
    bbox: Bbox | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    max_cloud_percent: float | None = None,
) -> list[Scene]:
    """Return the scenes that touch the bbox between start and end (inclusive), sorted by (datetime, id).

    bbox None takes scenes wherever they lie. An empty list where there is none: see `no_scenes_error`.
    Raises ImageryError for an unknown collection or a missing band, naming those that exist.
    """
    search = Search(bbox=bbox, start=start, end=end, max_cloud_percent=max_cloud_percent)
    scenes = [scene_from_item(item, bands) for item in read_items(store, collection, search=search)]
    if bbox is not None:
        area = unary_union([box(*part) for part in bbox_parts(bbox)])
        scenes = [scene for scene in scenes if scene.footprint.intersects(area)]
    return sorted(scenes, key=lambda scene: (scene.datetime, scene.id))


def nearest_date(
    store: Store,
    collection: str,
    *,
    bbox: Bbox | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> datetime | None:
    """Return the acquisition time nearest to the season at this place; None where there is none."""
    items = read_items(store, collection, search=Search(bbox=bbox), columns=("id", "properties", "datetime"))
    return nearest([item_datetime(item) for item in items], start, end)


def nearest(times: Sequence[datetime], start: datetime | None, end: datetime | None) -> datetime | None:
    """Return the time nearest to the span start..end, the earlier of two equals; None where there is none."""

    def gap(when: datetime) -> float:
        before = (parse_datetime(start) - when).total_seconds() if start else 0.0
        after = (when - parse_datetime(end)).total_seconds() if end else 0.0
        return max(before, after, 0.0)

    return min(times, key=lambda when: (gap(when), when), default=None)


def no_scenes_error(
    store: Store,
    collection: str,
    *,
    bbox: Bbox | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    max_cloud_percent: float | None = None,
) -> NoScenesError:
    """Make the error that says what was searched, and the nearest date or where the collection lies."""
    search = Search(bbox=bbox, start=start, end=end, max_cloud_percent=max_cloud_percent)
    said = f"no scene of collection '{collection}' {search}"
    everywhere = read_items(store, collection, columns=("id", "properties", "datetime", "bbox"))
    here = read_items(store, collection, search=Search(bbox=bbox), columns=("id", "properties", "datetime", "bbox"))
    if not here:
        return NoScenesError(f"{said}; its {len(everywhere)} scenes cover {_covered(everywhere)}")
    season = read_items(store, collection, search=Search(bbox=bbox, start=start, end=end), columns=("id", "datetime"))
    clear = read_items(store, collection, search=search, columns=("id", "datetime"))
    if clear:
        return NoScenesError(f"{said} holds valid data in the area; {len(clear)} scenes touch its bbox only")
    if season:
        return NoScenesError(f"{said}; {len(season)} cloudier scenes there: raise the recipe's max_cloud_percent")
    when = nearest([item_datetime(item) for item in here], start, end)
    return NoScenesError(f"{said}; searched {len(here)} scenes there, the nearest date is {when:%Y-%m-%d}")


def read_items(
    store: Store,
    collection: str,
    *,
    search: Search | None = None,
    columns: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the items as JSON by (datetime, id). Raises ImageryError for an unknown collection."""
    try:
        data = store.get(index_key(check_collection_id(collection)))
    except MissingKeyError as error:
        there = ", ".join(collections(store)) or "none yet"
        raise ImageryError(
            f"no imagery collection '{collection}' in {store.root}; there is: {there}. "
            f"Make it with: talik index FILES --collection {collection}"
        ) from error
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        names = set(file.schema_arrow.names)
        wanted = None if columns is None else [name for name in columns if name in names]
        table = pq.read_table(io.BytesIO(data), columns=wanted, filters=_expression(search, file.schema_arrow))
    except (pa.ArrowInvalid, OSError) as error:
        raise ImageryError(
            f"{store.url(index_key(collection))} is no index of imagery ({_line(error)}); "
            "delete it and run talik index again"
        ) from error
    if columns is None:
        import stac_geoparquet.arrow  # late: it brings geopandas, which listing editions does without

        items = [_canonical(_pruned(item)) for item in stac_geoparquet.arrow.stac_table_to_items(table)]
        return [_with_hrefs(item, lambda href: _absolute(store, collection, href)) for item in items]
    return [_partial(row) for row in table.to_pylist()]


def write_index(store: Store, collection: str, items: Sequence[Mapping[str, Any]]) -> None:
    """Write items.parquet, collection.json and the link in catalog.json: equal items give equal bytes."""
    check_collection_id(collection)
    relative = (_with_hrefs(item, lambda href: _relative(store, collection, href)) for item in items)
    ordered = sorted(map(_canonical, relative), key=lambda item: (item_datetime(item), item["id"]))
    store.put(index_key(collection), _parquet(ordered))
    document = _collection_document(collection, ordered)
    store.put(f"imagery/{collection}/collection.json", _json(document))
    link_in_catalog(store, href=f"./imagery/{collection}/collection.json", title=str(document["title"]))


def link_in_catalog(store: Store, *, href: str, title: str) -> None:
    """Add a child to the store's catalog.json unless it is there; other links stay as they are."""
    try:
        catalog = json.loads(store.get("catalog.json"))
    except MissingKeyError:
        catalog = {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "talik",
            "title": "Talik",
            "description": "Imagery and inventories of periglacial landforms, kept by Talik.",
            "links": [{"rel": "root", "href": "./catalog.json", "type": "application/json"}],
        }
    if any(link.get("rel") == "child" and link.get("href") == href for link in catalog["links"]):
        return
    catalog["links"].append({"rel": "child", "href": href, "type": "application/json", "title": title})
    children = sorted((link for link in catalog["links"] if link["rel"] == "child"), key=lambda link: link["href"])
    catalog["links"] = [link for link in catalog["links"] if link["rel"] != "child"] + children
    store.put("catalog.json", _json(catalog))


def _relative(store: Store, collection: str, href: str) -> str:
    """Files in the store are named from the collection's folder, so that a store may be moved or copied."""
    folder = _folder(store, collection)
    return f"./{href.removeprefix(folder)}" if href.startswith(folder) else href


def _absolute(store: Store, collection: str, href: str) -> str:
    return _folder(store, collection) + href.removeprefix("./") if href.startswith("./") else href


def _folder(store: Store, collection: str) -> str:
    """What `store.url` puts before the names in a collection's folder."""
    return store.url(index_key(collection)).removesuffix("items.parquet")


def _with_hrefs(item: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    assets = {key: {**asset, "href": change(str(asset["href"]))} for key, asset in sorted(item["assets"].items())}
    return {**item, "assets": assets}


def _canonical(item: Mapping[str, Any]) -> dict[str, Any]:
    """One way to write an item, whether it was just made or has been in an index before."""
    plain: dict[str, Any] = json.loads(json.dumps(item, sort_keys=True, default=str))
    plain["properties"]["datetime"] = _rfc3339(item_datetime(item))
    return plain


def _parquet(items: Sequence[Mapping[str, Any]]) -> bytes:
    import stac_geoparquet.arrow

    table = stac_geoparquet.arrow.parse_stac_items_to_arrow([dict(item) for item in items]).read_all()
    with tempfile.TemporaryDirectory(prefix="talik-") as folder:
        path = Path(folder) / "items.parquet"
        # each batch becomes a row group
        reader = table.combine_chunks().to_reader(max_chunksize=_ROWS_PER_GROUP)
        stac_geoparquet.arrow.to_parquet(reader, path, compression="zstd")
        return path.read_bytes()


def _expression(search: Search | None, schema: pa.Schema) -> pc.Expression | None:
    """The search as a pyarrow filter, which skips the row groups that its statistics rule out."""
    if search is None:
        return None
    terms = []
    if search.start is not None:
        terms.append(pc.field("datetime") >= _moment(search.start, schema))
    if search.end is not None:
        terms.append(pc.field("datetime") <= _moment(search.end, schema))
    if search.max_cloud_percent is not None and "eo:cloud_cover" in schema.names:
        cloud = pc.field("eo:cloud_cover")
        terms.append(cloud.is_null() | (cloud <= search.max_cloud_percent))
    if search.bbox is not None:
        terms.append(_touches(search.bbox))
    expression = None
    for term in terms:
        expression = term if expression is None else expression & term
    return expression


def _touches(bbox: Bbox) -> pc.Expression:
    left, bottom, right, top = (pc.field("bbox", name) for name in ("xmin", "ymin", "xmax", "ymax"))
    found = None
    for west, south, east, north in bbox_parts(bbox):
        plain = (left <= right) & (left <= east) & (right >= west)
        crossing = (left > right) & ((left <= east) | (right >= west))  # RFC 7946: west > east
        part = (plain | crossing) & (bottom <= north) & (top >= south)
        found = part if found is None else found | part
    return found


def _moment(when: datetime, schema: pa.Schema) -> pa.Scalar:
    return pa.scalar(parse_datetime(when), pa.timestamp("us", tz="UTC")).cast(schema.field("datetime").type)


def _partial(row: dict[str, Any]) -> dict[str, Any]:
    """Some columns of an item, enough for its date and bbox."""
    when = row.pop("datetime", None)
    box_ = row.pop("bbox", None)
    item: dict[str, Any] = {"id": row.get("id"), "properties": {"datetime": when}}
    if box_:
        item["bbox"] = [box_["xmin"], box_["ymin"], box_["xmax"], box_["ymax"]]
    return item


def _pruned(value: Any) -> Any:
    """Take out the nulls that a shared table schema brings in, at every depth."""
    if isinstance(value, Mapping):
        return {k: _pruned(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_pruned(v) for v in value]
    return value


def _collection_document(collection: str, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    times = [item_datetime(item) for item in items]
    names = sorted({band["name"] for item in items for asset in item["assets"].values() for band in asset["eo:bands"]})
    return {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": collection,
        "title": collection,
        "description": f"{len(items)} scenes indexed by talik index; bands: {', '.join(names)}.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [_extent(items)]},
            "temporal": {"interval": [[_rfc3339(min(times)), _rfc3339(max(times))]]},
        },
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../../catalog.json", "type": "application/json"},
        ],
        "assets": {
            "items": {
                "href": "./items.parquet",
                "title": "The items as stac-geoparquet",
                "type": "application/vnd.apache.parquet",
                "roles": ["collection-mirror"],
            }
        },
    }


def _extent(items: Sequence[Mapping[str, Any]]) -> list[float]:
    """The bbox of all items; the whole globe's width where one crosses the antimeridian beside others."""
    boxes = [item["bbox"] for item in items]
    south, north = min(b[1] for b in boxes), max(b[3] for b in boxes)
    if all(b[0] > b[2] for b in boxes):
        return [min(b[0] for b in boxes), south, max(b[2] for b in boxes), north]
    if any(b[0] > b[2] for b in boxes):
        return [-180.0, south, 180.0, north]
    return [min(b[0] for b in boxes), south, max(b[2] for b in boxes), north]


def _covered(items: Sequence[Mapping[str, Any]]) -> str:
    return ",".join(f"{math.floor(v * 1e4) / 1e4:g}" for v in _extent(items)) if items else "nothing"


def _rfc3339(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2).encode()


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0][:200]
