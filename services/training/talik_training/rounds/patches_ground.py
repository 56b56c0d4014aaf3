"""The ground of the loop on real slump patches: what is searched, what the published mask says, what is taught."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from scipy import ndimage
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from talik_stac.errors import RecipeError
from talik_training.augment import window_of
from talik_training.measured import Probability, Scaled, windows_of
from talik_training.rounds.words import Candidate, Decision, Known, Labelled, Verdict
from talik_training.samples import LANDFORM, OTHER, UNKNOWN, Sample
from talik_training.sources.pairs import Pairs
from talik_training.sources.rts_maxar import RtsMaxar

THRESHOLD = 0.5
LEAST_PX = 64
"""A candidate has a probability above the threshold on at least so many connected pixels."""
FOUND_IOU = 0.3
STRICT_IOU = 0.5
FALSE_SHARE = 0.1
"""A candidate that fails is false where less than this share of it is slump; else it shows a slump, badly outlined."""
AROUND_PX = 4
"""A rejected outline is taught as "other" with so many pixels around it."""
TILE_PX = 256
UNSTRETCHED = 3e-4
"""Reflectance x 1e4 is taken times this, not 1e-4: stretched for viewing as the slump patches are."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Connected pixels that a model takes for slump."""

    place: str
    outline: BaseGeometry
    """In pixels of its patch: x column, y row."""
    probability: float
    """Mean over its pixels."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """All imagery of the loop."""

    patches: Mapping[str, Sample]
    """Each holds at least one slump, fully outlined; by id."""
    elsewhere: Mapping[str, Sample]
    """Without slumps; by id."""
    held_out: Sequence[Sample]
    """Neither known nor searched: for scores alone."""

    @property
    def digest(self) -> str:
        """Of every label and every image's mean, in order."""
        whole = hashlib.sha256()
        for each in (*self.patches.values(), *self.elsewhere.values(), *self.held_out):
            whole.update(f"{each.id} {np.nanmean(each.image):.6f}".encode() + each.label.tobytes())
        return whole.hexdigest()

    def drawn(self, count: int, *, seed: int) -> list[str]:
        """So many patches at random, in the order of their names. Raises RecipeError."""
        names = sorted(self.patches)
        if not 0 < count < len(names):
            raise RecipeError(f"start of {count} patches; expected 1 to {len(names) - 1}, fewer than there are")
        chosen = np.random.default_rng(seed).permutation(len(names))[:count]
        return [names[i] for i in sorted(chosen)]


@dataclass(frozen=True, kw_only=True)
class PublishedMask:
    """A perfect expert: looks at a candidate beside the published mask of its patch.

    Accepted: intersection over union with the slumps that it meets >= FOUND_IOU; then the whole patch with its mask is
    known. Rejected: less than FALSE_SHARE of it is slump. Between: unsure, nothing is taught and the next round asks
    anew, for neither "slump" nor "no slump" would be true of that outline.
    """

    patches: Mapping[str, Sample]

    @property
    def rules(self) -> dict[str, float]:
        """What decides its word."""
        return {
            "threshold": THRESHOLD,
            "least_px": LEAST_PX,
            "found_iou": FOUND_IOU,
            "false_share": FALSE_SHARE,
            "around_px": AROUND_PX,
        }

    @cached_property
    def _slumps(self) -> dict[str, NDArray[np.object_]]:
        return {name: np.array(_outlines(each.label == LANDFORM), object) for name, each in self.patches.items()}

    def judge(self, candidate: Candidate, piece: Piece) -> Decision:
        """Its word on one candidate."""
        iou, share = self.met(piece)
        if iou >= FOUND_IOU:
            return Decision(candidate=candidate, verdict=Verdict.ACCEPTED, object_id=piece.place, outline=piece.outline)
        verdict = Verdict.REJECTED if share < FALSE_SHARE else Verdict.UNSURE
        return Decision(candidate=candidate, verdict=verdict, outline=piece.outline)

    def met(self, piece: Piece) -> tuple[float, float]:
        """Intersection over union with the slumps that it meets, and the share of it that is slump."""
        slumps = self._slumps.get(piece.place)
        if slumps is None:
            return 0.0, 0.0
        common = shapely.area(shapely.intersection(slumps, piece.outline))
        inside, area = float(common.sum()), float(piece.outline.area)
        union = area + float(shapely.area(slumps[common > 0]).sum()) - inside
        return inside / union, inside / area

    def counts(self, pieces: Sequence[Piece]) -> dict[str, float]:
        """Patches whose slump a round drew at each strictness, and false candidates by where they lie."""
        met = [(piece.place, *self.met(piece)) for piece in pieces]
        return {
            "new_at_50": float(len({place for place, iou, _ in met if iou >= STRICT_IOU})),
            "touched": float(len({place for place, iou, _ in met if iou > 0})),
            "false_in_patches": float(sum(s < FALSE_SHARE and i < FOUND_IOU and p in self.patches for p, i, s in met)),
            "false_elsewhere": float(sum(place not in self.patches for place, _, _ in met)),
        }


