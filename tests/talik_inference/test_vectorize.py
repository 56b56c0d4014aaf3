"""Vectorising and joining: equal to rasterio.features.shapes over the whole raster, whatever the blocks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.features import shapes
from scipy.ndimage import gaussian_filter, label

from talik_inference.fragments import Edge, Fragments, Part
from talik_inference.joining import join
from talik_inference.vectorize import to_polygons, vectorize

ORIGIN = (-7, 5)
PLACE = Affine.translation(-ORIGIN[0], -ORIGIN[1])


def joined(parts: list[Part]) -> Fragments:
    return Fragments.concat(list(join(parts)))


def canonical(fragments: Fragments) -> list[tuple[Any, ...]]:
    """Every polygon with all that is known of it, in an order that does not depend on how it came."""
    rows = []
    for p in range(len(fragments)):
        rings = range(fragments.polygon_offsets[p], fragments.polygon_offsets[p + 1])
        corners = tuple(
            tuple(map(tuple, fragments.corners[fragments.ring_offsets[r] : fragments.ring_offsets[r + 1]].tolist()))
            for r in rings
        )
        said = (fragments.pixels[p], fragments.total[p], fragments.sources[p], fragments.edges[p])
        rows.append((corners, *map(int, said)))
    return sorted(rows)


def assert_equals_the_oracle(water: NDArray[np.bool_], probability: NDArray[np.uint8], found: Fragments) -> None:
    """The same polygons as GDAL's, the same statistics as scipy's."""
    polygons = to_polygons(found, PLACE)
    expected = [
        shapely.make_valid(shapely.geometry.shape(geometry))
        for geometry, _ in shapes(water.astype(np.uint8), mask=water, connectivity=4)
    ]
    assert shapely.is_valid(polygons).all()
    assert len(polygons) == len(expected)
    tree = shapely.STRtree(expected)
    for polygon in polygons:
        assert sum(expected[i].equals(polygon) for i in tree.query(polygon)) == 1
    labels, _ = label(water)
    assert sorted(np.bincount(labels.ravel())[1:]) == sorted(found.pixels)
    sums = np.bincount(labels.ravel(), weights=probability.ravel().astype(np.float64))[1:]
    assert sorted(sums) == sorted(found.total)


def spiral(size: int) -> NDArray[np.bool_]:
    out = np.zeros((size, size), bool)
    y = x = 0
    dy, dx = 0, 1
    for length in range(size - 1, 0, -2):
        for _ in range(3 if length == size - 1 else 2):
            for _ in range(length):
                out[y, x] = True
                y, x = y + dy, x + dx
            dy, dx = dx, -dy
    return out


def nested(size: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[0:size, 0:size]
    ring = np.maximum(abs(y - size // 2), abs(x - size // 2))
    return np.asarray(ring % 4 < 2)


def ring_closed_by_a_corner() -> NDArray[np.bool_]:
    out = np.ones((5, 5), bool)
    out[1:4, 1:4] = False
    out[0, 0] = False
    out[1, 1] = True
    out[1, 0] = out[0, 1] = True
    out[1, 1] = False
    return out


NASTY = {
    "nothing": np.zeros((5, 7), bool),
    "everything": np.ones((5, 7), bool),
    "one pixel": np.ones((1, 1), bool),
    "one row": np.array([[True, False, True, True, False]]),
    "one column": np.array([[True], [True], [False], [True]]),
    "checkerboard": np.indices((9, 8)).sum(axis=0) % 2 == 0,
    "diagonal": np.eye(9, dtype=bool),
    "antidiagonal": np.eye(9, dtype=bool)[::-1],
    "comb": np.array([[True] * 9] + [[i % 2 == 0 for i in range(9)]] * 5),
    "spiral": spiral(17),
    "nested rings": nested(23),
    "ring closed by a corner": ring_closed_by_a_corner(),
    "holes that touch": ~np.pad(np.eye(4, dtype=bool), 2),
}


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 100])
def test_nasty_shapes_equal_the_oracle_in_blocks_of_any_size(name: str, cut: int) -> None:
    water = NASTY[name]
    probability = np.where(water, 200, 10).astype(np.uint8)
    whole = joined([vectorize(probability, above=125, origin=ORIGIN)])
    assert_equals_the_oracle(water, probability, whole)
    height, width = water.shape
    parts = [
        vectorize(probability[y : y + cut, x : x + cut], above=125, origin=(ORIGIN[0] + x, ORIGIN[1] + y))
        for y in range(0, height, cut)
        for x in range(0, width, cut)
    ]
    assert canonical(joined(parts[::-1])) == canonical(whole)


@st.composite
def landscapes(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint64]]:
    """Probability, inside and sources of a small raster: noise of any density or smooth blobs, with holes in both."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 36)), draw(st.integers(1, 36)))
    if draw(st.booleans()):
        field = gaussian_filter(rng.standard_normal(shape), 1.3) * 400 + 125
    else:
        field = rng.uniform(0, 250, shape) + draw(st.integers(-100, 100))
    probability = np.clip(field, 0, 250).astype(np.uint8)
    probability[rng.random(shape) < draw(st.sampled_from([0, 0.05, 0.3]))] = 255
    inside = rng.random(shape) >= draw(st.sampled_from([0, 0.05, 0.3]))
    return probability, inside, rng.integers(0, 16, shape).astype(np.uint64)


