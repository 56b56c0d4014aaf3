"""Pure: uint8 probability of a block -> polygons with exact statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from talik_inference.fragments import EDGE_OF_CODE, Border, Code, Edge, Fragments, Part, empty_fragments
from talik_inference.rings import Ints, Rings, components, trace

NO_DATA = 255
"""Probability of a pixel that nobody saw."""
NO_SOURCES = np.uint64(0)

# What happens at a vertex, by which of its four pixels are landform: NW 1, NE 2, SW 4, SE 8. A visit of a ring has
# a horizontal arm (west or east) and a vertical arm (north or south), and leaves along one of them; with landform on
# the right hand it turns round its own pixel. Codes 6 and 9 are two visits (SW, NE and NW, SE), so that pixels which
# meet in a point only stay apart. Columns: vertical arm is south, leaves horizontally.
_VISIT = np.zeros((16, 2), bool)
for _code, _south, _out_horizontal in (
    (1, False, True),
    (2, False, False),
    (4, True, False),
    (8, True, True),
    (14, False, False),
    (13, False, True),
    (11, True, True),
    (7, True, False),
):
    _VISIT[_code] = _south, _out_horizontal
_FIRST_OF_TWO = {6: 4, 9: 1}
_SECOND_OF_TWO = {6: 2, 9: 8}
"""The western visit comes first, so that horizontal arms pair up in order."""


def vectorize(
    probability: NDArray[np.uint8],
    *,
    above: int,
    origin: tuple[int, int],
    inside: NDArray[np.bool_] | None = None,
    seam: NDArray[np.bool_] | None = None,
    sources: NDArray[np.uint64] | np.uint64 = NO_SOURCES,
) -> Part:
    """Polygonise the pixels of a block whose probability is above (strictly), not 255, and inside.

    `probability` uint8 (y, x); `origin` (col, row) of its first pixel on the lattice; `inside` bool (y, x), True in
    the area, None for all; `seam` bool (y, x), True where a pixel outside belongs to a neighbouring zone; `sources`
    a set of bits for each pixel, or one for all. Pixels are joined over their edges (4-connectivity).

    The polygons are those of rasterio.features.shapes, but valid where a ring touches itself; those that touch the
    block's border carry Edge.BLOCK and wait for `joining.join`.
    """
    codes = _codes(probability, above, inside, seam)
    border = Border(origin=origin, shape=codes.shape, codes=_border_codes(codes))
    landform = np.pad((codes == Code.LANDFORM).view(np.uint8), 1)
    if not landform.any():
        return Part(fragments=empty_fragments(), border=border)
    rings, walls = _block_rings(landform)
    runs = _Runs(landform)
    # A run of landform pixels lies between two walls: their rings bound one polygon.
    left, right = walls.ring_at(runs.row, runs.start), walls.ring_at(runs.row, runs.end)
    component = components(len(rings.offsets) - 1, left, right)
    owner, count = component[left], int(component.max()) + 1
    corners, ring_offsets, polygon_offsets = assemble(rings, component, origin)
    fragments = Fragments(
        corners=corners,
        ring_offsets=ring_offsets,
        polygon_offsets=polygon_offsets,
        pixels=_add(owner, runs.end - runs.start, count),
        total=_add(owner, runs.sums(probability), count),
        sources=_sources(runs, owner, sources, count),
        edges=_edges(codes, runs, owner, count),
    )
    return Part(fragments=fragments, border=border)


def to_polygons(fragments: Fragments, transform: Affine) -> NDArray[np.object_]:
    """Carry lattice corners into the CRS: x = a col + c, y = e row + f; shapely polygons, exact corners."""
    if not len(fragments):
        return np.empty(0, object)
    coordinates = np.column_stack(
        [
            transform.a * fragments.corners[:, 0] + transform.c,
            transform.e * fragments.corners[:, 1] + transform.f,
        ]
    )
    offsets = (fragments.ring_offsets, fragments.polygon_offsets)
    polygons: NDArray[np.object_] = shapely.from_ragged_array(shapely.GeometryType.POLYGON, coordinates, offsets)
    return polygons


def assemble(rings: Rings, component: Ints, origin: tuple[int, int] = (0, 0)) -> tuple[NDArray[np.int32], Ints, Ints]:
    """Gather the rings of each component, shell first: corners (vertex, 2) closed, ring and polygon offsets."""
    order = np.lexsort((np.arange(len(component)), rings.double_area < 0, component))
    length = np.diff(rings.offsets)[order]
    ring_offsets = np.concatenate([[0], np.cumsum(length + 1)])
    within = np.arange(ring_offsets[-1]) - np.repeat(ring_offsets[:-1], length + 1)
    # The node after the last is the first again.
    node = np.repeat(rings.offsets[:-1][order], length + 1) + within % np.repeat(length, length + 1)
    corners = np.column_stack([rings.x[node] + np.int32(origin[0]), rings.y[node] + np.int32(origin[1])])
    per_polygon = np.bincount(component) if len(component) else np.empty(0, np.int64)
    return corners.astype(np.int32, copy=False), ring_offsets, np.concatenate([[0], np.cumsum(per_polygon)])


def _codes(
    probability: NDArray[np.uint8],
    above: int,
    inside: NDArray[np.bool_] | None,
    seam: NDArray[np.bool_] | None,
) -> NDArray[np.uint8]:
    """The Code of each pixel: uint8 (y, x)."""
    codes = (probability > above).view(np.uint8)
    codes[probability == NO_DATA] = Code.NO_DATA
    if inside is not None:
        codes[~inside] = Code.OUTSIDE
        if seam is not None:
            codes[~inside & seam] = Code.SEAM
    return codes


class _Runs:
    """Unbroken runs of landform pixels in rows."""

    def __init__(self, landform: NDArray[np.uint8]) -> None:
        """`landform` uint8 (y + 2, x + 2), padded with zeros, so that starts and ends alternate."""
        self._width = landform.shape[1] - 2
        self._size = (landform.shape[0] - 2) * self._width
        flat = landform.ravel()
        change = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        padded_row, start = np.divmod(change[::2], landform.shape[1])
        self.row: Ints = padded_row - 1
        self.start: Ints = start - 1
        """First column."""
        self.end: Ints = self.start + (change[1::2] - change[::2])
        """Column after the last."""

    @cached_property
    def flat_start(self) -> Ints:
        """Index of the first pixel in the flat block; ascending."""
        start: Ints = self.row * self._width + self.start
        return start

    def sums(self, values: NDArray[np.uint8]) -> Ints:
        """Sum of uint8 values (y, x) over each run, exact."""
        sums: Ints = np.add.reduceat(values.ravel(), self._bounds, dtype=np.int64)[::2]
        return sums

    def union(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Bits of values (y, x) set anywhere in each run."""
        union: NDArray[np.uint64] = np.bitwise_or.reduceat(values.ravel(), self._bounds)[::2]
        return union

    def holding(self, flat_pixel: Ints) -> Ints:
        """The run that holds each landform pixel."""
        run: Ints = np.searchsorted(self.flat_start, flat_pixel, side="right") - 1
        return run

    @property
    def _bounds(self) -> Ints:
        """Flat start and end of each run in turn, for reduceat; an end behind the last pixel is left out."""
        bounds = np.column_stack([self.flat_start, self.flat_start + self.end - self.start]).ravel()
        return bounds[:-1] if len(bounds) and bounds[-1] == self._size else bounds


