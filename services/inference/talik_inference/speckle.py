"""The PPB (probabilistic patch-based) filter for speckle in SAR intensity, exact in blocks.

Source: Deledalle, Denis and Tupin 2009, "Iterative weighted maximum likelihood denoising with probabilistic
patch-based weights", IEEE Trans. Image Process. 18(12), 2661-2672. For L-look amplitude A = sqrt(intensity) the model
is Nakagami-Rayleigh with reflectivity R = E[A^2], and each pixel s becomes the weighted maximum likelihood estimate

    R(s) = sum_t w(s, t) A(t)^2 / sum_t w(s, t)                                            t in the search window of s

    -log w(s, t) = sum_k [ (2 L - 1) / h * log((A(s+k) / A(t+k) + A(t+k) / A(s+k)) / 2)     k in the patch
                           + L / T * (R'(s+k) - R'(t+k))^2 / (R'(s+k) R'(t+k)) ]

where R' is the estimate of the round before; the second term (the symmetric Kullback-Leibler divergence of two
speckle laws) is absent in the non-iterative form and in the first round. The division by 2 scales all weights of the
paper alike and cancels.

Checked against the authors' program ppb_nakagami.m (read, not copied; the paper's text we have not seen, so no
equation numbers are given): the similarity log(A1/A2 + A2/A1); h / (2 L - 1) as its quantile alpha in pure speckle less
its mean, times the patch's pixels; L / (T pixels) before the divergence; a first estimate that is constant, so that the
first round has no divergence. Their demonstration takes alpha = 0.88 for the non-iterative form and alpha = 0.92,
T = 0.2 for the iterative one, in ten rounds with windows that grow (radius 1, 3, 5, 10; patches 0, 1, 2, 3). Ours stay
the same size, as in the paper's experiments so far as we remember; then T = 0.2 lets five rounds lock noise in along
edges (measured on simulated speckle), and our default is 1. Speckle correlated between pixels (Sentinel-1 GRD) is
outside the model: give the equivalent looks, and expect less smoothing than in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from talik_stac.errors import ImageryError, RecipeError

Pixels = NDArray[np.float32]
_Window = tuple[slice, slice]

CORE_PX = 192
"""Pixels filtered at a time: with a halo of 13 px each scratch array is 190 kB and stays in the processor's cache."""
SMALLEST_INTENSITY = np.float32(1e-12)
"""Lower values (zeros, below -120 dB) are compared as if they were this, so that their logarithm exists."""
QUANTILE_DRAWS = 40_000
"""Pairs of speckle patches that h is measured on; its standard error is below 1 %."""


@dataclass(frozen=True, kw_only=True)
class PpbParameters:
    """How the filter looks and how much it smooths."""

    looks: float = 1.0
    """Equivalent number of looks of the input; above 0.5, or the likelihood has no maximum at equality."""
    search_px: int = 10
    """Radius of the search window: 10 reads 21 x 21 px."""
    patch_px: int = 3
    """Radius of the patch: 3 compares 7 x 7 px."""
    alpha: float = 0.88
    """Quantile of the similarity in pure speckle that sets h; larger smooths more: the authors take 0.92 for rounds."""
    rounds: int = 1
    """1 is the non-iterative form. Measured: with alpha = 0.92 rounds help at one look (edges), and hardly at four,
    where noise left along edges is taken for structure; with 0.88 they make it worse."""
    temperature: float = 1.0
    """T per patch pixel; smaller trusts the estimate of the round before more."""

    def __post_init__(self) -> None:
        if not self.looks > 0.5:
            raise RecipeError(f"looks = {self.looks}: expected above 0.5; give the equivalent number of looks")
        if self.search_px < 1 or self.patch_px < 0 or self.rounds < 1:
            said = f"search_px = {self.search_px}, patch_px = {self.patch_px}, rounds = {self.rounds}"
            raise RecipeError(f"{said}: expected at least 1, 0 and 1; 10, 3 and 1 to 25 are usual")
        if not 0.5 < self.alpha < 1 or not self.temperature > 0:
            said = f"alpha = {self.alpha}, temperature = {self.temperature}"
            raise RecipeError(f"{said}: expected 0.5 < alpha < 1 and temperature > 0; 0.88 and 1 are usual")

    @property
    def reach_px(self) -> int:
        """How far one round looks."""
        return self.search_px + self.patch_px


def halo_px(parameters: PpbParameters) -> int:
    """How far the answer at a pixel depends on others: blocks read with this halo give the bytes of the whole."""
    return parameters.rounds * parameters.reach_px


