"""The simulated relief: any window shows the same ground."""

from __future__ import annotations

import numpy as np

from talik_training.corridor.terrain import Window, noise, noise_at, relief, relief_at, slope_deg

WIDE = Window(row=-60, col=40, row_end=140, col_end=260)
PART = Window(row=-7, col=99, row_end=60, col_end=200)
INSIDE = (slice(53, 120), slice(59, 160))


def test_windows_that_overlap_agree_to_the_byte() -> None:
    assert noise(2, "a", 16, WIDE)[INSIDE].tobytes() == noise(2, "a", 16, PART).tobytes()
    for wide, part in zip(relief(2, WIDE), relief(2, PART), strict=True):
        assert wide[INSIDE].tobytes() == part.tobytes()


def test_points_and_windows_show_the_same_ground() -> None:
    rows, cols = np.array([-6.5, 10.5, 59.5]), np.array([99.5, 150.5, 199.5])
    whole = noise(2, "a", 16, PART)
    found = whole[(rows - 0.5 - PART.row).astype(int), (cols - 0.5 - PART.col).astype(int)]
    assert np.allclose(noise_at(2, "a", 16, rows, cols), found, atol=1e-6)
    south, _ = relief(2, PART)
    there = south[(rows - 0.5 - PART.row).astype(int), (cols - 0.5 - PART.col).astype(int)]
    assert np.allclose(relief_at(2, rows, cols)[0], there, atol=1e-4)


def test_noise_has_mean_0_and_the_stated_deviation() -> None:
    values = noise(1, "a", 4, Window(row=0, col=0, row_end=400, col_end=400))
    assert abs(values.mean()) < 0.02
    assert 0.25 < values.std() < 0.31


def test_much_of_the_ground_has_slopes_on_which_slumps_lie() -> None:
    random = np.random.default_rng(1)
    rows, cols = random.random((2, 2_000)) * 8_000
    steepness = slope_deg(*relief_at(1, rows, cols))
    assert 0.35 < ((steepness >= 3) & (steepness < 8)).mean() < 0.75
    assert steepness.max() < 25
