"""What a loop keeps in its folder: rounds.json and round-N/decisions.json, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from talik_stac.errors import RecipeError
from talik_training.rounds.words import Candidate, Decision, RoundRow, Verdict

ROUNDS, DECISIONS = "rounds.json", "decisions.json"


@dataclass(kw_only=True)
class Kept:
    """A loop's folder. Changed by `add` and `end` alone."""

    folder: Path
    content: dict[str, Any]
    """As in rounds.json."""

    @staticmethod
    def open(folder: Path, *, site: str, described: Mapping[str, object]) -> Kept:
        """Open a folder or begin one. Raises RecipeError for a folder of another loop."""
        folder.mkdir(parents=True, exist_ok=True)
        wanted = json.loads(json.dumps(dict(described)))
        path = folder / ROUNDS
        if not path.exists():
            kept = Kept(folder=folder, content={"site": site, "described": wanted, "rounds": [], "ended": None})
            kept._write()
            return kept
        content = _read(path)
        if content.get("site") != site or content.get("described") != wanted:
            raise RecipeError(f"{path} is of another loop ({_difference(content, site, wanted)}); give another --out")
        return Kept(folder=folder, content=content)

    @property
    def rows(self) -> list[RoundRow]:
        """The finished rounds."""
        return [RoundRow(**{key: value for key, value in row.items() if key != "seconds"}) for row in self._rounds]

    @property
    def seconds(self) -> list[float]:
        """What each finished round took, or the last part of it where it was killed."""
        return [float(row["seconds"]) for row in self._rounds]

    @property
    def _rounds(self) -> list[dict[str, Any]]:
        return list(self.content["rounds"])

    def folder_of(self, number: int) -> Path:
        """Of a round; made where it is not there."""
        made = self.folder / f"round-{number}"
        made.mkdir(exist_ok=True)
        return made

    def decisions(self, number: int) -> list[Decision]:
        """Those of a finished round. Raises RecipeError where the file is damaged."""
        path = self.folder_of(number) / DECISIONS
        try:
            return [_decision(row) for row in _read(path)["decisions"]]
        except (KeyError, TypeError, ValueError) as error:
            raise RecipeError(f"{path} is damaged ({error!r}); restore it, or give another --out") from error

    def add(self, row: RoundRow, decisions: Sequence[Decision], *, seconds: float) -> None:
        """Write the decisions of a round, then its row: without the row the round is not finished."""
        rows = [_row(each) for each in decisions]
        write_whole(self.folder_of(row.round) / DECISIONS, json.dumps({"round": row.round, "decisions": rows}))
        self.content["rounds"].append({**asdict(row), "seconds": round(seconds, 1)})
        self.content["ended"] = None
        self._write()

    def end(self, why: str) -> None:
        """Say why no round follows."""
        self.content["ended"] = why
        self._write()

    def _write(self) -> None:
        write_whole(self.folder / ROUNDS, json.dumps(self.content, indent=1))


def write_whole(path: Path, text: str) -> None:
    """Write beside, flush, rename: a kill leaves the earlier file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read {path} ({error}); restore it, or give another --out") from error
    return content


def _difference(content: Mapping[str, Any], site: str, described: Mapping[str, object]) -> str:
    """The first thing that differs."""
    if content.get("site") != site:
        return f"site {content.get('site')!r}, here {site!r}"
    return _first_other(content.get("described") or {}, described)


def _first_other(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name and both values, within tables too."""
    name = next(name for name in sorted({*before, *now}) if before.get(name) != now.get(name))
    old, new = before.get(name), now.get(name)
    if isinstance(old, dict) and isinstance(new, dict):
        return f"{name}.{_first_other(old, new)}"
    return f"{name} {old!r}, here {new!r}"


def _row(each: Decision) -> dict[str, Any]:
    candidate = each.candidate
    return {
        "id": candidate.id,
        "probability": candidate.probability,
        "area_m2": candidate.area_m2,
        "verdict": each.verdict.value,
        "object_id": each.object_id,
        "seen": _hex(candidate.outline),
        "outline": _hex(each.outline),
    }


def _decision(row: Mapping[str, Any]) -> Decision:
    candidate = Candidate(
        id=row["id"], probability=row["probability"], area_m2=row["area_m2"], outline=_shape(row["seen"])
    )
    return Decision(
        candidate=candidate,
        verdict=Verdict(row["verdict"]),
        object_id=row["object_id"],
        outline=_shape(row["outline"]),
    )


def _hex(outline: BaseGeometry | None) -> str | None:
    """Well-known binary as hexadecimal digits: coordinates come back to the bit."""
    return None if outline is None else str(shapely.to_wkb(outline, hex=True))


def _shape(text: str | None) -> BaseGeometry | None:
    return None if text is None else shapely.from_wkb(text)