def filter_ppb(intensity: Pixels, parameters: PpbParameters) -> Pixels:
    """Estimate the reflectivity of float32 (y, x) intensity (sigma0, beta0 or gamma0, linear; NaN without data).

    NaN stays NaN, and is neither averaged nor compared. Needs four arrays of the image's size and little more.
    Raises ImageryError for values that cannot be intensity.
    """
    observed = _checked(intensity)
    half_log = np.log(np.maximum(observed, SMALLEST_INTENSITY)) * np.float32(0.5)
    estimate: Pixels | None = None
    for _ in range(parameters.rounds):
        estimate = _one_round(observed, half_log, estimate, parameters)
    return observed if estimate is None else estimate


def filter_ppb_amplitude(amplitude: Pixels, parameters: PpbParameters) -> Pixels:
    """The same for amplitude: sqrt of the estimated reflectivity, (y, x), NaN without data. Raises ImageryError."""
    return np.sqrt(filter_ppb(_checked(amplitude) ** 2, parameters))


@lru_cache(maxsize=64)
def similarity_scale(looks: float, patch_px: int, alpha: float) -> float:
    """Quantile alpha minus mean of sum_k log((A1/A2 + A2/A1) / 2) over independent pure-speckle patches.

    Measured on simulated speckle with a fixed seed: sums over patches of independent gamma variates.
    """
    size = (2 * patch_px + 1) ** 2
    random = np.random.default_rng(20_091_218)
    total = np.zeros(QUANTILE_DRAWS)
    for _ in range(size):
        first, second = random.standard_gamma(looks, (2, QUANTILE_DRAWS))
        total += np.log((first + second) / (2 * np.sqrt(first * second)))
    return float(np.quantile(total, alpha) - total.mean())


def _checked(values: Pixels) -> Pixels:
    if values.ndim != 2:
        raise ImageryError(f"speckle filter: shape {values.shape}; expected (y, x); filter each band alone")
    pixels = np.asarray(values, np.float32)
    if pixels.size and np.nanmin(pixels, initial=0) < 0:
        lowest = float(np.nanmin(pixels))
        raise ImageryError(f"speckle filter: value {lowest:g} below 0; decibels? give linear values, 10 ** (dB / 10)")
    return np.where(np.isfinite(pixels), pixels, np.float32(np.nan))


def _one_round(observed: Pixels, half_log: Pixels, before: Pixels | None, parameters: PpbParameters) -> Pixels:
    """One estimate of every pixel, block by block, each read with the halo of one round."""
    out = np.empty_like(observed)
    halo = parameters.reach_px
    for rows, cols in _cores(observed.shape):
        if not np.isfinite(observed[rows, cols]).any():
            out[rows, cols] = np.nan
            continue
        window = (rows.start - halo, rows.stop + halo, cols.start - halo, cols.stop + halo)
        estimate = None if before is None else _padded(before, window)
        block = _Block(_padded(observed, window), _padded(half_log, window), estimate, parameters)
        out[rows, cols] = block.estimate()
    return out