def read_ground(data: Path, *, limit: int | None = None) -> Ground:
    """Read the slump patches and imagery without slumps under `data`. Raises RecipeError, ImageryError."""
    folder = str(data / "rts_cyber2a_maxar")
    # Spread over both parts of the source, of which the second is a sixth.
    samples = list(RtsMaxar(kind="rts-maxar", folder=folder, limit=limit and 8 * limit).samples(data))
    patches = [each for each in samples if each.part == "train"][:limit]
    held_out = [each for each in samples if each.part == "test"][:limit]
    elsewhere = [
        tile for source in _without_slumps(data, limit or 80) for each in source.samples(data) for tile in _tiles(each)
    ]
    if limit is not None:
        elsewhere = elsewhere[:: max(len(elsewhere) // limit, 1)][:limit]
    return Ground(
        patches={each.id: each for each in patches}, elsewhere={each.id: each for each in elsewhere}, held_out=held_out
    )


def pieces_of(place: Sample, answer: Probability, scaled: Scaled) -> Iterator[Piece]:
    """The candidates of one patch, in the order of their first pixel."""
    height, width = place.label.shape
    (chip,) = windows_of(place)
    probability = answer(scaled(chip.image))[:height, :width]
    above = (probability > THRESHOLD) & place.valid
    for outline in _outlines(above, least_px=LEAST_PX):
        inside = _burnt(outline, above.shape)
        yield Piece(place=place.id, outline=outline, probability=round(float(probability[inside].mean()), 4))


def taught(ground: Ground, known: Known) -> list[Sample]:
    """What a round learns from: known patches with their masks, and rejected candidates.

    A rejected candidate of imagery without slumps teaches its tile. One of a patch whose slump is not found yet teaches
    itself and AROUND_PX pixels; all else there is unknown, and so are slump pixels in it: the expert would not call
    them "other".
    """
    positives = [ground.patches[each.id] for each in known.positives]
    names = {each.id for each in known.positives}
    rejected: dict[str, list[Labelled]] = {}
    for each in known.negatives:
        rejected.setdefault(each.id.split("/")[1], []).append(each)
    left = {name: held for name, held in rejected.items() if name not in names}
    return [*positives, *(_negative(ground, name, held) for name, held in sorted(left.items()))]


def _negative(ground: Ground, name: str, rejected: Sequence[Labelled]) -> Sample:
    if name in ground.elsewhere:
        return ground.elsewhere[name]
    patch = ground.patches[name]
    label = np.full(patch.label.shape, UNKNOWN, np.uint8)
    for outline in (each.outline for each in rejected if each.outline is not None):
        label[_burnt(outline.buffer(AROUND_PX), label.shape)] = OTHER
    label[patch.label != OTHER] = UNKNOWN
    return replace(patch, id=f"{patch.id}-rejected", label=label)


def _outlines(inside: NDArray[np.bool_], *, least_px: int = 1) -> list[BaseGeometry]:
    """Polygons of the components (eight neighbours) of at least so many pixels, valid, in pixels."""
    numbers, count = ndimage.label(inside, np.ones((3, 3)))
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    kept = np.isin(numbers, np.flatnonzero(sizes >= least_px)) & inside
    parts: dict[int, list[BaseGeometry]] = {}
    for outline, number in shapes(numbers.astype(np.int32), mask=kept):
        parts.setdefault(int(number), []).append(shape(outline))
    return [shapely.union_all(held) for _, held in sorted(parts.items())]


def _burnt(outline: BaseGeometry, size: tuple[int, ...]) -> NDArray[np.bool_]:
    burnt: NDArray[np.uint8] = rasterize([outline], out_shape=size, dtype="uint8")
    return burnt.astype(bool)


def _tiles(sample: Sample) -> Iterator[Sample]:
    """The sample cut into squares of at most TILE_PX, each a place; what is mostly no data is left out."""
    height, width = sample.label.shape
    for row in range(0, height, TILE_PX):
        for column in range(0, width, TILE_PX):
            chip = window_of(sample, row=row, column=column, size_px=TILE_PX)
            tall, wide = min(TILE_PX, height - row), min(TILE_PX, width - column)
            name = f"{sample.source}-{sample.id}-{row}-{column}".replace("/", "-")
            tile = replace(
                sample, id=name, group=name, image=chip.image[:, :tall, :wide], label=chip.label[:tall, :wide]
            )
            if min(tall, wide) >= TILE_PX // 4 and tile.valid.mean() > 0.5:
                yield tile


def _without_slumps(data: Path, count: int) -> list[Pairs]:
    """North Dakota from the air in two years, the Inn valley, and land of many countries at 30 m."""
    four, inn = ("red", "green", "blue", "-"), ("red", "green", "blue", *"-----")
    hls = ("-", "blue", "green", "red", *"--------")
    naip = str(data / "timeseries_naip_landsat/naip")
    return [
        Pairs(kind="pairs", name="naip", images=f"{naip}/*_2010*.tif", bands=four, scale=1 / 255, pixel_m=5),
        Pairs(kind="pairs", name="naip", images=f"{naip}/*_2017*.tif", bands=four, scale=1 / 255, pixel_m=5),
        Pairs(
            kind="pairs",
            name="inn",
            images=str(data / "s2_scenes/ftw_inn_river/inference-img.tif"),
            bands=inn,
            scale=UNSTRETCHED,
            pixel_m=10,
        ),
        Pairs(
            kind="pairs",
            name="hls",
            images=str(data / "water_hls_flood_306/images/*.tif"),
            bands=hls,
            scale=UNSTRETCHED,
            pixel_m=30,
            limit=min(count, 80),
        ),
    ]
