"""The Hilbert curve: every place once, neighbours side by side, as geopandas draws it."""

from __future__ import annotations

import geopandas
import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from talik_stac.hilbert import ORDER, hilbert_codes


def _cell_centres(order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The centres of the cells of a grid of 2^order x 2^order over the world."""
    side = 2**order
    x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
    return x.ravel() / side * 360 - 180, y.ravel() / side * 180 - 90


def test_each_cell_of_a_grid_is_visited_once_and_the_next_one_is_its_neighbour() -> None:
    order = 5
    lon, lat = _cell_centres(order)
    cells = hilbert_codes(lon, lat) >> np.uint64(2 * (ORDER - order))
    np.testing.assert_array_equal(np.sort(cells), np.arange(4**order))
    path = np.argsort(cells)
    side = 2**order
    steps = np.abs(np.diff(lon[path])) / 360 * side + np.abs(np.diff(lat[path])) / 180 * side
    np.testing.assert_allclose(steps, 1)


def test_a_cell_of_any_coarser_grid_is_one_stretch_of_the_curve() -> None:
    lon, lat = _cell_centres(6)
    order = np.argsort(hilbert_codes(lon, lat))
    column, row = ((lon + 180) / 360 * 8).astype(int)[order], ((lat + 90) / 180 * 8).astype(int)[order]
    cell = row * 8 + column
    assert np.count_nonzero(np.diff(cell)) == 63


def test_the_curve_is_the_one_that_geopandas_draws() -> None:
    order = 5
    lon, lat = _cell_centres(order)
    side = 2**order
    cells = shapely.points(np.floor((lon + 180) / 360 * side), np.floor((lat + 90) / 180 * side))
    theirs = geopandas.GeoSeries(cells).hilbert_distance(total_bounds=[0, 0, side - 1, side - 1], level=order)
    np.testing.assert_array_equal(hilbert_codes(lon, lat) >> np.uint64(2 * (ORDER - order)), theirs.to_numpy())


def test_the_curve_starts_in_the_south_west_and_the_edges_of_the_world_lie_on_it() -> None:
    codes = hilbert_codes(np.array([-180.0, 180.0, -180.0, 180.0]), np.array([-90.0, -90.0, 90.0, 90.0]))
    assert codes[0] == 0
    assert len(set(codes.tolist())) == 4
    assert codes.dtype == np.uint64
    assert len(hilbert_codes(np.empty(0), np.empty(0))) == 0


@given(st.lists(st.tuples(st.floats(-180, 180), st.floats(-90, 90)), min_size=1, max_size=50))
@settings(max_examples=100, deadline=None)
def test_two_places_share_a_code_only_where_they_share_a_cell(places: list[tuple[float, float]]) -> None:
    lon, lat = np.array(places).T
    codes = hilbert_codes(lon, lat)
    x = np.minimum((lon + 180) / 360 * 2.0**ORDER, 2.0**ORDER - 1).astype(np.uint64)
    y = np.minimum((lat + 90) / 180 * 2.0**ORDER, 2.0**ORDER - 1).astype(np.uint64)
    assert len(set(codes.tolist())) == len(set(zip(x.tolist(), y.tolist(), strict=True)))
