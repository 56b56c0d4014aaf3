"""The folder of a loop: bit for bit what was decided, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talik_stac.errors import RecipeError
from talik_training.rounds.kept import Kept
from talik_training.rounds.words import Candidate, Decision, RoundRow, Verdict

ROW = RoundRow(round=1, positives=1, negatives=0, proposed=1, inspected=1, accepted=1, newly_found=1, total=2)
METRES = st.floats(-1e7, 1e7, allow_nan=False, width=64)


@given(west=METRES, south=METRES, size=st.floats(1e-3, 1e5), verdict=st.sampled_from(Verdict), flat=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_decisions_come_back_to_the_bit(
    tmp_path: Path, west: float, south: float, size: float, verdict: Verdict, flat: bool
) -> None:
    outline = None if flat else shapely.box(west, south, west + size, south + size)
    candidate = Candidate(id="a/1", probability=0.1 + 0.2, area_m2=size, outline=outline)
    decision = Decision(candidate=candidate, verdict=verdict, object_id=None, outline=outline)
    kept = Kept.open(tmp_path, site="here", described={})
    kept.add(ROW, [decision], seconds=1)
    assert kept.decisions(1) == [decision]


def test_rows_come_back_with_their_measures(tmp_path: Path) -> None:
    kept = Kept.open(tmp_path, site="here", described={"seed": 1})
    kept.add(ROW, [], seconds=2.04)
    again = Kept.open(tmp_path, site="here", described={"seed": 1})
    assert (again.rows, again.seconds) == ([ROW], [2.0])


def test_nothing_is_left_beside_the_files(tmp_path: Path) -> None:
    Kept.open(tmp_path, site="here", described={}).add(ROW, [], seconds=1)
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"rounds.json", "round-1/decisions.json"}


@pytest.mark.parametrize(
    ("described", "said"),
    [
        ({"seed": 2, "rules": {"deep": {"steps": 3}}}, "seed 1, here 2"),
        ({"seed": 1, "rules": {"deep": {"steps": 4}}}, "rules.deep.steps 3, here 4"),
        ({"seed": 1, "rules": {"deep": {"steps": 3}}, "large": True}, "large None, here True"),
    ],
)
def test_another_description_is_refused_with_what_differs(
    tmp_path: Path, described: dict[str, object], said: str
) -> None:
    Kept.open(tmp_path, site="here", described={"seed": 1, "rules": {"deep": {"steps": 3}}})
    with pytest.raises(RecipeError, match=f"{said}.*give another --out"):
        Kept.open(tmp_path, site="here", described=described)


@pytest.mark.parametrize("text", ["", "{", '{"decisions": [{"id": "a"}]}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    kept = Kept.open(tmp_path, site="here", described={})
    kept.add(ROW, [], seconds=1)
    (tmp_path / "round-1" / "decisions.json").write_text(text)
    with pytest.raises(RecipeError, match=r"round-1/decisions.json"):
        kept.decisions(1)