@st.composite
def cuts(draw: st.DrawFn, size: int) -> list[int]:
    inner = draw(st.lists(st.integers(1, max(1, size - 1)), max_size=5, unique=True))
    return sorted({0, size, *(i for i in inner if i < size)})


@settings(max_examples=120, deadline=None)
@given(landscapes(), st.data())
def test_any_blocks_in_any_order_give_the_polygons_of_the_whole(
    landscape: tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.uint64]], data: st.DataObject
) -> None:
    probability, inside, sources = landscape
    water = (probability > 125) & (probability != 255) & inside
    whole = joined([vectorize(probability, above=125, origin=ORIGIN, inside=inside, sources=sources)])
    assert_equals_the_oracle(water, probability, whole)
    parts = []
    for top, bottom in pairwise(data.draw(cuts(water.shape[0]))):
        # Each row of blocks is cut for itself: the blocks need not form a regular grid.
        for left, right in pairwise(data.draw(cuts(water.shape[1]))):
            here = np.s_[top:bottom, left:right]
            part = vectorize(
                np.ascontiguousarray(probability[here]),
                above=125,
                origin=(ORIGIN[0] + left, ORIGIN[1] + top),
                inside=inside[here],
                sources=np.ascontiguousarray(sources[here]),
            )
            parts.append(Part.from_arrow(part.to_arrow()))
    shuffled = data.draw(st.permutations(parts))
    assert canonical(joined(list(shuffled))) == canonical(whole)


def test_edges_say_what_an_object_touches() -> None:
    probability = np.full((5, 12), 10, np.uint8)
    probability[1:4, 1:3] = probability[1:4, 5:7] = probability[1:4, 9:11] = 200
    inside = np.ones((5, 12), bool)
    inside[:, 0] = False
    probability[:, 7] = 255
    whole = joined([vectorize(probability, above=125, origin=(0, 0), inside=inside)])
    assert whole.edges.tolist() == [Edge.AOI, Edge.DATA, Edge.NONE]


def test_a_seam_is_told_from_the_edge_of_the_area() -> None:
    probability = np.full((3, 4), 200, np.uint8)
    inside = np.array([[True, True, False, False]] * 3)
    seam = np.array([[False, False, True, True]] * 3)
    part = vectorize(probability, above=125, origin=(0, 0), inside=inside, seam=seam)
    whole = Fragments.concat(list(join([part], beyond=lambda x, y: np.zeros(len(x), np.uint8))))
    assert whole.edges.tolist() == [Edge.SEAM]


def test_memory_holds_only_what_is_open() -> None:
    """Polygons that touch no block border leave the join at once, block by block."""
    probability = np.full((10, 10), 10, np.uint8)
    probability[4:6, 4:6] = 200
    seen = []

    def parts() -> Any:
        for number in range(5):
            seen.append(number)
            yield vectorize(probability, above=125, origin=(10 * number, 0))

    stream = join(parts())
    next(stream)
    assert seen == [0]
    assert sum(len(f) for f in stream) == 4


def test_a_part_survives_arrow_without_a_polygon() -> None:
    part = vectorize(np.zeros((3, 4), np.uint8), above=125, origin=(2, 3))
    back = Part.from_arrow(part.to_arrow())
    assert len(back.fragments) == 0
    assert np.array_equal(back.border.codes, part.border.codes)
    assert (back.border.origin, back.border.shape) == ((2, 3), (3, 4))
