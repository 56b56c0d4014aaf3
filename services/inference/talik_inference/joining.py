"""Joining: the polygons of blocks -> the polygons of the whole raster, as if it had been polygonised at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talik_inference.fragments import EDGE_OF_CODE, Border, Code, Edge, Fragments, Part
from talik_inference.rings import Ints, components, trace
from talik_inference.vectorize import assemble

Beyond = Callable[[Ints, Ints], NDArray[np.uint8]]
"""(x, y) of lattice pixels that lie in no block -> their Code: uint8, never LANDFORM."""

_STEP_X, _STEP_Y = np.array([0, 1, 0, -1]), np.array([-1, 0, 1, 0])
"""Of a directed edge to the north, east, south, west; adding 1 to a direction turns right."""


def all_outside(x: Ints, y: Ints) -> NDArray[np.uint8]:
    """Whatever lies in no block lies outside the area."""
    del y
    return np.full(len(x), Code.OUTSIDE, np.uint8)


def join(parts: Iterable[Part], *, beyond: Beyond = all_outside) -> Iterator[Fragments]:
    """Join the polygons of blocks of one lattice, in any order and of any sizes, that do not overlap.

    Polygons that touch no block border pass through at once; the others are held until all blocks are seen, so
    memory grows with the borders and not with the area. Each polygon is the same whatever the blocks were.
    """
    held: list[Fragments] = []
    borders: list[Border] = []
    for part in parts:
        fragments = part.fragments
        opened = (fragments.edges & Edge.BLOCK) != 0
        if not opened.all():
            yield fragments.take(np.flatnonzero(~opened))
        if opened.any():
            held.append(fragments.take(np.flatnonzero(opened)))
        borders.append(part.border)
    if held:
        yield _joined(Fragments.concat(held), borders, beyond)


@dataclass(frozen=True, kw_only=True)
class _Edges:
    """Directed pixel edges, landform on the right hand: parallel arrays."""

    x: Ints
    y: Ints
    """Start."""
    direction: Ints
    """0 north, 1 east, 2 south, 3 west."""
    length: Ints
    owner: Ints
    """Index of the held polygon."""
    on_border: NDArray[np.bool_]
    """One pixel long, on the line of a block border."""

    @property
    def end(self) -> tuple[Ints, Ints]:
        """(x, y)"""
        return (
            self.x + self.length * _STEP_X[self.direction],
            self.y + self.length * _STEP_Y[self.direction],
        )

    def take(self, chosen: NDArray[np.generic]) -> _Edges:
        return _Edges(
            x=self.x[chosen],
            y=self.y[chosen],
            direction=self.direction[chosen],
            length=self.length[chosen],
            owner=self.owner[chosen],
            on_border=self.on_border[chosen],
        )


def _joined(held: Fragments, borders: list[Border], beyond: Beyond) -> Fragments:
    """Cancel the edges that two blocks share, link the polygons across them and trace the rest anew."""
    edges, linked = _cancel(_edges_of(held, borders))
    component = components(len(held), *linked)
    count = int(component.max()) + 1
    flags = np.zeros(count, np.uint8)
    np.bitwise_or.at(flags, component, held.edges & np.uint8(~Edge.BLOCK & 0xFF))
    outer = edges.take(edges.on_border)
    np.bitwise_or.at(flags, component[outer.owner], _across(outer, borders, beyond))
    corner, follows, twins = _chain(edges)
    rings = trace(corner.x.astype(np.int32), corner.y.astype(np.int32), follows, twins)
    ring_component = np.empty(len(rings.offsets) - 1, np.int64)
    ring_component[rings.ring_of] = component[corner.owner]
    rank = _by_first_ring(ring_component, count)
    corners, ring_offsets, polygon_offsets = assemble(rings, rank[ring_component])
    place = rank[component]
    pixels, total, sources = (np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.uint64))
    np.add.at(pixels, place, held.pixels)
    np.add.at(total, place, held.total)
    np.bitwise_or.at(sources, place, held.sources)
    return Fragments(
        corners=corners,
        ring_offsets=ring_offsets,
        polygon_offsets=polygon_offsets,
        pixels=pixels,
        total=total,
        sources=sources,
        edges=flags[np.argsort(rank)],
    )


def _by_first_ring(ring_component: Ints, count: int) -> Ints:
    """The place of each component in the order of first rings: the order of the blocks leaves no trace."""
    _, first = np.unique(ring_component, return_index=True)
    rank = np.empty(count, np.int64)
    rank[np.argsort(first)] = np.arange(count)
    return rank


def _edges_of(held: Fragments, borders: list[Border]) -> _Edges:
    """The edges of all rings. Those on the line of any block border are cut to pixels."""
    corners = held.corners.astype(np.int64)
    begin = np.ones(len(corners), bool)
    begin[held.ring_offsets[1:] - 1] = False
    start = np.flatnonzero(begin)
    x, y = corners[start].T
    dx, dy = (corners[start + 1] - corners[start]).T
    direction = np.where(dy < 0, 0, np.where(dx > 0, 1, np.where(dy > 0, 2, 3)))
    polygon_of_ring = np.repeat(np.arange(len(held)), np.diff(held.polygon_offsets))
    owner = np.repeat(polygon_of_ring, np.diff(held.ring_offsets))[start]
    columns = np.unique([c for b in borders for c in (b.origin[0], b.origin[0] + b.shape[1])])
    rows = np.unique([r for b in borders for r in (b.origin[1], b.origin[1] + b.shape[0])])
    on_border = np.where(dx == 0, np.isin(x, columns), np.isin(y, rows))
    length = np.abs(dx) + np.abs(dy)
    pieces = np.where(on_border, length, 1)
    edge = np.repeat(np.arange(len(x)), pieces)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return _Edges(
        x=x[edge] + step * _STEP_X[direction[edge]],
        y=y[edge] + step * _STEP_Y[direction[edge]],
        direction=direction[edge],
        length=np.where(on_border, 1, length)[edge],
        owner=owner[edge],
        on_border=on_border[edge],
    )


def _cancel(edges: _Edges) -> tuple[_Edges, tuple[Ints, Ints]]:
    """Take out the pairs of opposite edges; return those that stay, and the polygons that each pair links.

    Two polygons share a pixel edge exactly where one runs along it one way and the other back.
    """
    back = (edges.direction == 0) | (edges.direction == 3)
    end_x, end_y = edges.end
    west, north = np.where(back, end_x, edges.x), np.where(back, end_y, edges.y)
    order = np.lexsort((edges.direction, edges.direction % 2, west, north))
    w, n, d = west[order], north[order], edges.direction[order]
    pair = np.flatnonzero((w[1:] == w[:-1]) & (n[1:] == n[:-1]) & (d[1:] - d[:-1] == 2))
    first, second = order[pair], order[pair + 1]
    kept = np.ones(len(order), bool)
    kept[first] = kept[second] = False
    return edges.take(kept), (edges.owner[first], edges.owner[second])


def _across(edges: _Edges, borders: list[Border], beyond: Beyond) -> NDArray[np.uint8]:
    """Edge flags of the pixel on the left hand of each one-pixel edge."""
    x = edges.x + np.array([-1, 0, 0, -1])[edges.direction]
    y = edges.y + np.array([-1, -1, 0, 0])[edges.direction]
    code, known = _look_up(x, y, borders)
    outer = np.flatnonzero(~known)
    outer = outer[~_in_blocks(x[outer], y[outer], borders)]
    if len(outer):
        code[outer] = beyond(x[outer], y[outer])
    flags: NDArray[np.uint8] = EDGE_OF_CODE[code]
    return flags


def _look_up(x: Ints, y: Ints, borders: list[Border]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The codes of pixels on a block's border, BACKGROUND elsewhere; and which were found."""
    pixels = [border.pixels() for border in borders]
    border_x, border_y = np.concatenate([p[0] for p in pixels]), np.concatenate([p[1] for p in pixels])
    codes = np.concatenate([border.codes for border in borders])
    if not len(x):
        return np.empty(0, np.uint8), np.empty(0, bool)
    low_x, low_y = min(border_x.min(), x.min()), min(border_y.min(), y.min())
    span = max(border_x.max(), x.max()) - low_x + 1
    key, wanted = (border_y - low_y) * span + (border_x - low_x), (y - low_y) * span + (x - low_x)
    order = np.argsort(key, kind="stable")
    place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
    known = key[order][place] == wanted
    return np.where(known, codes[order][place], Code.BACKGROUND).astype(np.uint8), known


