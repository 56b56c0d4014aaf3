"""Figures that others state: whether F1 and IoU of one source can both be true. Pure but for reading the file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from talik_inference.model import ModelCard
from talik_stac.errors import TalikError

FLOAT = 1e-9
"""Scores of a card are floats with all their digits: no difference below this is a contradiction."""


class Claim(BaseModel):
    """Scores as a source prints them: 0..1, or both in percent where one is above 1; text keeps decimals ('0.80')."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
    source: str
    f1: str
    iou: str


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    published: tuple[Claim, ...] = ()


def contradictions(claims: Iterable[Claim]) -> tuple[str, ...]:
    """A warning for each claim whose F1 and IoU contradict each other beyond rounding."""
    return tuple(said for claim in claims if (said := contradiction(claim)) is not None)


def contradiction(claim: Claim) -> str | None:
    """Say how F1 and IoU contradict each other; None where they agree within the rounding of both.

    Of one confusion, IoU = F1 / (2 - F1), which grows with F1. Raises TalikError where a figure is no score.
    """
    f1, iou = _number(claim, "F1", claim.f1), _number(claim, "IoU", claim.iou)
    whole = Decimal(100) if max(f1, iou) > 1 else Decimal(1)
    f1_low, f1_high = _rounded_from(f1, whole)
    iou_low, iou_high = _rounded_from(iou, whole)
    least, most = f1_low / (2 - f1_low), f1_high / (2 - f1_high)
    if least <= iou_high + FLOAT and iou_low <= most + FLOAT:
        return None
    return (
        f"{claim.source}: F1 {claim.f1} means IoU {_range(least, most)} (IoU = F1 / (2 - F1)), but IoU is given as "
        f"{claim.iou}; they are of different pixels, thresholds or classes, or means over images or classes: "
        "compare with neither before you know which"
    )


def claims_of(card: ModelCard) -> tuple[Claim, ...]:
    """The pairs of F1 and IoU that a model card states of the same data, as "F1", "pixel F1" or "pixel.f1"."""
    by_data: dict[str, dict[str, float]] = {}
    for score in card.scores:
        name = score.metric.lower().removeprefix("pixel").strip(" ._-")
        if name in ("f1", "iou"):
            by_data.setdefault(score.data, {})[name] = score.value
    return tuple(
        Claim(source=f"card of {card.reference}, {data}", f1=repr(stated["f1"]), iou=repr(stated["iou"]))
        for data, stated in by_data.items()
        if len(stated) == 2
    )


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read [[published]] tables (source, f1, iou) of a TOML file. Raises TalikError."""
    try:
        return _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).published
    except OSError as error:
        raise TalikError(f"cannot read {path}: {error.strerror}; give a TOML file with [[published]] tables") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise TalikError(f"{path}, {where}: {first['msg']}; expected source, f1 and iou") from error
    except ValueError as error:
        raise TalikError(f"{path} is not TOML: {error}") from error


def _number(claim: Claim, name: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise TalikError(f"{claim.source}: {name} '{text}' is no number; expected 0.80 or 80.0") from error
    if not (number.is_finite() and 0 <= number <= 100):
        raise TalikError(f"{claim.source}: {name} {text} is no score; expected 0 to 1, or percent up to 100")
    return number


def _rounded_from(number: Decimal, whole: Decimal) -> tuple[float, float]:
    """The scores 0..1 that are printed as `number` of `whole`."""
    half = Decimal(5).scaleb(int(number.as_tuple().exponent) - 1)
    return float(max(Decimal(0), number - half) / whole), float(min(whole, number + half) / whole)


def _range(least: float, most: float) -> str:
    low, high = f"{least:.4g}", f"{most:.4g}"
    return low if low == high else f"{low} to {high}"
