"""Which candidates to look at first: those from which an expert's answer teaches most."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from talik_stac.editions import Edition, load_edition, previous_edition, read_geo
from talik_stac.errors import EditionError
from talik_stac.exports import check_target, write_frame
from talik_stac.matching import overlapping
from talik_stac.reviews import Standing, standing, valid_polygons
from talik_stac.store import Store

ISOLATED_M = 1_000.0
"""Distance to the nearest known object at which isolation is one half."""
METRES_PER_DEGREE = 111_195.0
"""Of a great circle on a sphere of 6,371 km; isolation needs no more."""
ENDINGS = (".gpkg", ".csv")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How much each part counts; only their ratios matter."""

    uncertainty: float = 1.0
    size: float = 1.0
    novelty: float = 1.0

    def __post_init__(self) -> None:
        """Refuse weights that order nothing."""
        values = (self.uncertainty, self.size, self.novelty)
        if min(values) < 0 or sum(values) <= 0 or not np.isfinite(values).all():
            raise EditionError(f"weights {values}; expected numbers from 0 on, one of them above 0")


def candidates(
    store: Store,
    edition_id: str,
    *,
    weights: Weights | None = None,
    reviewer: str | None = None,
    decided_too: bool = False,
) -> geopandas.GeoDataFrame:
    """Order an edition's objects by the value of looking at them, the highest first.

    Left out is what `reviewer` (anyone, where None) decided, unless `decided_too`. Adds the columns `value`,
    `uncertainty`, `size`, `novelty` (all 0-1, see `inspection_value`) and `decided` (by whom, comma-joined).
    """
    edition = load_edition(store, edition_id)
    frame = read_geo(store, edition)
    decided = standing(store, edition_id, frame)
    known = _known(store, edition, decided)
    scored = frame.assign(**inspection_value(frame, known, weights or Weights()))
    by = _decided_by(decided, reviewer)
    scored["decided"] = [",".join(by.get(name, ())) for name in scored["id"]]
    chosen = scored if decided_too else scored[scored["decided"] == ""]
    return chosen.sort_values(["value", "id"], ascending=[False, True], kind="stable").reset_index(drop=True)


def inspection_value(
    frame: geopandas.GeoDataFrame, known: NDArray[np.object_], weights: Weights
) -> dict[str, NDArray[np.float64]]:
    """Return value and its parts, all 0-1; `known` are polygons (lon/lat) decided or mapped before.

    value = (wu * uncertainty + ws * size + wn * novelty) / (wu + ws + wn), with
    uncertainty = -p log2 p - (1 - p) log2 (1 - p), the entropy of the model's mean probability p (uncertainty
    sampling: Lewis and Gale 1994, https://arxiv.org/abs/cmp-lg/9407020, by Shannon's entropy);
    size = log(area / smallest) / log(largest / smallest) over the edition, 1 where all are equal;
    novelty = (new + isolation) / 2: new is 1 where the object overlaps nothing known, isolation d / (d + 1 km) with
    d the distance to the nearest known object; novelty is 1 where nothing is known.
    """
    parts = {
        "uncertainty": entropy(frame["probability"].to_numpy(dtype=np.float64)),
        "size": _log_size(frame["area_m2"].to_numpy(dtype=np.float64)),
        "novelty": novelty(frame.geometry.to_numpy(), known),
    }
    weight = {"uncertainty": weights.uncertainty, "size": weights.size, "novelty": weights.novelty}
    total = sum(weight[name] * part for name, part in parts.items()) / sum(weight.values())
    return {"value": np.asarray(total, dtype=np.float64), **parts}


def entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in bits of a yes with this probability: 1 at 0.5, 0 at 0 and 1 (and where it is not known)."""
    p = np.clip(np.nan_to_num(probability), 0, 1)
    bits = np.zeros(len(p))
    for share in (p, 1 - p):
        bits -= share * np.log2(share, out=np.zeros(len(p)), where=share > 0)
    return bits


def _log_size(area_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(area_m2):
        return np.empty(0)
    logs = np.log(np.maximum(area_m2, 1e-6))
    span = logs.max() - logs.min()
    return np.ones(len(logs)) if span == 0 else (logs - logs.min()) / span


def novelty(geometry: NDArray[np.object_], known: NDArray[np.object_]) -> NDArray[np.float64]:
    """Half for overlapping nothing known, half for lying far from it."""
    if not len(geometry) or not len(known):
        return np.ones(len(geometry))
    here, there = valid_polygons(geometry), valid_polygons(known)
    pairs = overlapping(here, there)
    new = np.ones(len(here))
    new[pairs.a] = 0.0
    distance = _nearest_m(here, there)
    return (new + distance / (distance + ISOLATED_M)) / 2


def _nearest_m(here: NDArray[np.object_], there: NDArray[np.object_]) -> NDArray[np.float64]:
    """Metres from each object to the nearest of the others, on a map that is true at the middle latitude."""
    middle = np.radians(np.mean(shapely.bounds(here)[:, [1, 3]]))

    def flat(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        metres: NDArray[np.float64] = lonlat * METRES_PER_DEGREE * np.array([np.cos(middle), 1.0])
        return metres

    tree = shapely.STRtree(shapely.transform(there, flat))
    pairs, distance = tree.query_nearest(shapely.transform(here, flat), return_distance=True, all_matches=False)
    found = np.zeros(len(here))
    found[pairs[0]] = distance
    return found


def _known(store: Store, edition: Edition, decided: list[Standing]) -> NDArray[np.object_]:
    """Outlines that were decided in any way, and of the earlier edition's objects."""
    outlines = [each.redrawn or each.decision.seen for each in decided]
    before = previous_edition(
        store,
        landform=edition.landform,
        area=edition.area,
        season_start=edition.season_start,
        edition_id=edition.id,
    )
    if before is not None and (before.season_start, before.version) < (edition.season_start, edition.version):
        outlines += read_geo(store, before).geometry.tolist()
    return np.array(outlines, object)


def _decided_by(decided: list[Standing], reviewer: str | None) -> dict[str, list[str]]:
    by: dict[str, list[str]] = {}
    for each in decided:
        if reviewer in (None, each.reviewer):
            by.setdefault(each.object_id, []).append(each.reviewer)
    return by


def write_candidates(frame: geopandas.GeoDataFrame, path: Path, *, overwrite: bool = False) -> None:
    """Write ordered candidates as a GeoPackage or as CSV with the outlines as WKT. Raises EditionError."""
    check_target(path, ENDINGS, overwrite=overwrite)
    flat = frame.drop(columns=[name for name in ("scenes", "bbox") if name in frame.columns])
    flat.insert(0, "rank", np.arange(1, len(flat) + 1))
    if path.suffix == ".csv":
        table = pd.DataFrame(flat.drop(columns="geometry")).assign(wkt=flat.geometry.to_wkt(rounding_precision=9))
        table.to_csv(path, index=False, lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
        return
    write_frame(geopandas.GeoDataFrame(flat, geometry="geometry", crs="OGC:CRS84"), path, overwrite=overwrite)
