"""Polygons of integer pixel corners with exact statistics: what a block hands to the join."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Code(IntEnum):
    """What a pixel is to the polygons."""

    BACKGROUND = 0
    LANDFORM = 1
    NO_DATA = 2
    OUTSIDE = 3
    """Outside the area of interest."""
    SEAM = 4
    """In the area, but mapped by the neighbouring zone."""


class Edge(IntFlag):
    """What a polygon touches with at least one pixel edge."""

    NONE = 0
    AOI = 1
    """A pixel outside the area of interest: the object may go on there."""
    DATA = 2
    """A pixel without valid data."""
    BLOCK = 4
    """The border of the block: to be joined. Never set after joining."""
    SEAM = 8
    """A pixel that the neighbouring zone maps."""


EDGE_OF_CODE = np.array([Edge.NONE, Edge.NONE, Edge.DATA, Edge.AOI, Edge.SEAM], np.uint8)


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """Polygons as ragged arrays (the layout of shapely.to_ragged_array for polygons).

    Polygon p owns rings polygon_offsets[p]:polygon_offsets[p+1], its shell first; ring r owns
    corners[ring_offsets[r]:ring_offsets[r+1]], closed (last equals first). Each ring starts at its first corner
    (smallest y, then x), the landform on its right hand; holes follow each other by their first corner.
    """

    corners: NDArray[np.int32]
    """(vertex, 2): x (column) and y (row, downwards) of pixel corners on the lattice; only true corners."""
    ring_offsets: NDArray[np.int64]
    """(ring + 1,)"""
    polygon_offsets: NDArray[np.int64]
    """(polygon + 1,)"""
    pixels: NDArray[np.int64]
    """(polygon,): count of pixels."""
    total: NDArray[np.int64]
    """(polygon,): sum of uint8 probability (0..250) over the pixels; exact."""
    sources: NDArray[np.uint64]
    """(polygon,): bit i is set where source i gave at least one pixel."""
    edges: NDArray[np.uint8]
    """(polygon,): Edge flags."""

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, chosen: NDArray[np.intp]) -> Fragments:
        """Some of the polygons, in the order given."""
        rings, polygon_offsets = _ragged(self.polygon_offsets, chosen)
        vertices, ring_offsets = _ragged(self.ring_offsets, rings)
        return Fragments(
            corners=self.corners[vertices],
            ring_offsets=ring_offsets,
            polygon_offsets=polygon_offsets,
            pixels=self.pixels[chosen],
            total=self.total[chosen],
            sources=self.sources[chosen],
            edges=self.edges[chosen],
        )

    @staticmethod
    def concat(parts: Sequence[Fragments]) -> Fragments:
        """All polygons of several parts, in order."""
        if not parts:
            return empty_fragments()
        return Fragments(
            corners=np.concatenate([p.corners for p in parts]),
            ring_offsets=_chained([p.ring_offsets for p in parts]),
            polygon_offsets=_chained([p.polygon_offsets for p in parts]),
            pixels=np.concatenate([p.pixels for p in parts]),
            total=np.concatenate([p.total for p in parts]),
            sources=np.concatenate([p.sources for p in parts]),
            edges=np.concatenate([p.edges for p in parts]),
        )


def empty_fragments() -> Fragments:
    """No polygon."""
    return Fragments(
        corners=np.empty((0, 2), np.int32),
        ring_offsets=np.zeros(1, np.int64),
        polygon_offsets=np.zeros(1, np.int64),
        pixels=np.empty(0, np.int64),
        total=np.empty(0, np.int64),
        sources=np.empty(0, np.uint64),
        edges=np.empty(0, np.uint8),
    )


@dataclass(frozen=True, kw_only=True)
class Border:
    """The outermost pixels of a block, so that its neighbours know what they touch."""

    origin: tuple[int, int]
    """(col, row) of the block's first pixel on the lattice."""
    shape: tuple[int, int]
    """(y, x) in pixels."""
    codes: NDArray[np.uint8]
    """Code of each border pixel: top row, bottom row, left column, right column, end to end (corners twice)."""

    def pixels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(x, y) of the pixels in `codes`."""
        (col, row), (height, width) = self.origin, self.shape
        across, down = np.arange(width, dtype=np.int64) + col, np.arange(height, dtype=np.int64) + row
        x = np.concatenate([across, across, np.full(height, col), np.full(height, col + width - 1)])
        y = np.concatenate([np.full(width, row), np.full(width, row + height - 1), down, down])
        return x, y


@dataclass(frozen=True, kw_only=True)
class Part:
    """The polygons of one block and what its neighbours must know."""

    fragments: Fragments
    border: Border

    def to_arrow(self) -> pa.Table:
        """One row a polygon, the border in the schema's metadata."""
        f = self.fragments
        vertex = pa.FixedSizeListArray.from_arrays(pa.array(f.corners.ravel(), pa.int32()), 2)
        ring = pa.ListArray.from_arrays(pa.array(f.ring_offsets.astype(np.int32)), vertex)
        rings = pa.ListArray.from_arrays(pa.array(f.polygon_offsets.astype(np.int32)), ring)
        table = pa.table({"rings": rings, "pixels": f.pixels, "total": f.total, "sources": f.sources, "edges": f.edges})
        place = json.dumps({"origin": self.border.origin, "shape": self.border.shape})
        return table.replace_schema_metadata({"border": self.border.codes.tobytes().hex(), "place": place})

    @staticmethod
    def from_arrow(table: pa.Table) -> Part:
        """The inverse of `to_arrow`."""
        table = table.combine_chunks()
        rings = _only(table["rings"], pa.list_(pa.list_(pa.list_(pa.int32(), 2))))
        place = json.loads(table.schema.metadata[b"place"])
        fragments = Fragments(
            corners=rings.values.values.values.to_numpy(zero_copy_only=False).reshape(-1, 2),
            ring_offsets=rings.values.offsets.to_numpy().astype(np.int64),
            polygon_offsets=rings.offsets.to_numpy().astype(np.int64),
            pixels=table["pixels"].to_numpy(),
            total=table["total"].to_numpy(),
            sources=table["sources"].to_numpy(),
            edges=table["edges"].to_numpy(),
        )
        border = Border(
            origin=(place["origin"][0], place["origin"][1]),
            shape=(place["shape"][0], place["shape"][1]),
            codes=np.frombuffer(bytes.fromhex(table.schema.metadata[b"border"].decode()), np.uint8),
        )
        return Part(fragments=fragments, border=border)


def _only(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """The column as one array, also where it has no rows."""
    return column.chunk(0) if column.num_chunks else pa.array([], kind)


def _ragged(offsets: NDArray[np.int64], chosen: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the members of the chosen groups, and the offsets of the chosen groups among them."""
    lengths = np.diff(offsets)[chosen]
    new = np.concatenate([[0], np.cumsum(lengths)])
    members = np.arange(new[-1]) + np.repeat(offsets[:-1][chosen] - new[:-1], lengths)
    return members, new


def _chained(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    starts = np.cumsum([0, *(o[-1] for o in offsets)])
    return np.concatenate([[0], *(o[1:] + start for o, start in zip(offsets, starts[:-1], strict=True))])
