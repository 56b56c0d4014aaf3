"""A confirmed edition: what experts accepted of an edition, published as its next version."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from talik_inference.measures import geodesic_measures, split_edge_perimeter
from talik_inference.review.sampling import sampled
from talik_inference.review.verdicts import Rule, Verdict, verdicts
from talik_stac.editions import (
    Edition,
    EditionDraft,
    EditionId,
    claim,
    load_edition,
    publish,
    read_geo,
    read_table,
)
from talik_stac.inventory import ATTRIBUTES, INVENTORY_SCHEMA, InventoryBuilder, schema_with
from talik_stac.reviews import standing
from talik_stac.store import Store

DRAWN_BY = "expert"
"""What stands in the column `model` of objects that no model proposed."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """What was published, or was so already."""

    edition: Edition
    published_before: bool
    """The same decisions about the same edition are published already: nothing was written."""
    counts: dict[str, int]
    """Objects that are confirmed, edited, added, rejected, undecided (decided, but neither way), unseen (by nobody)."""


@dataclass(frozen=True, kw_only=True)
class _Review:
    """What decides the bytes of a confirmed edition."""

    source: Edition
    verdicts: tuple[Verdict, ...]
    reviewer: str | None
    rule: Rule | None
    keep_candidates: bool

    @property
    def decisions(self) -> dict[str, list[str]]:
        """Ids of decisions by object."""
        return {each.object_id: each.decisions for each in self.verdicts}

    @property
    def configuration(self) -> str:
        """The hash of the source and of every decision used."""
        decided = {
            "review": 1,
            "edition": self.source.id,
            "configuration": self.source.configuration,
            "decisions": self.decisions,
            "reviewer": self.reviewer,
            "rule": self.rule,
            "keep_candidates": self.keep_candidates,
        }
        return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns that it adds to an inventory: the dates of initiation, where there are any."""
        return tuple(ATTRIBUTES.names) if any(any(each.initiated) for each in self.having("accepted")) else ()

    def having(self, outcome: str) -> list[Verdict]:
        return [each for each in self.verdicts if each.outcome == outcome]


def publish_confirmed(
    store: Store,
    edition_id: str,
    *,
    reviewer: str | None = None,
    rule: Rule | None = None,
    keep_candidates: bool = False,
) -> Confirmed:
    """Publish what was accepted of an edition as a new version of the same area and season.

    Rejected objects are left out; what is not decided stays as candidate only with `keep_candidates`. Ids stay.
    Redrawn and drawn outlines are measured anew, probability and pixels from the edition's own rasters. Where an
    expert dated the initiation of an object, the inventory has the columns `initiated_after` and `initiated_before`.
    Publishing the same decisions twice gives the first. Raises ReviewError (see `verdicts`), EditionError.
    """
    source = load_edition(store, edition_id)
    settled = verdicts(standing(store, edition_id, read_geo(store, source)), reviewer=reviewer, rule=rule)
    review = _Review(
        source=source, verdicts=tuple(settled), reviewer=reviewer, rule=rule, keep_candidates=keep_candidates
    )
    parsed = EditionId.parse(edition_id)
    claimed = claim(
        store,
        landform=parsed.landform,
        area=parsed.area,
        season=parsed.season,
        configuration=review.configuration,
    )
    counts = _counts(review, source.count)
    if claimed.published:
        return Confirmed(edition=load_edition(store, claimed.edition_id), published_before=True, counts=counts)
    with tempfile.TemporaryDirectory(prefix="talik-review-") as folder:
        draft = _draft(store, review, claimed.edition_id, Path(folder))
        return Confirmed(edition=publish(store, draft), published_before=False, counts=counts)


def _counts(review: _Review, proposed: int) -> dict[str, int]:
    accepted = Counter(
        "added" if each.added else "confirmed" if each.redrawn is None else "edited"
        for each in review.having("accepted")
    )
    seen = sum(not each.added for each in review.verdicts)
    return {
        **{name: accepted[name] for name in ("confirmed", "edited", "added")},
        "rejected": len(review.having("rejected")),
        "undecided": len(review.having("undecided")),
        "unseen": proposed - seen,
    }


def _draft(store: Store, review: _Review, edition_id: str, folder: Path) -> EditionDraft:
    """Assemble all files of the confirmed edition in `folder`."""
    source = review.source
    tiles = _copied_rasters(store, source, folder)
    observed = folder / "observed.parquet"
    observed.write_bytes(store.get(f"{source.prefix}/observed.parquet"))
    builder = InventoryBuilder(folder / "sort", attributes=review.attributes)
    builder.add(confirmed_table(read_table(store, source), review, edition_id, list(tiles.values())))
    parquet, fgb = folder / "inventory.parquet", folder / "inventory.fgb"
    summary = builder.write(parquet, fgb)
    return EditionDraft(
        edition_id=edition_id,
        season_start=source.season_start,
        season_end=source.season_end,
        configuration=review.configuration,
        footprint=shape(source.item["geometry"]),
        summary=summary,
        parquet=parquet,
        fgb=fgb,
        observed=observed,
        probability=tiles,
        run=_run_record(json.loads(store.get(f"{source.prefix}/run.json")), review),
        model=str(source.item["properties"]["talik:model"]),
        licence=str(source.item["properties"]["license"]),
    )


