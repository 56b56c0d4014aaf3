"""The PPB filter on simulated speckle: what its paper promises, and that blocks give the bytes of the whole."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from talik_inference import speckle
from talik_inference.speckle import PpbParameters, filter_ppb, filter_ppb_amplitude, halo_px, similarity_scale
from talik_stac.errors import ImageryError, RecipeError

Pixels = NDArray[np.float32]
SMALL = PpbParameters(search_px=4, patch_px=1)


def speckled(reflectivity: NDArray[np.floating], looks: float, seed: int = 1) -> Pixels:
    """Simulated intensity: reflectivity times gamma speckle of mean 1."""
    random = np.random.default_rng(seed)
    noise = random.standard_gamma(looks, reflectivity.shape) / looks
    return (reflectivity * noise).astype(np.float32)


def enl(values: Pixels) -> float:
    """Equivalent number of looks: mean^2 / variance."""
    return float(values.mean(dtype=np.float64) ** 2 / values.var(dtype=np.float64))


def boxcar(image: Pixels, size: int) -> Pixels:
    return uniform_filter(image.astype(np.float64), size).astype(np.float32)


def lee(image: Pixels, size: int, looks: float) -> Pixels:
    """Lee 1980 for multiplicative noise: mean + k (value - mean)."""
    wide = image.astype(np.float64)
    mean = uniform_filter(wide, size)
    variance = uniform_filter(wide**2, size) - mean**2
    signal = np.maximum((variance - mean**2 / looks) / (1 + 1 / looks), 0)
    return (mean + signal / np.maximum(variance, 1e-12) * (wide - mean)).astype(np.float32)


def step(shape: tuple[int, int] = (160, 160), contrast: float = 6.0) -> NDArray[np.float64]:
    """Two fields with a straight border between columns."""
    truth = np.ones(shape)
    truth[:, shape[1] // 2 :] = contrast
    return truth


def edge_preservation(filtered: Pixels) -> float:
    """Share of the true step that is left between the two columns of the border, averaged along it."""
    middle = filtered.shape[1] // 2
    rows = slice(20, -20)
    across = filtered[rows, middle].mean() - filtered[rows, middle - 1].mean()
    far = filtered[rows, middle + 20 : -20].mean() - filtered[rows, 20 : middle - 20].mean()
    return float(across / far)


def largest_of_lower_enl(make: Callable[[int], Pixels], limit: float) -> Pixels:
    """The widest odd window whose smoothing stays below the limit, in the homogeneous left field."""
    chosen = make(3)
    for size in range(5, 17, 2):
        candidate = make(size)
        if enl(candidate[20:-20, 20:60]) >= limit:
            break
        chosen = candidate
    return chosen


@pytest.mark.parametrize(("looks", "factor"), [(1.0, 20.0), (4.4, 20.0)])
def test_homogeneous_speckle_gains_looks_and_keeps_its_mean(looks: float, factor: float) -> None:
    image = speckled(np.full((128, 128), 0.05), looks)
    middle = (slice(13, -13), slice(13, -13))
    filtered = filter_ppb(image, PpbParameters(looks=looks))[middle]
    assert enl(filtered) > factor * enl(image[middle])
    assert filtered.mean() == pytest.approx(image[middle].mean(), rel=0.02)
    assert filtered.mean() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("rounds", [1, 3])
def test_an_edge_stays_sharper_than_under_boxcar_and_lee_that_smooth_less(rounds: int) -> None:
    image = speckled(step(), looks=2.0)
    filtered = filter_ppb(image, PpbParameters(looks=2.0, rounds=rounds))
    smooth = enl(filtered[20:-20, 20:60])
    wide = largest_of_lower_enl(lambda size: boxcar(image, size), smooth)
    adaptive = largest_of_lower_enl(lambda size: lee(image, size, 2.0), smooth)
    kept = edge_preservation(filtered)
    assert kept > 0.7
    assert kept > edge_preservation(wide) + 0.3
    assert kept > edge_preservation(adaptive) + 0.1


def test_rounds_lower_the_error_along_an_edge() -> None:
    truth = step((96, 96))
    image = speckled(truth, looks=1.0)
    near = (slice(14, -14), slice(40, 56))
    before, once, five = (
        float(np.mean((np.log(values) - np.log(truth))[near] ** 2))
        for values in (image, *(filter_ppb(image, PpbParameters(rounds=rounds, alpha=0.92)) for rounds in (1, 5)))
    )
    assert five < 0.9 * once
    assert once < 0.15 * before


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_bright_target_is_kept_and_does_not_spread(rounds: int) -> None:
    image = speckled(np.ones((64, 64)), looks=3.0)
    image[31:34, 31:34] *= 300.0  # the width of an impulse response, not one pixel: PPB takes lone pixels for noise
    filtered = filter_ppb(image, PpbParameters(looks=3.0, rounds=rounds))
    assert filtered[31:34, 31:34].mean() == pytest.approx(image[31:34, 31:34].mean(), rel=0.1)
    around = filtered[20:45, 20:45].copy()
    around[11:14, 11:14] = 1.0
    assert around.max() < 4.0
    assert boxcar(image, 7)[32, 32] < 0.3 * filtered[32, 32]


@pytest.mark.parametrize("parameters", [SMALL, PpbParameters(search_px=3, patch_px=2, rounds=3)])
def test_a_block_with_its_halo_has_the_bytes_of_the_whole(parameters: PpbParameters) -> None:
    random = np.random.default_rng(7)
    image = speckled(np.exp(random.normal(0, 1, (101, 93))), looks=1.0)
    image[random.random(image.shape) < 0.02] = np.nan
    image[:30, :20] = np.nan
    whole = filter_ppb(image, parameters)
    halo = halo_px(parameters)
    for top, left, height, width in [(0, 0, 40, 40), (33, 41, 17, 23), (61, 53, 40, 40), (50, 0, 1, 1)]:
        first = (max(top - halo, 0), max(left - halo, 0))
        part = filter_ppb(image[first[0] : top + height + halo, first[1] : left + width + halo], parameters)
        core = part[top - first[0] :, left - first[1] :][:height, :width]
        assert core.tobytes() == whole[top : top + height, left : left + width].tobytes()


@pytest.mark.parametrize("core", [16, 37])
def test_the_size_of_inner_blocks_changes_no_byte(core: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = speckled(step((70, 90)), looks=1.0)
    image[12:20, 60:] = np.nan
    parameters = PpbParameters(search_px=5, patch_px=2, rounds=2)
    whole = filter_ppb(image, parameters)
    monkeypatch.setattr(speckle, "CORE_PX", core)
    assert filter_ppb(image, parameters).tobytes() == whole.tobytes()


def test_nothing_beyond_the_halo_changes_a_pixel() -> None:
    image = speckled(np.ones((60, 60)), looks=1.0)
    other = image.copy()
    reach = halo_px(SMALL)
    other[30 + reach + 1 :] *= 50
    before, after = filter_ppb(image, SMALL), filter_ppb(other, SMALL)
    assert before[:31].tobytes() == after[:31].tobytes()
    assert before[31:].tobytes() != after[31:].tobytes()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 2), (9, 1), (0, 4)])
def test_images_smaller_than_the_window_are_filtered(shape: tuple[int, int]) -> None:
    image = speckled(np.ones(shape), looks=1.0)
    filtered = filter_ppb(image, PpbParameters(rounds=2))
    assert filtered.shape == shape
    assert np.isfinite(filtered).all()
    if shape == (1, 1):
        assert filtered == image


def test_nan_stays_nan_and_does_not_spread() -> None:
    image = speckled(np.ones((50, 50)), looks=1.0)
    holes = np.zeros(image.shape, bool)
    holes[20:25, 20:30] = True
    holes[0, 0] = holes[49, 3] = True
    image[holes] = np.nan
    filtered = filter_ppb(image, PpbParameters(search_px=5, patch_px=2, rounds=2))
    assert np.array_equal(np.isnan(filtered), holes)
    assert np.isnan(filter_ppb(np.full((4, 4), np.nan, np.float32), SMALL)).all()


def test_values_without_data_never_enter_an_average() -> None:
    image = np.ones((30, 30), np.float32)
    image[10:20, 10:20] = np.nan
    filtered = filter_ppb(image, SMALL)
    assert np.allclose(filtered[np.isfinite(image)], 1.0, rtol=1e-6)


def test_the_filter_is_equivariant_to_turns_and_to_gain() -> None:
    image = speckled(step((40, 40)), looks=1.0)
    filtered = filter_ppb(image, SMALL)
    assert np.allclose(filter_ppb(np.rot90(image).copy(), SMALL), np.rot90(filtered), rtol=1e-4)
    assert np.allclose(filter_ppb(image * np.float32(1e-4), SMALL), filtered * 1e-4, rtol=1e-3)


def test_one_round_equals_the_formula_written_out() -> None:
    parameters = PpbParameters(looks=2.0, search_px=2, patch_px=1, alpha=0.9)
    image = speckled(np.ones((9, 9)), looks=2.0)
    amplitude = np.sqrt(image.astype(np.float64))
    h = (2 * 2.0 - 1) * similarity_scale(2.0, 1, 0.9)
    numerator = denominator = 0.0
    for row in range(2, 7):
        for col in range(2, 7):
            ratio = amplitude[3:6, 3:6] / amplitude[row - 1 : row + 2, col - 1 : col + 2]
            weight = np.exp(-(2 * 2.0 - 1) / h * np.log((ratio + 1 / ratio) / 2).sum())
            numerator += weight * image[row, col]
            denominator += weight
    assert filter_ppb(image, parameters)[4, 4] == pytest.approx(numerator / denominator, rel=1e-5)


def test_the_second_round_adds_the_divergence_of_the_first_estimates() -> None:
    """L / (T pixels of the patch) before (R1 - R2)^2 / (R1 R2), as the authors' program scales it."""
    parameters = PpbParameters(looks=2.0, search_px=2, patch_px=1, alpha=0.92, rounds=2, temperature=0.2)
    image = speckled(step((13, 13), contrast=2.0), looks=2.0)
    first = filter_ppb(image, PpbParameters(looks=2.0, search_px=2, patch_px=1, alpha=0.92)).astype(np.float64)
    amplitude = np.sqrt(image.astype(np.float64))
    here = (slice(5, 8), slice(5, 8))
    numerator = denominator = 0.0
    for row in range(4, 9):
        for col in range(4, 9):
            there = (slice(row - 1, row + 2), slice(col - 1, col + 2))
            ratio = amplitude[here] / amplitude[there]
            similarity = np.log((ratio + 1 / ratio) / 2).sum() / similarity_scale(2.0, 1, 0.92)
            divergence = 2.0 / (0.2 * 9) * ((first[here] - first[there]) ** 2 / (first[here] * first[there])).sum()
            weight = np.exp(-similarity - divergence)
            numerator += weight * image[row, col]
            denominator += weight
    assert filter_ppb(image, parameters)[6, 6] == pytest.approx(numerator / denominator, rel=1e-5)


