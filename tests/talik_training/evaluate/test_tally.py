"""What is counted of one image."""

from __future__ import annotations

import numpy as np

from talik_training.evaluate.tally import NEAR_PX, figures, tally


def test_local_accuracy_looks_only_at_the_neighbourhood_of_true_landform() -> None:
    label = np.zeros((100, 100), np.uint8)
    label[50, 50] = 1
    rows, columns = np.indices(label.shape)
    near = np.hypot(rows - 50, columns - 50) <= NEAR_PX
    found = figures(tally(label, np.zeros_like(label), above=125, pixel_m=10).vector)

    assert found["pixel.accuracy"] == 1 - 1e-4
    assert found["pixel.local_accuracy"] == 1 - 1 / near.sum()


def test_local_accuracy_leaves_unknown_pixels_out() -> None:
    label = np.full((20, 20), 255, np.uint8)
    label[:, 5], label[:, 6] = 1, 0
    probability = np.where(label == 1, 250, 0).astype(np.uint8)

    assert figures(tally(label, probability, above=125, pixel_m=10).vector)["pixel.local_accuracy"] == 1


def test_local_accuracy_is_unknown_where_no_image_has_landform() -> None:
    empty = np.zeros((10, 10), np.uint8)

    assert figures(tally(empty, empty, above=125, pixel_m=10).vector)["pixel.local_accuracy"] is None


def test_counts_add_up_over_images() -> None:
    chance = np.random.default_rng(3)
    parts = [
        tally(
            chance.integers(0, 2, (30, 30)).astype(np.uint8),
            chance.integers(0, 251, (30, 30)).astype(np.uint8),
            above=125,
            pixel_m=10,
        )
        for _ in range(2)
    ]

    assert np.allclose((parts[0] + parts[1]).vector, parts[0].vector + parts[1].vector)