@dataclass(frozen=True, kw_only=True)
class _Walls:
    """The vertical stretches of all rings, by column, then row."""

    key: Ints
    """column * rows + first row, ascending."""
    ring: Ints
    rows: int

    def ring_at(self, row: Ints, column: Ints) -> Ints:
        """The ring that runs along the left side of pixel (row, column)."""
        ring: Ints = self.ring[np.searchsorted(self.key, column * self.rows + row, side="right") - 1]
        return ring


def _block_rings(landform: NDArray[np.uint8]) -> tuple[Rings, _Walls]:
    """Trace all rings of a padded block; corners relative to the block."""
    vertex, code = _corners(landform)
    y, x = np.divmod(vertex, landform.shape[1] - 1)
    rows = landform.shape[0]  # more than any y
    order = np.lexsort((_VISIT[code, 0], y, x))  # down each column, northern arm first
    south = order[0::2]
    north = order[1::2]
    vertical = np.empty(len(code), np.int64)
    vertical[south], vertical[north] = north, south
    horizontal = np.arange(len(code)) ^ 1  # nodes are sorted by row: neighbours pair up
    follows = np.where(_VISIT[code, 1], horizontal, vertical)
    same = np.flatnonzero(vertex[1:] == vertex[:-1])
    twins = np.column_stack([same, same + 1])
    rings = trace(x.astype(np.int32), y.astype(np.int32), follows, twins)
    walls = _Walls(key=x[south] * rows + y[south], ring=rings.ring_of[south], rows=rows)
    return rings, walls


