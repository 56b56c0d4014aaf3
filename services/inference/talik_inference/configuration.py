"""The configuration hash: everything that decides the bytes of an edition, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from talik_inference.model import ModelCard
from talik_inference.plan import Plan
from talik_inference.season import Season
from talik_stac.aoi import AreaOfInterest
from talik_stac.landforms import Recipe
from talik_stac.scenes import Scene

FORMAT = 2
"""Raised whenever the same configuration would give other bytes."""


def configuration_hash(aoi: AreaOfInterest, season: Season, recipe: Recipe, card: ModelCard, plan: Plan) -> str:
    """Hash area, season, recipe, model, lattices and scenes; not block size, executor, workers or order."""
    configuration = {
        "format": FORMAT,
        "aoi": {"name": aoi.name, "geometry": aoi.geometry.normalize().wkb_hex},
        "season": [season.start.isoformat(), season.end.isoformat()],
        "recipe": recipe.model_dump(mode="json"),
        "model": card.deciding,
        "lattices": [[z.lattice.crs, z.lattice.resolution, z.lattice.phase_x, z.lattice.phase_y] for z in plan.zones],
        "scenes": [_scene(scene) for scene in plan.scenes()],
    }
    text = json.dumps(configuration, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _scene(scene: Scene) -> dict[str, Any]:
    """A scene by its id, its files and their checksums where the item has them."""
    assets = scene.item.get("assets", {})
    return {
        "id": scene.id,
        "datetime": scene.datetime.isoformat(),
        "cloud_cover": scene.cloud_cover,
        "bands": [
            [b.name, b.href, b.index, b.scale, b.offset, None if b.nodata is None else str(b.nodata)]
            for b in scene.bands.values()
        ],
        "quality": None if scene.quality is None else [scene.quality.kind, scene.quality.href],
        "checksums": sorted(str(asset["file:checksum"]) for asset in assets.values() if "file:checksum" in asset),
    }