def _in_blocks(x: Ints, y: Ints, borders: list[Border]) -> NDArray[np.bool_]:
    """Which pixels lie in some block."""
    within = np.zeros(len(x), bool)
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    for border in borders:
        (col, row), (height, width) = border.origin, border.shape
        span = order[np.searchsorted(ordered, col) : np.searchsorted(ordered, col + width)]
        within[span[(y[span] >= row) & (y[span] < row + height)]] = True
    return within


def _chain(edges: _Edges) -> tuple[_Edges, Ints, Ints]:
    """Link edges end to end and drop the vertices where nothing turns.

    Returns the edges that start at corners, sorted by (y, x); the index of the corner that follows each; and the
    pairs of corners at vertices where four edges meet. There a ring turns right, round its own pixel, as in a block.
    """
    edges = edges.take(np.lexsort((edges.direction, edges.x, edges.y)))
    low, span = edges.x.min(), edges.x.max() - edges.x.min() + 1
    end_x, end_y = edges.end
    start_key = edges.y * span + (edges.x - low)
    end_key = end_y * span + (end_x - low)
    first = np.searchsorted(start_key, end_key, side="left")
    two = np.searchsorted(start_key, end_key, side="right") - first == 2
    turns_right = edges.direction[first] == (edges.direction + 1) % 4
    follows = first + (two & ~turns_right)
    before = np.empty(len(follows), np.int64)
    before[follows] = np.arange(len(follows))
    turns = edges.direction[before] != edges.direction
    corner = np.where(turns, np.arange(len(follows)), follows)  # the next corner, itself included
    while not turns[corner].all():
        corner = corner[corner]
    index = np.cumsum(turns) - 1
    at = np.flatnonzero(turns)
    same = np.flatnonzero(start_key[at][1:] == start_key[at][:-1])
    return edges.take(at), index[corner[follows[at]]], np.column_stack([same, same + 1])