def _corners(landform: NDArray[np.uint8]) -> tuple[Ints, NDArray[np.uint8]]:
    """Find the vertices where rings turn: flat index among vertices, and code of the visit; sorted, two for 6 and 9."""
    turned = landform[:-1] ^ landform[1:]  # a horizontal pixel edge left or right of the vertex
    upright = landform[:-1, :-1] ^ landform[:-1, 1:]  # a vertical pixel edge above it
    left, right = turned[:, :-1], turned[:, 1:]
    vertex = np.flatnonzero((left ^ right) | (left & right & upright))
    row, col = np.divmod(vertex, landform.shape[1] - 1)
    flat, width = landform.ravel(), landform.shape[1]
    at = row * width + col
    code = flat[at] | flat[at + 1] << 1 | flat[at + width] << 2 | flat[at + width + 1] << 3
    two = (code == 6) | (code == 9)
    if not two.any():
        return vertex, code
    node = np.repeat(np.arange(len(vertex)), np.where(two, 2, 1))
    first = np.flatnonzero(two) + np.arange(two.sum())
    codes = code[node]
    for both, western in _FIRST_OF_TWO.items():
        chosen = first[codes[first] == both]
        codes[chosen + 1] = _SECOND_OF_TWO[both]
        codes[chosen] = western
    return vertex[node], codes


def _add(owner: Ints, values: Ints, count: int) -> Ints:
    """Sum int64 by owner, exactly."""
    total = np.zeros(count, np.int64)
    np.add.at(total, owner, values)
    return total


def _sources(runs: _Runs, owner: Ints, sources: NDArray[np.uint64] | np.uint64, count: int) -> NDArray[np.uint64]:
    if np.ndim(sources) == 0:
        return np.full(count, sources, np.uint64)
    union = np.zeros(count, np.uint64)
    np.bitwise_or.at(union, owner, runs.union(np.asarray(sources)))
    return union


def _edges(codes: NDArray[np.uint8], runs: _Runs, owner: Ints, count: int) -> NDArray[np.uint8]:
    """Edge flags by component, of what lies across each pixel edge inside the block, and of its border."""
    flags = np.zeros(count, np.uint8)
    height, width = codes.shape
    at_border = (runs.row == 0) | (runs.row == height - 1) | (runs.start == 0) | (runs.end == width)
    np.bitwise_or.at(flags, owner[at_border], np.uint8(Edge.BLOCK))
    if not (codes > Code.LANDFORM).any():
        return flags
    touched = EDGE_OF_CODE[codes]
    landform = codes == Code.LANDFORM
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        for own, other in ((here, there), (there, here)):
            row, col = np.nonzero(landform[own] & (touched[other] != 0))
            pixel = (row + (own[0].start or 0)) * width + col + (own[1].start or 0)
            np.bitwise_or.at(flags, owner[runs.holding(pixel)], touched[other][row, col])
    return flags


def _border_codes(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate([codes[0], codes[-1], codes[:, 0], codes[:, -1]])