def _copied_rasters(store: Store, source: Edition, folder: Path) -> dict[str, Path]:
    """Fetch the probability COGs, by tile name."""
    tiles = {}
    for key in store.list(f"{source.prefix}/probability"):
        path = folder / "probability" / key.rpartition("/")[2]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(store.get(key))
        tiles[path.stem] = path
    return tiles


def confirmed_table(table: pa.Table, review: _Review, edition_id: str, tiles: Sequence[Path]) -> pa.Table:
    """Return the rows of the confirmed edition, columns of INVENTORY_SCHEMA and its attributes, in any order."""
    proposed = {row["id"]: row for row in table.select(INVENTORY_SCHEMA.names).to_pylist()}
    settled = {each.object_id: each for each in review.verdicts}
    rows = []
    for name, row in proposed.items():
        verdict = settled.get(name)
        if verdict is not None and verdict.outcome == "accepted":
            status = "confirmed" if verdict.redrawn is None else "edited"
            rows.append({**row, "status": status, "confidence": verdict.confidence})
        elif review.keep_candidates and (verdict is None or verdict.outcome == "undecided"):
            rows.append({**row, "status": "candidate", "confidence": None})
    added = [each for each in review.having("accepted") if each.object_id not in proposed]
    rows += [_drawn_row(each, review.source.landform) for each in added]
    drawn = {each.object_id: each.redrawn for each in review.having("accepted") if each.redrawn is not None}
    _measure([row for row in rows if row["id"] in drawn], drawn, tiles)
    dates = {each.object_id: each.initiated for each in review.having("accepted")}
    for row in rows:
        after, before = dates.get(row["id"], (None, None))
        row.update(edition=edition_id, initiated_after=after, initiated_before=before)
    return pa.Table.from_pylist(rows, schema=schema_with(review.attributes))


def _drawn_row(verdict: Verdict, landform: str) -> dict[str, Any]:
    """An object that no model proposed; `_measure` fills in what follows from its outline."""
    return {
        "id": verdict.object_id,
        "landform": landform,
        "probability": 0.0,
        "confidence": verdict.confidence,
        "status": "confirmed",
        "observed_start": None,
        "observed_end": None,
        "scenes": [],
        "model": DRAWN_BY,
        "on_aoi_edge": False,
        "on_data_edge": False,
        "pixels": 0,
    }


def _measure(rows: Sequence[dict[str, Any]], drawn: Mapping[str, BaseGeometry], tiles: Sequence[Path]) -> None:
    """Put an expert's outlines in the place of the proposed ones, with all that follows from them."""
    polygons = np.array([drawn[row["id"]] for row in rows], object)
    area, perimeter = geodesic_measures(polygons)
    perimeter -= split_edge_perimeter(polygons)
    inner = shapely.point_on_surface(polygons)
    seen = sampled(tiles, polygons)
    for n, row in enumerate(rows):
        row.update(
            geometry=shapely.to_wkb(polygons[n]),
            area_m2=float(area[n]),
            perimeter_m=float(perimeter[n]),
            shape_index=float(perimeter[n] / (2 * np.sqrt(np.pi * area[n]))),
            lon=float(inner[n].x),
            lat=float(inner[n].y),
        )
        if seen.pixels[n]:  # where no raster holds it, a proposed object keeps what the map said
            row.update(probability=float(seen.probability[n]), pixels=int(seen.pixels[n]))


def _run_record(run: dict[str, Any], review: _Review) -> dict[str, Any]:
    """The record of the run that mapped it, and of the review."""
    accepted = review.having("accepted")
    dates = {each.object_id: each.initiated for each in accepted if any(each.initiated)}
    return {
        **run,
        "configuration": review.configuration,
        "previous_edition": review.source.id,
        "review": {
            "source": review.source.id,
            "source_configuration": review.source.configuration,
            "reviewers": sorted({word.reviewer for each in review.verdicts for word in each.words}),
            "reviewer": review.reviewer,
            "rule": review.rule,
            "keep_candidates": review.keep_candidates,
            "counts": _counts(review, review.source.count),
            "decisions": review.decisions,
            "added": [each.object_id for each in accepted if each.added],
            "rejected": [each.object_id for each in review.having("rejected")],
            "initiated": {
                name: {"after": after and after.isoformat(), "before": before and before.isoformat()}
                for name, (after, before) in dates.items()
            },
        },
    }
