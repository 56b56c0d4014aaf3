"""Pixels -> pictures: stretch, colour, outline, scale bar, label, and the bytes of PNG, WebP and GIF. Pure."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from talik_api.pictures.reading import Pixels

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox
    from PIL.Image import Image

Stretch = Literal["fixed", "percentile"]
FIXED = (0.0, 0.3)
"""Reflectance shown black and white, so that dates may be compared."""
FIXED_8_BIT = (0.0, 1.0)
"""For 8-bit pictures whose maker states no reflectance (numbers / 255), such as NAIP: as they were made to be seen."""
PERCENTILES = (2.0, 98.0)
_OUTLINE = (255, 214, 10, 255)
_DARK = (0, 0, 0, 255)
_WHITE = (255, 255, 255, 255)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn over the pixels."""

    outline: BaseGeometry
    """In the grid's CRS."""
    label: str
    metres_per_px: float
    """On the ground, not in the units of a projection."""


def limits_for(
    samples: Sequence[Pixels], stretch: Stretch, fixed_range: tuple[float, float] = FIXED
) -> NDArray[np.float64]:
    """(band, 2) reflectance shown black and white: fixed_range, or the 2nd and 98th percentile of all valid pixels."""
    bands = len(samples[0].data)
    fixed = np.tile(np.array(fixed_range), (bands, 1))
    if stretch == "fixed":
        return fixed
    values = np.concatenate([sample.data[:, sample.valid] for sample in samples], axis=1)
    if values.shape[1] == 0:
        return fixed
    low, high = np.percentile(values, PERCENTILES, axis=1)
    return np.column_stack([low, np.maximum(high, low + 1e-6)])


def coloured(pixels: Pixels, limits: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(y, x, 4) red, green, blue, alpha; one band is grey; alpha 0 where not valid."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    scaled = np.clip((pixels.data - low) / (high - low), 0, 1)
    bytes_ = np.rint(scaled * 255).astype(np.uint8)
    rgb = np.repeat(bytes_, 3, axis=0) if len(bytes_) == 1 else bytes_[:3]
    alpha = np.where(pixels.valid, 255, 0).astype(np.uint8)
    rgba = np.concatenate([rgb, alpha[None]]).transpose(1, 2, 0)  # (band, y, x) -> (y, x, band)
    rgba[~pixels.valid] = 0
    return np.ascontiguousarray(rgba)


def drawn(rgba: NDArray[np.uint8], grid: GeoBox, drawing: Drawing) -> Image:
    """Draw outline, label and scale bar over a picture of a grid."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(rgba)
    pen = ImageDraw.Draw(image)
    width = max(1, round(max(image.size) / 256))
    rings = list(ring_pixels(drawing.outline, grid))
    for ring in rings:
        pen.line(ring, fill=_DARK, width=width + 2, joint="curve")
    for ring in rings:
        pen.line(ring, fill=_OUTLINE, width=width, joint="curve")
    _label(pen, image.size, drawing.label)
    _scale_bar(pen, image.size, drawing.metres_per_px)
    return image


def ring_pixels(outline: BaseGeometry, grid: GeoBox) -> Iterator[list[tuple[float, float]]]:
    """The rings of polygons as (column, row), where 0, 0 is the middle of the first pixel."""
    back = ~grid.affine
    for polygon in getattr(outline, "geoms", [outline]):
        for ring in (polygon.exterior, *polygon.interiors):
            x, y = np.asarray(ring.coords)[:, :2].T
            columns, rows = back.a * x + back.b * y + back.c - 0.5, back.d * x + back.e * y + back.f - 0.5
            yield list(zip(columns.tolist(), rows.tolist(), strict=True))


def round_length(metres: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not longer."""
    power = 10.0 ** math.floor(math.log10(metres))
    return next(step * power for step in (5, 2, 1) if step * power <= metres * (1 + 1e-9))


def encoded(image: Image, kind: Literal["png", "webp"]) -> bytes:
    """The bytes of one picture; WebP with quality 85."""
    target = io.BytesIO()
    if kind == "png":
        image.save(target, "PNG", optimize=False, compress_level=6)
    else:
        image.save(target, "WEBP", quality=85, method=4)
    return target.getvalue()


def animated(images: Sequence[Image], kind: Literal["webp", "gif"], durations_ms: Sequence[int]) -> bytes:
    """The bytes of an animation that goes round for ever."""
    target = io.BytesIO()
    times = list(durations_ms)
    first, *rest = [_paletted(image) for image in images] if kind == "gif" else list(images)
    shared: dict[str, Any] = {"save_all": True, "append_images": rest, "duration": times, "loop": 0}
    if kind == "gif":
        # Each frame replaces the one before: what is transparent in it must not show the last date.
        first.save(target, "GIF", disposal=2, optimize=False, transparency=255, **shared)
    else:
        first.save(target, "WEBP", quality=80, method=2, **shared)
    return target.getvalue()


def _paletted(image: Image) -> Image:
    """255 colours and index 255 for what is transparent."""
    from PIL import Image as Images

    alpha = np.asarray(image.getchannel("A"))
    small = image.convert("RGB").quantize(255, method=Images.Quantize.MEDIANCUT, dither=Images.Dither.NONE)
    indexes = np.array(small)
    indexes[alpha < 128] = 255
    paletted = Images.frombytes("P", image.size, np.ascontiguousarray(indexes).tobytes())
    palette = (small.getpalette() or [])[: 255 * 3]
    paletted.putpalette(palette + [0] * (768 - len(palette)))
    paletted.info["transparency"] = 255
    return paletted


def _font(size_px: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


def _text_px(size: tuple[int, int]) -> int:
    return max(9, min(round(max(size) / 20), 28))


def _label(pen: Any, size: tuple[int, int], text: str) -> None:
    px = _text_px(size)
    pen.text((px // 2, px // 3), text, font=_font(px), fill=_WHITE, stroke_width=max(1, px // 10), stroke_fill=_DARK)


def _scale_bar(pen: Any, size: tuple[int, int], metres_per_px: float) -> None:
    """A bar of a round length, at most a third of the picture, lower left."""
    px = _text_px(size)
    metres = round_length(metres_per_px * size[0] / 3)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    left, bottom = px // 2, size[1] - px // 2
    thick = max(2, px // 5)
    box = (left, bottom - thick, left + round(metres / metres_per_px) - 1, bottom - 1)
    pen.rectangle((box[0] - 1, box[1] - 1, box[2] + 1, box[3] + 1), fill=_DARK)
    pen.rectangle(box, fill=_WHITE)
    place = (left, box[1] - px - px // 2)
    pen.text(place, text, font=_font(px), fill=_WHITE, stroke_width=max(1, px // 10), stroke_fill=_DARK)
