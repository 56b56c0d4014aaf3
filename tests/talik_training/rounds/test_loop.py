"""The loop without networks and imagery: it stops, resumes, asks nothing twice and counts right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import shapely

from talik_stac.errors import RecipeError
from talik_training.rounds.loop import LoopRules, Rounds, run_rounds
from talik_training.rounds.words import Candidate, Decision, Known, Labelled, Say, Verdict, Waiting


class KilledError(Exception):
    """What a test throws where a kill would come."""


@dataclass
class Ponds:
    """Twelve simulated squares in a row; a model finds two more than it was taught, and every fifth is no landform."""

    kill_in: int | None = None
    answers_from: int = 1
    """The first round in which the expert has answered; before it the loop waits."""
    quiet: bool = False
    asked: list[str] = field(default_factory=list)
    name: str = "simulated ponds"

    def describe(self) -> Mapping[str, object]:
        return {"ponds": 12}

    def start(self) -> Known:
        return Known(positives=(Labelled(id="pond-0", outline=pond(0)),), negatives=())

    def train(self, number: int, known: Known, folder: Path, say: Say) -> int:
        return 0 if self.quiet else min(12, len(known.positives) + len(known.negatives) + 2)

    def candidates(self, model: int, say: Say) -> Sequence[Candidate]:
        return [Candidate(id=f"{model}/{n}", probability=0.9, area_m2=64, outline=pond(n)) for n in range(model)]

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision] | Waiting:
        if number == self.kill_in:
            raise KilledError
        if number < self.answers_from:
            return Waiting(until="answer")
        self.asked += [each.id.split("/")[1] for each in candidates]
        return [decided(each) for each in candidates]

    def score(self, known: Known, candidates: Sequence[Candidate]) -> Mapping[str, float]:
        return {"recall": len(known.positives) / 10}


def pond(number: int) -> shapely.Polygon:
    return shapely.box(10 * number, 0, 10 * number + 8, 8)


def decided(candidate: Candidate) -> Decision:
    number = int(candidate.id.split("/")[1])
    verdict = Verdict.REJECTED if number % 5 == 4 else Verdict.ACCEPTED
    return Decision(candidate=candidate, verdict=verdict, object_id=f"pond-{number}")


def run(site: Ponds, folder: Path, **rules: int) -> Rounds:
    return run_rounds(site, LoopRules(**rules), folder, lambda text: None)


def kept(folder: Path) -> dict[str, object]:
    """Everything that the loop wrote, without what a clock said."""
    content = json.loads((folder / "rounds.json").read_text())
    for row in content["rounds"]:
        del row["seconds"]
    return {"rounds": content, **{path.parent.name: path.read_text() for path in folder.glob("round-*/decisions.json")}}


def test_it_goes_on_until_two_rounds_find_nothing_new(tmp_path: Path) -> None:
    done = run(Ponds(), tmp_path)
    assert done.ended == "nothing new in 2 rounds"
    assert [row.newly_found for row in done.rows] == [2, 1, 2, 2, 1, 1, 0, 0]
    assert [row.total for row in done.rows] == [3, 4, 6, 8, 9, 10, 10, 10]
    assert done.rows[-1].total == len(done.known.positives)
    for before, row in zip(done.rows, done.rows[1:], strict=False):
        assert row.positives == before.total
        assert row.total == before.total + row.newly_found


def test_no_candidate_is_asked_twice(tmp_path: Path) -> None:
    site = Ponds()
    run(site, tmp_path)
    assert sorted(site.asked, key=int) == [str(number) for number in range(1, 12)]


@pytest.mark.parametrize("round_killed", [1, 2, 4])
def test_a_killed_loop_ends_as_one_that_was_not(tmp_path: Path, round_killed: int) -> None:
    whole = run(Ponds(), tmp_path / "whole")
    with pytest.raises(KilledError):
        run(Ponds(kill_in=round_killed), tmp_path / "killed")
    assert len(kept(tmp_path / "killed")["rounds"]["rounds"]) == round_killed - 1  # type: ignore[index]
    again = run(Ponds(), tmp_path / "killed")
    assert again == whole
    assert kept(tmp_path / "killed") == kept(tmp_path / "whole")


def test_decisions_without_their_row_are_of_a_round_that_is_not_finished(tmp_path: Path) -> None:
    whole = run(Ponds(), tmp_path / "whole")
    run(Ponds(), tmp_path / "cut", max_rounds=2)
    path = tmp_path / "cut" / "rounds.json"
    content = json.loads(path.read_text())
    content["rounds"].pop()
    path.write_text(json.dumps(content))
    assert run(Ponds(), tmp_path / "cut") == whole


def test_a_loop_that_ended_does_nothing_more(tmp_path: Path) -> None:
    first = run(Ponds(), tmp_path)
    site = Ponds(kill_in=len(first.rows) + 1)
    assert run(site, tmp_path) == first
    assert site.asked == []


def test_it_waits_for_the_expert_and_goes_on_when_the_answers_are_there(tmp_path: Path) -> None:
    waiting = run(Ponds(answers_from=99), tmp_path)
    assert (waiting.waiting, waiting.ended, waiting.rows) == ("answer", None, ())
    assert run(Ponds(), tmp_path) == run(Ponds(), tmp_path / "other")


def test_a_round_looks_at_no_more_than_the_rules_allow(tmp_path: Path) -> None:
    done = run(Ponds(), tmp_path, largest_inspection=1)
    assert {row.inspected for row in done.rows} == {0, 1}
    assert done.rows[-1].total == 10


def test_it_stops_at_the_most_rounds_and_a_larger_number_goes_on(tmp_path: Path) -> None:
    assert run(Ponds(), tmp_path, max_rounds=3).ended == "3 rounds, as the rules allow"
    assert run(Ponds(), tmp_path, max_rounds=20).ended == "nothing new in 2 rounds"


def test_a_model_that_proposes_nothing_ends_the_loop(tmp_path: Path) -> None:
    done = run(Ponds(quiet=True), tmp_path, stop_after_nothing_new=1)
    assert (done.ended, [row.inspected for row in done.rows]) == ("nothing new", [0])


def test_a_folder_of_another_loop_is_refused(tmp_path: Path) -> None:
    run(Ponds(), tmp_path)
    with pytest.raises(RecipeError, match=r"site 'simulated ponds', here 'other'\); give another --out"):
        run(Ponds(name="other"), tmp_path)


@pytest.mark.parametrize("wrong", [{"max_rounds": 0}, {"stop_after_nothing_new": 0}, {"largest_inspection": -1}])
def test_rules_that_allow_nothing_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="at least 1"):
        LoopRules(**wrong)


class Silent(Ponds):
    """An expert who leaves one out."""

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision] | Waiting:
        return [decided(each) for each in candidates[1:]]


class Drawing(Ponds):
    """An expert who also draws what nobody proposed."""

    def judge(self, number: int, candidates: Sequence[Candidate], folder: Path) -> Sequence[Decision] | Waiting:
        drawn = Candidate(id="0/99", probability=0, area_m2=64, outline=pond(99))
        return [*(decided(each) for each in candidates), Decision(candidate=drawn, verdict=Verdict.ACCEPTED)]


def test_an_answer_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="expected one on each"):
        run(Silent(), tmp_path)


def test_what_an_expert_draws_is_newly_found_once(tmp_path: Path) -> None:
    done = run(Drawing(), tmp_path, max_rounds=2)
    assert [row.newly_found for row in done.rows] == [3, 2]
    assert [row.inspected for row in done.rows] == [2, 3]