def test_amplitude_is_the_root_of_filtered_intensity() -> None:
    image = speckled(np.ones((20, 20)), looks=1.0)
    assert np.allclose(filter_ppb_amplitude(np.sqrt(image), SMALL) ** 2, filter_ppb(image, SMALL), rtol=1e-4)


def test_zeros_are_values_not_nodata() -> None:
    image = speckled(np.ones((20, 20)), looks=1.0)
    image[5, 5] = 0.0
    assert np.isfinite(filter_ppb(image, SMALL)).all()


def test_similarity_scale_falls_with_looks_and_grows_with_alpha() -> None:
    assert similarity_scale(1.0, 3, 0.92) > similarity_scale(4.0, 3, 0.92) > similarity_scale(4.0, 3, 0.8) > 0


def test_the_halo_counts_search_patch_and_rounds() -> None:
    assert halo_px(PpbParameters()) == 13
    assert halo_px(PpbParameters(search_px=4, patch_px=1, rounds=3)) == 15


def test_decibels_are_refused_with_the_next_step() -> None:
    with pytest.raises(ImageryError, match=r"decibels.*10 \*\*"):
        filter_ppb(np.full((3, 3), -12.0, np.float32), SMALL)


@pytest.mark.parametrize(
    "wrong", [{"looks": 0.4}, {"search_px": 0}, {"patch_px": -1}, {"rounds": 0}, {"alpha": 1.0}, {"temperature": 0.0}]
)
def test_parameters_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match="expected"):
        PpbParameters(**wrong)  # type: ignore[arg-type]


def test_a_stack_of_bands_is_refused() -> None:
    with pytest.raises(ImageryError, match="each band alone"):
        filter_ppb(np.ones((2, 4, 4), np.float32), SMALL)
