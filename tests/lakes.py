"""A store of simulated lakes for tests of the service: several row groups, two seasons, some over the antimeridian."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import shapely

from editing import publish_polygons
from talik_stac.store import open_store

COUNT = 12_000


def outlines(count: int = COUNT, *, seed: int = 1, shift: float = 0.0) -> list[shapely.Geometry]:
    """Small ellipses and, last, five lakes over the antimeridian, each split there."""
    random = np.random.default_rng(seed)
    xy = np.column_stack([random.uniform(-60, 60, count), random.uniform(50, 75, count)])
    radius = random.uniform(0.005, 0.05, count)
    lakes = shapely.buffer(shapely.points(xy + np.array([shift, 0.0])), radius, quad_segs=2)
    over = [
        shapely.MultiPolygon([shapely.box(179.9, y, 180, y + 0.1), shapely.box(-180, y, -179.9, y + 0.1)])
        for y in (60.0, 62.0, 64.0, 66.0, 68.0)
    ]
    return [*lakes, *over]


def lake_store(folder: Path) -> str:
    """Publish water-test-2020-v1 (all lakes) and water-test-2021-v1 (a tenth of them, moved a little)."""
    root = str(folder / "store")
    store = open_store(root)
    publish_polygons(store, folder / "2020", outlines(), year=2020)
    publish_polygons(store, folder / "2021", outlines(COUNT // 10, shift=0.003), year=2021)
    return root
