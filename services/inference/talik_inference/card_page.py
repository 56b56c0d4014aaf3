"""A model card for people: a page in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from talik_inference.model import ModelCard, Score, Source

HEADLINE = "pixel IoU"
"""What a model is judged by where one figure must do."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """One figure of a model and the same figure of other models on the same data."""

    score: Score
    others: tuple[Score, ...]


def headline(card: ModelCard) -> Beside | None:
    """The first pixel IoU that has a baseline beside it, else the first, else the first figure of any kind."""
    found = beside(card)
    judged = [pair for pair in found if pair.score.metric.lower() == HEADLINE.lower()]
    return next((pair for pair in judged if pair.others), next(iter([*judged, *found]), None))


def beside(card: ModelCard) -> list[Beside]:
    """Each figure of the card with those of its baselines, in the card's order."""
    return [
        Beside(score=score, others=tuple(b for b in card.baseline if (b.metric, b.data) == (score.metric, score.data)))
        for score in card.scores
    ]


def page(card: ModelCard, size_bytes: int) -> str:
    """The whole card as Markdown, for docs/landforms."""
    parts = [
        f"# {card.title}\n\n`{card.reference}`, {card.landform.replace('_', ' ')}, {said_size(size_bytes)}",
        f"## What it must not be used for\n\n{card.limits}",
        f"## How to use it\n\n```\ntalik map --model {card.reference} ...\n```",
        _table(("what", "value"), _needs(card)),
        _scores(card),
        _data(card),
        f"## How it was made\n\n{_table(('what', 'value'), made(card))}",
    ]
    if card.command:
        parts.append(f"It is made again by\n\n```\n{card.command}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def said_size(size_bytes: int) -> str:
    """Such as 4.7 MB, or 812 bytes."""
    if size_bytes < 1e4:
        return f"{size_bytes:,} bytes"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.0f} kB"


def said_pixels(card: ModelCard) -> str:
    """The pixel sizes that it is meant for."""
    if card.resolution_min_m == card.resolution_max_m:
        return f"{card.resolution_min_m:g} m"
    return f"{card.resolution_min_m:g} to {card.resolution_max_m:g} m"


def made(card: ModelCard) -> list[tuple[str, str]]:
    """How it came to be, as far as the card says."""
    calibration = card.calibration
    stated = {
        "architecture": card.architecture,
        "starts from": card.encoder,
        "weights": f"{card.precision}, sha256 {card.sha256}",
        "calibration": "" if calibration is None else f"{calibration.slope:g} x logit {calibration.shift:+g}",
        "made on": "" if card.made is None else card.made.isoformat(),
        "training took": ""
        if card.seconds is None
        else f"{_time(card.seconds)} on {card.device or 'a machine unknown'}",
        "licence": card.licence,
    }
    return [(what, value) for what, value in stated.items() if value]


def _needs(card: ModelCard) -> list[tuple[str, str]]:
    scalings = [f"{name} ({s.mean:g}, {s.std:g})" for name, s in card.bands.items()]
    return [
        ("bands (mean and standard deviation of reflectance taken off)", ", ".join(scalings)),
        ("pixels", said_pixels(card)),
        ("window", f"{card.core_px} px and {card.halo_px} px around it"),
        ("landform where probability is above", f"{card.threshold:g}"),
    ]


def _scores(card: ModelCard) -> str:
    """A table for each data set, the models side by side; in brackets 95 % intervals over places."""
    if not card.scores:
        return "## How good it is\n\nNothing was measured."
    tables = []
    for data in dict.fromkeys(score.data for score in card.scores):
        pairs = [pair for pair in beside(card) if pair.score.data == data]
        names = list(dict.fromkeys(other.of for pair in pairs for other in pair.others))
        rows = [(p.score.metric, str(p.score), *(_of(p.others, name) for name in names)) for p in pairs]
        heading = ("figure", card.reference, *names)
        commands = dict.fromkeys(pair.score.command for pair in pairs)
        told = "\n".join(f"```\n{command}\n```" for command in commands)
        tables.append(f"On {data}{_places(pairs[0].score)}:\n\n{_table(heading, rows)}\n\n{told}")
    error = card.calibration.expected_calibration_error if card.calibration else None
    if error is not None:
        tables.append(f"Expected calibration error, after calibration, on the data of training's scores: {error:.4f}.")
    return "\n\n".join(["## How good it is\n\nIn brackets: 95 % intervals, by drawing places again.", *tables])


def _places(score: Score) -> str:
    return "" if score.places is None or "places" in score.data else f" ({score.places:,} places)"


def _of(others: Sequence[Score], name: str) -> str:
    return next((str(score) for score in others if score.of == name), "-")


def _data(card: ModelCard) -> str:
    heading = ("name", "samples", "places", "taken", "licence", "citation")
    parts = [f"## What it learned from\n\n{card.training_data}"]
    if card.sources:
        parts.append(_table(heading, [_source(source) for source in card.sources]))
    if card.split:
        rows = [(p, f"{n.places:,}", f"{n.samples:,}", f"{n.with_landform:,}") for p, n in card.split.items()]
        parts.append(_table(("part", "places", "samples", "with landform"), rows))
    return "\n\n".join(parts)


def _source(source: Source) -> tuple[str, ...]:
    numbers = ("" if n is None else f"{n:,}" for n in (source.samples, source.places))
    return (source.name, *numbers, source.dates, source.licence, source.citation)


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of GitHub's Markdown."""
    lines = [[*heading]]
    lines += [["---"] * len(lines[0]), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
