"""Splits: a place is in one part only, the same seed gives the same split, what is given is kept."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik_stac.errors import RecipeError
from talik_training.samples import Sample
from talik_training.split import PARTS, SplitRules, split_by_place


def sample(group: str, number: int, *, landform: bool, part: str | None = None) -> Sample:
    label = np.zeros((2, 2), np.uint8)
    label[0, 0] = landform
    image = np.zeros((1, 2, 2), np.float32)
    return Sample(
        id=f"{group}-{number}",
        group=group,
        image=image,
        bands=("red",),
        label=label,
        pixel_m=1.0,
        part=part,  # type: ignore[arg-type]
    )


@given(
    places=st.dictionaries(
        st.text(min_size=1, max_size=3), st.lists(st.booleans(), min_size=1, max_size=4), min_size=8
    ),
    seed=st.integers(0, 2**32),
)
def test_no_place_leaks_and_all_samples_are_used_once(places: dict[str, list[bool]], seed: int) -> None:
    samples = [sample(at, i, landform=has) for at, found in places.items() for i, has in enumerate(found)]
    split = split_by_place(samples, SplitRules(seed=seed, validation=0.3, test=0.2))
    parts = {part: split.part(samples, part) for part in PARTS}
    groups = [{s.group for s in chosen} for chosen in parts.values()]
    assert sum(len(group) for group in groups) == len(set().union(*groups))
    assert sorted(s.id for chosen in parts.values() for s in chosen) == sorted(s.id for s in samples)
    assert split == split_by_place(list(reversed(samples)), SplitRules(seed=seed, validation=0.3, test=0.2))


def test_landform_is_in_every_part_even_where_it_is_rare() -> None:
    samples = [sample(f"p{i}", 0, landform=i < 5) for i in range(100)]
    for seed in range(20):
        counts = split_by_place(samples, SplitRules(seed=seed)).counts(samples)
        assert all(counts[part]["with_landform"] >= 1 for part in PARTS)
        assert counts["test"]["places"] == 15


def test_the_publishers_test_is_kept_and_validation_comes_from_its_training() -> None:
    samples = [sample(f"t{i}", 0, landform=True, part="train") for i in range(20)]
    samples += [sample(f"v{i}", 0, landform=True, part="test") for i in range(5)]
    split = split_by_place(samples, SplitRules(validation=0.1, test=0.5))
    assert {at for at, part in split.of_place.items() if part == "test"} == {f"v{i}" for i in range(5)}
    assert sum(part == "validation" for part in split.of_place.values()) == 2


def test_places_can_be_named_and_a_wrong_name_is_told() -> None:
    samples = [sample(at, 0, landform=True) for at in ("imja", "gokyo", "chamlang", "tilicho", "rolpa")]
    split = split_by_place(samples, SplitRules(test_places=("imja",), validation_places=("gokyo",)))
    assert split.of_place["imja"] == "test"
    assert split.of_place["gokyo"] == "validation"
    assert sum(part == "train" for part in split.of_place.values()) == 3
    with pytest.raises(RecipeError, match="no place 'imje' among chamlang"):
        split_by_place(samples, SplitRules(test_places=("imje",)))


def test_a_place_in_two_given_parts_is_refused() -> None:
    torn = [sample("a", 0, landform=True, part="train"), sample("a", 1, landform=True, part="test")]
    with pytest.raises(RecipeError, match="place 'a' lies in parts"):
        split_by_place(torn, SplitRules())


def test_the_split_is_written_down(tmp_path: Path, make_sample: Callable[..., Sample]) -> None:
    samples = [make_sample(i, group=f"p{i}") for i in range(10)]
    split_by_place(samples, SplitRules(seed=5)).write(tmp_path / "split.json", SplitRules(seed=5), samples)
    written = json.loads((tmp_path / "split.json").read_text())
    assert written["rules"]["seed"] == 5
    assert sorted(at for part in written["places"].values() for at in part) == sorted(f"p{i}" for i in range(10))