def _cores(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    for row in range(0, shape[0], CORE_PX):
        for col in range(0, shape[1], CORE_PX):
            yield slice(row, min(row + CORE_PX, shape[0])), slice(col, min(col + CORE_PX, shape[1]))


def _padded(image: Pixels, window: tuple[int, int, int, int]) -> Pixels:
    """The window (row, row_end, col, col_end) of an image; NaN beyond it."""
    row, row_end, col, col_end = window
    out = np.full((row_end - row, col_end - col), np.nan, np.float32)
    top, left = max(row, 0), max(col, 0)
    part = image[top : max(row_end, 0), left : max(col_end, 0)]
    out[top - row : top - row + part.shape[0], left - col : left - col + part.shape[1]] = part
    return out


class _Block:
    """One block with its halo: (y, x) arrays with 0 instead of NaN, and where data are."""

    def __init__(self, observed: Pixels, half_log: Pixels, before: Pixels | None, parameters: PpbParameters) -> None:
        self.parameters = parameters
        self.valid = np.isfinite(observed).astype(np.float32)
        self.complete = bool(self.valid.all())
        self.intensity = np.nan_to_num(observed, nan=0.0)
        # log(I1 + I2) - half_log1 - half_log2 - log 2 is the similarity; without data it is multiplied by 0.
        self.floored = np.maximum(self.intensity, SMALLEST_INTENSITY)
        self.half_log = np.nan_to_num(half_log, nan=0.0)
        self.before = before if before is None else np.maximum(np.nan_to_num(before, nan=1.0), SMALLEST_INTENSITY)
        self.inverse = None if self.before is None else np.float32(1) / self.before
        scale = similarity_scale(parameters.looks, parameters.patch_px, parameters.alpha)
        # (2 L - 1) / h = 1 / scale, for h = (2 L - 1) scale.
        self.per_similarity = np.float32(1 / scale)
        size = (2 * parameters.patch_px + 1) ** 2
        self.size = np.float32(size)
        self.per_divergence = np.float32(parameters.looks / (parameters.temperature * size))

    def estimate(self) -> Pixels:
        """The core, without the halo: sum w I / sum w, NaN without data."""
        # A pixel is most like itself: weight 1. Each other pair counts for both its pixels.
        weights = self.valid.copy()
        sums = self.intensity.copy()
        for down, right in _half_window(self.parameters.search_px):
            self._add_pairs(down, right, weights, sums)
        halo = self.parameters.reach_px
        core = (slice(halo, weights.shape[0] - halo), slice(halo, weights.shape[1] - halo))
        with np.errstate(invalid="ignore"):
            ratio: Pixels = sums[core] / weights[core]
        return ratio

    def _add_pairs(self, down: int, right: int, weights: Pixels, sums: Pixels) -> None:
        """Weigh the pairs (s, s + shift), one shift, and add them to both of their pixels."""
        here, there = _shifted(weights.shape, down, right)
        distance = self._distance(here, there)
        pixel = self.parameters.patch_px
        total = _box_sum(distance, pixel)
        if not self.complete:
            both = self.valid[here] * self.valid[there]
            # Pairs without data say nothing: the mean of the others stands for them (exactly 1 where all are there).
            total *= self.size / np.maximum(_box_sum(both, pixel), np.float32(1))
        weight = np.exp(-total, out=total)
        first, second = _trimmed(here, pixel), _trimmed(there, pixel)
        if not self.complete:
            weight *= self.valid[first] * self.valid[second]
        weights[first] += weight
        weights[second] += weight
        sums[first] += weight * self.intensity[second]
        sums[second] += weight * self.intensity[first]

    def _distance(self, here: _Window, there: _Window) -> Pixels:
        """-log of the pixel weights of one shift, without the sum over the patch."""
        distance: Pixels = np.log(self.floored[here] + self.floored[there])
        distance -= self.half_log[here]
        distance -= self.half_log[there]
        distance -= np.float32(np.log(2))
        distance *= self.per_similarity
        if self.before is not None and self.inverse is not None:
            change = self.before[here] - self.before[there]
            change *= change
            # Divided one after the other: the product of two small reflectivities leaves the range of float32.
            change *= self.inverse[here]
            change *= self.inverse[there]
            change *= self.per_divergence
            distance += change
        if not self.complete:
            distance *= self.valid[here]
            distance *= self.valid[there]
        return distance


def _half_window(radius: int) -> Iterator[tuple[int, int]]:
    """Every shift of the search window but one of each pair of opposite ones, and not 0."""
    for down in range(radius + 1):
        for right in range(1 if down == 0 else -radius, radius + 1):
            yield down, right


def _shifted(shape: tuple[int, ...], down: int, right: int) -> tuple[_Window, _Window]:
    """Slices of all pixels that have a partner at the shift, and of their partners."""
    height, width = shape[0] - down, shape[1] - abs(right)
    left, partner = max(-right, 0), max(right, 0)
    here = (slice(0, height), slice(left, left + width))
    return here, (slice(down, down + height), slice(partner, partner + width))


def _trimmed(window: _Window, radius: int) -> _Window:
    rows, cols = window
    return slice(rows.start + radius, rows.stop - radius), slice(cols.start + radius, cols.stop - radius)


def _box_sum(values: Pixels, radius: int) -> Pixels:
    """Sum over (2 radius + 1)^2 px, for the pixels that have all of them: (y - 2 radius, x - 2 radius).

    Every sum adds the same pixels in the same order wherever the block begins. A running sum (SciPy's uniform_filter)
    is faster, but carries the rounding of all pixels before it, and blocks would differ from the whole.
    """
    length = 2 * radius + 1
    return _line_sum(_line_sum(values, length, axis=0), length, axis=1)


def _line_sum(values: Pixels, length: int, *, axis: int) -> Pixels:
    """Sums of `length` neighbours along an axis, by doubling: 7 = 4 + 2 + 1 takes four additions, not six."""
    power, summed = values, 1
    out: Pixels | None = None
    taken = 0
    end = values.shape[axis] - length + 1
    while True:
        if length & summed:
            part = _part(power, taken, end, axis)
            out = part if out is None else out + part
            taken += summed
        if taken == length:
            break
        count = power.shape[axis] - summed
        power, summed = _part(power, 0, count, axis) + _part(power, summed, count, axis), 2 * summed
    return values if out is None else out


def _part(values: Pixels, start: int, count: int, axis: int) -> Pixels:
    return values[start : start + count] if axis == 0 else values[:, start : start + count]
