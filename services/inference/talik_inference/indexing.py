"""GeoTIFFs -> COGs where they are not, STAC items and the index in the store. Running it twice changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError
from shapely.geometry.base import BaseGeometry

from talik_inference.cog import checksum, is_cog, write_cog
from talik_inference.described import Part, Patterns, describe
from talik_inference.footprint import merged, valid_footprint
from talik_inference.item import Asset, Placed, asset_key, build_item
from talik_inference.naming import is_quality
from talik_inference.sidecar import Said, SideCar, said_of
from talik_stac.conventions import SIGNATURE
from talik_stac.errors import ImageryError
from talik_stac.imagery import check_collection_id, collections, read_items, write_index
from talik_stac.store import Store

FORMAT = 1
"""Part of every signature: raised when items come to be written otherwise, so that they are written anew."""

Report = Callable[[str, int, int], None]
"""Called with what is done, how many files are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What the command was told."""

    collection: str
    said: Said = field(default_factory=Said)
    sidecar: SideCar | None = None
    datetimes: tuple[datetime, ...] = ()
    bands: tuple[tuple[str, ...], ...] = ()
    quality: tuple[tuple[str, str], ...] = ()
    """(kind, pattern): files whose names match hold that quality band."""
    patterns: Patterns = field(default_factory=Patterns)


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """What became of the items."""

    new: tuple[str, ...]
    updated: tuple[str, ...]
    unchanged: tuple[str, ...]
    converted: int
    """Files that were no COGs and now lie in the store."""
    notes: tuple[str, ...]
    """What was assumed, with the count of files."""

    def __str__(self) -> str:
        return f"{len(self.new)} new, {len(self.updated)} updated, {len(self.unchanged)} unchanged"


def index_files(store: Store, files: Sequence[Path], options: IndexOptions, report: Report | None = None) -> Indexed:
    """Index GeoTIFFs (and those in folders) as one collection.

    Every file is read and checked before the store is written. Raises ImageryError naming the file and the next
    step, with the store as it was.
    """
    say = report or _silent
    check_collection_id(options.collection)
    paths = _expanded(files)
    parts = [part for path in paths for part in _described(path, options)]
    groups = _grouped(parts)
    sums = {}
    for number, path in enumerate(paths):
        say("reading", number, len(paths))
        sums[path] = _checksum(path)
    groups = {item_id: _without_copies(item_id, group, sums) for item_id, group in groups.items()}
    before = _indexed_before(store, options.collection)
    signatures = {item_id: _signature(group, sums) for item_id, group in groups.items()}
    unchanged = [key for key in groups if _is_unchanged(store, options, before.get(key), signatures[key])]
    todo = {item_id: group for item_id, group in groups.items() if item_id not in set(unchanged)}
    for item_id, group in todo.items():
        if item_id in before:
            _check_same_files(item_id, group, before[item_id])
    converted = 0
    if todo:
        converted = _write(store, options, todo, before, (sums, signatures), say)
    return Indexed(
        new=tuple(sorted(set(todo) - set(before))),
        updated=tuple(sorted(set(todo) & set(before))),
        unchanged=tuple(sorted(unchanged)),
        converted=converted,
        notes=_counted(parts),
    )


def _silent(_what: str, _done: int, _of: int) -> None:
    """No progress is wanted."""


def _expanded(files: Sequence[Path]) -> list[Path]:
    """Absolute paths, once each; a folder gives the GeoTIFFs in it."""
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in (".tif", ".tiff"))
            if not inside:
                raise ImageryError(f"{path}: this folder holds no .tif file")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ImageryError(f"{path}: there is no such file")
    # not resolved: a link's own name may carry the date
    return list(dict.fromkeys(Path(os.path.abspath(path)) for path in found))  # noqa: PTH100


def _described(path: Path, options: IndexOptions) -> list[Part]:
    said = said_of(path, options=options.said, shared=options.sidecar)
    if len(options.datetimes) == 1:
        said = Said(datetime=options.datetimes[0]).over(said)
    bands = options.bands
    kind = next((kind for kind, pattern in options.quality if fnmatch(path.name, pattern)), None)
    if kind is not None:
        bands = ((kind,),)
    return describe(
        path,
        said=said,
        datetimes=options.datetimes,
        bands=bands,
        patterns=options.patterns,
        collection=options.collection,
    )


def _grouped(parts: Iterable[Part]) -> dict[str, list[Part]]:
    """The parts of each item; one item has one date. Raises ImageryError naming two files that disagree."""
    groups: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.item_id].append(part)
    for item_id, group in groups.items():
        first = group[0]
        for other in group[1:]:
            if other.when != first.when:
                raise ImageryError(
                    f"item {item_id}: {first.path} is of {first.when:%Y-%m-%d %H:%M}, {other.path} of "
                    f"{other.when:%Y-%m-%d %H:%M}; tell them apart with --id-pattern or a side-car's id"
                )
    return dict(sorted(groups.items()))


def _without_copies(item_id: str, group: Sequence[Part], sums: Mapping[Path, str]) -> list[Part]:
    """Drop second copies of a file. Raises ImageryError where two files of one item hold the same band otherwise."""
    kept: list[Part] = []
    for part in sorted(group, key=lambda part: part.path):
        roles = {band.role for band in part.used}
        clash = next((other for other in kept if roles & {band.role for band in other.used}), None)
        if clash is None:
            kept.append(part)
        elif sums[clash.path] != sums[part.path]:
            raise ImageryError(
                f"item {item_id}: {clash.path} and {part.path} both hold '{min(str(r) for r in roles)}' with "
                "different content; tell them apart with --id-pattern or a side-car's id"
            )
    return kept


def _checksum(path: Path) -> str:
    try:
        return checksum(path)
    except OSError as error:
        raise ImageryError(f"{path}: cannot be read: {error.strerror or error}") from error


def _indexed_before(store: Store, collection: str) -> dict[str, dict[str, Any]]:
    if collection not in collections(store):
        return {}
    return {item["id"]: item for item in read_items(store, collection)}


def _signature(group: Sequence[Part], sums: Mapping[Path, str]) -> str:
    """The sha256 of all that decides an item: the files' contents and what was said of them, not their paths."""
    said = [
        {
            "checksum": sums[part.path],
            "id": part.item_id,
            "datetime": part.when.isoformat(),
            "cloud_cover": part.cloud_cover,
            # repr tells nan from None, and 0 from 0.0 is no difference
            "bands": [(b.index, b.role, b.data_type, repr(b.nodata), b.scale, b.offset) for b in part.bands],
        }
        for part in group
    ]
    text = json.dumps({"format": FORMAT, "parts": said}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_unchanged(store: Store, options: IndexOptions, item: Mapping[str, Any] | None, signature: str) -> bool:
    """Whether the item was made from the same content and its files are still there."""
    if item is None or item["properties"].get(SIGNATURE) != signature:
        return False
    own = {store.url(key) for key in store.list(f"imagery/{options.collection}")}
    return all(href in own or Path(href).is_file() for href in _hrefs([item]))


def _check_same_files(item_id: str, group: Sequence[Part], item: Mapping[str, Any]) -> None:
    """An item may be replaced by its own files (changed, or with more bands), not by another that shares its id."""
    old = {str(asset["talik:source"]) for asset in item["assets"].values() if "talik:source" in asset}
    lost = sorted(path for path in old - {str(part.path) for part in group} if Path(path).is_file())
    if lost:
        raise ImageryError(
            f"item {item_id} is indexed already from {lost[0]}, whose content differs from {group[0].path}; give all "
            "files of the item, or tell them apart with --id-pattern, a side-car's id or another --collection"
        )


def _write(
    store: Store,
    options: IndexOptions,
    todo: Mapping[str, Sequence[Part]],
    before: Mapping[str, dict[str, Any]],
    known: tuple[Mapping[Path, str], Mapping[str, str]],
    say: Report,
) -> int:
    """Read all footprints, convert, write the index; return how many files were converted.

    What fails before the index is written leaves it as it was, and takes back the files that this call put.
    """
    sums, signatures = known
    areas = {}
    for number, (item_id, group) in enumerate(todo.items()):
        say("finding valid data", number, len(todo))
        areas[item_id] = _footprint(group)
    placed: dict[Path, Placed] = {}
    old = _converted_before(store, options.collection, before.values())
    try:
        owners = {part.path: part for group in reversed(list(todo.values())) for part in reversed(group)}
        for number, part in enumerate(reversed(list(owners.values()))):
            say("converting", number, len(owners))
            placed[part.path] = _place(store, options.collection, part, sums[part.path], old)
        items = [
            build_item(
                collection=options.collection,
                item_id=item_id,
                assets={asset_key(part, group): Asset(part=part, file=placed[part.path]) for part in group},
                footprint=areas[item_id],
                signature=signatures[item_id],
            )
            for item_id, group in todo.items()
        ]
        kept = [item for item_id, item in before.items() if item_id not in todo]
        write_index(store, options.collection, [*kept, *items])
    except BaseException:
        for file in placed.values():
            if file.key is not None:
                store.delete(file.key)
        raise
    _clean_up(store, options.collection, _hrefs(before.values()) - _hrefs([*kept, *items]))
    return sum(file.key is not None for file in placed.values())


def _hrefs(items: Iterable[Mapping[str, Any]]) -> set[str]:
    return {str(asset["href"]) for item in items for asset in item["assets"].values()}


def _footprint(group: Sequence[Part]) -> BaseGeometry:
    """The valid data of all bands that an item uses; quality bands say nothing of validity."""
    areas = []
    for part in group:
        used = [band for band in part.used if not is_quality(band.role)]
        if not used:
            continue
        try:
            with rasterio.open(part.path) as source:
                area = valid_footprint(source, [b.index for b in used], [b.nodata for b in used])
        except RasterioError as error:
            raise ImageryError(
                f"{part.path}: cannot be read: {' '.join(str(error).split())}; restore the file, or leave it out"
            ) from error
        if area is None:
            raise ImageryError(f"{part.path}: holds no valid pixel (nodata {used[0].nodata}); check --nodata")
        areas.append(area)
    if not areas:
        raise ImageryError(f"{group[0].path}: item {group[0].item_id} has a quality band only; give its image too")
    return merged(areas)


def _place(store: Store, collection: str, part: Part, source_sum: str, old: Mapping[str, Any]) -> Placed:
    """Leave a COG where it is; convert any other file into the store, once."""
    if is_cog(part.path):
        return Placed(
            href=str(part.path),
            key=None,
            checksum=source_sum,
            size_bytes=part.path.stat().st_size,
            source_checksum=source_sum,
        )
    conversion = _conversion(part, source_sum)
    if conversion in old:
        asset = old[conversion]
        return Placed(
            href=asset["href"],
            key=None,
            checksum=asset["file:checksum"],
            size_bytes=asset["file:size"],
            source_checksum=source_sum,
            conversion=conversion,
        )
    folder = f"imagery/{collection}/{part.item_id}"
    key = f"{folder}/{part.path.stem}.tif"
    if store.exists(key):  # the old file serves the old index until the new one is written
        key = f"{folder}/{part.path.stem}-{conversion}.tif"
    with tempfile.TemporaryDirectory(prefix="talik-") as temporary:
        cog = Path(temporary) / "cog.tif"
        write_cog(part.path, cog, categorical=part.categorical, nodata=part.nodata_said)
        store.put_file(key, cog)
        return Placed(
            href=store.url(key),
            key=key,
            checksum=checksum(cog),
            size_bytes=cog.stat().st_size,
            source_checksum=source_sum,
            conversion=conversion,
        )


def _conversion(part: Part, source_sum: str) -> str:
    """A name for all that decides a converted file's bytes."""
    told = f"{source_sum} {part.nodata_said!r} {part.categorical}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _converted_before(
    store: Store, collection: str, items: Iterable[Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The assets whose converted files are in the store, by conversion."""
    there = {store.url(key) for key in store.list(f"imagery/{collection}")}
    assets = [asset for item in items for asset in item["assets"].values()]
    return {
        asset["talik:conversion"]: asset for asset in assets if "talik:conversion" in asset and asset["href"] in there
    }


def _clean_up(store: Store, collection: str, unused: set[str]) -> None:
    """Delete the converted files that no item names any more; files outside the store are never touched."""
    for key in store.list(f"imagery/{collection}"):
        if store.url(key) in unused:
            store.delete(key)


def _counted(parts: Iterable[Part]) -> tuple[str, ...]:
    """Each note once, with the number of files it holds for."""
    paths: dict[str, set[Path]] = defaultdict(set)
    for part in parts:
        for note in part.notes:
            paths[note].add(part.path)
    return tuple(f"{note} ({len(of)} file{'s' * (len(of) > 1)})" for note, of in paths.items())
