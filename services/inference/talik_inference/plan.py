"""The plan of a run: which blocks to map, each with its scenes; decided before any pixel is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import shapely
from shapely.geometry.base import BaseGeometry

from talik_inference.grid import Lattice, Rect
from talik_inference.region import rect_of_region, touches
from talik_inference.zones import Zone
from talik_stac.errors import RecipeError
from talik_stac.scenes import Scene

TILE_PX = 4096
"""Side of a published probability COG. Anchored to the lattice, so no run setting can move it."""
MAX_BLOCK_PX = 8192


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The model's windows: cores of `core_px` anchored at lattice pixel (0, 0), each with `halo_px` around it."""

    core_px: int
    halo_px: int

    @property
    def window_px(self) -> int:
        """Side of what the model sees."""
        return self.core_px + 2 * self.halo_px


@dataclass(frozen=True, kw_only=True)
class Block:
    """A group of windows of one zone: the unit of work and of resuming."""

    id: str
    """Zone, side in pixels and position: unique within a run whatever its block size."""
    zone: int
    """Index into Plan.zones."""
    core: Rect
    """Whole window cores; blocks of a zone do not overlap."""
    scenes: tuple[int, ...]
    """Indices into the zone's scenes that may touch the block or its halo, best first."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a run will do."""

    zones: tuple[Zone, ...]
    windows: Windows
    blocks: tuple[Block, ...]

    @property
    def pixels(self) -> int:
        """Pixels of all blocks, those outside the area included."""
        return sum(block.core.width * block.core.height for block in self.blocks)

    def scenes(self) -> list[Scene]:
        """The scenes that some block uses, each once, by date and id."""
        used = {(b.zone, i) for b in self.blocks for i in b.scenes}
        scenes = [self.zones[zone].scenes[i] for zone, i in used]
        return sorted(scenes, key=lambda s: (s.datetime, s.id))

    def tiles(self, zone: int) -> Iterator[Rect]:
        """The probability tiles of a zone, row by row: fixed cells of the lattice that its blocks touch."""
        rects = [b.core for b in self.blocks if b.zone == zone]
        yield from sorted({t for r in rects for t in r.cells(TILE_PX)}, key=lambda r: (r.row, r.col))

    def blocks_touching(self, zone: int, rect: Rect) -> list[Block]:
        """The blocks of a zone that share pixels with a rectangle."""
        return [b for b in self.blocks if b.zone == zone and not b.core.intersect(rect).empty]


def plan_blocks(zones: Sequence[Zone], windows: Windows, *, block_px: int) -> Plan:
    """Cut each zone's ground into blocks of about `block_px` pixels a side (whole cores, at least one).

    Raises RecipeError where a block would not fit in memory.
    """
    per_side = max(1, block_px // windows.core_px)
    side = per_side * windows.core_px
    if side > MAX_BLOCK_PX:
        raise RecipeError(f"a block of {side} px a side is too large; at most {MAX_BLOCK_PX} px")
    blocks = [block for number, zone in enumerate(zones) for block in _zone_blocks(number, zone, windows, side)]
    return Plan(zones=tuple(zones), windows=windows, blocks=tuple(blocks))


def _zone_blocks(number: int, zone: Zone, windows: Windows, side: int) -> Iterator[Block]:
    """Yield the blocks that hold some ground of the zone, row by row."""
    if zone.mapped.is_empty:
        return
    footprints = [scene.footprint for scene in zone.scenes]
    shapely.prepare(footprints)
    for rect in _cells_on(zone.lattice, zone.mapped, side):
        found = _scenes_near(zone.lattice, rect.expand(windows.halo_px), footprints)
        if found:
            block_id = f"{zone.lattice.key}-{side}-{rect.col // side}-{rect.row // side}"
            yield Block(id=block_id, zone=number, core=rect, scenes=found)


def _cells_on(lattice: Lattice, region: BaseGeometry, side: int) -> Iterator[Rect]:
    """Yield the cells of the lattice that touch a lon/lat region."""
    shapely.prepare(region)
    for rect in rect_of_region(lattice, region).cells(side):
        if touches(lattice, rect, region):
            yield rect


def _scenes_near(lattice: Lattice, rect: Rect, footprints: Sequence[BaseGeometry]) -> tuple[int, ...]:
    return tuple(i for i, footprint in enumerate(footprints) if touches(lattice, rect, footprint))
