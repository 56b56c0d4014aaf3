"""Who trains, who validates, who tests: decided by place, never by chip, and written down."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from talik_stac.errors import RecipeError
from talik_training.samples import Part, Sample

PARTS: tuple[Part, ...] = ("train", "validation", "test")


class SplitRules(BaseModel):
    """How places are divided. A part that the data's publisher gives is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = 0
    validation: float = Field(default=0.15, ge=0, lt=1)
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of the places; 0 for none."""
    validation_places: tuple[str, ...] = ()
    test_places: tuple[str, ...] = ()
    """Places by name, whatever the seed says."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The part of every place."""

    of_place: dict[str, Part]

    def part(self, samples: Iterable[Sample], part: Part) -> list[Sample]:
        """Those of one part, in their order."""
        return [sample for sample in samples if self.of_place[sample.group] == part]

    def counts(self, samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
        """Places, samples and samples with landform of each part."""
        found = {part: self.part(samples, part) for part in PARTS}
        return {
            part: {
                "places": len({sample.group for sample in chosen}),
                "samples": len(chosen),
                "with_landform": sum(sample.has_landform for sample in chosen),
            }
            for part, chosen in found.items()
        }

    def write(self, path: Path, rules: SplitRules, samples: Sequence[Sample]) -> None:
        """Write the rules, the counts and the place of each part as JSON."""
        places = {part: sorted(at for at, of in self.of_place.items() if of == part) for part in PARTS}
        content = {"rules": rules.model_dump(), "counts": self.counts(samples), "places": places}
        path.write_text(json.dumps(content, indent=1))


def split_by_place(samples: Sequence[Sample], rules: SplitRules) -> Split:
    """Give each place to one part: named places first, then parts given by the publisher, then by chance.

    Places with and without landform are divided each by the same shares. Where a publisher gives test places but no
    validation, validation is taken from their training places. Raises RecipeError.
    """
    given = _given(samples)
    given.update(dict.fromkeys(_known(rules.validation_places, given), "validation"))
    given.update(dict.fromkeys(_known(rules.test_places, given), "test"))
    has = {part: part in given.values() for part in PARTS}
    free = [place for place, part in given.items() if part is None or (part == "train" and not has["validation"])]
    positive = {sample.group for sample in samples if sample.has_landform}
    generator = np.random.default_rng(rules.seed)
    for stratum in (sorted(set(free) & positive), sorted(set(free) - positive)):
        shuffled = [stratum[i] for i in generator.permutation(len(stratum))]
        tests = 0 if has["test"] else _share(rules.test, len(stratum))
        validations = 0 if has["validation"] else _share(rules.validation, len(stratum))
        for number, place in enumerate(shuffled):
            may_test = number < tests and given[place] is None
            given[place] = "test" if may_test else "validation" if number < tests + validations else "train"
    split = Split(of_place={place: part or "train" for place, part in given.items()})
    _check(split)
    return split


def _given(samples: Sequence[Sample]) -> dict[str, Part | None]:
    """What the publisher says of each place. Raises RecipeError for a place that lies in two parts."""
    said: dict[str, set[Part | None]] = defaultdict(set)
    for sample in samples:
        said[sample.group].add(sample.part)
    torn = [place for place, parts in said.items() if len(parts) > 1]
    if torn:
        raise RecipeError(f"place '{torn[0]}' lies in parts {said[torn[0]]}; a place belongs to one part")
    return {place: next(iter(parts)) for place, parts in said.items()}


def _known(places: Sequence[str], given: dict[str, Part | None]) -> Sequence[str]:
    unknown = [place for place in places if place not in given]
    if unknown:
        raise RecipeError(f"no place '{unknown[0]}' among {', '.join(sorted(given)[:8])}; correct [split]")
    return places


def _share(share: float, count: int) -> int:
    """At least one place where there are three and a share is asked for."""
    return max(round(share * count), 1) if share > 0 and count >= 3 else 0


def _check(split: Split) -> None:
    for part in ("train", "validation"):
        if part not in split.of_place.values():
            raise RecipeError(
                f"no place is left for {part} among {len(split.of_place)}; give more places, or name them in [split]"
            )
