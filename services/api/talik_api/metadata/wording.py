"""What metadata say in sentences: abstract and lineage of an edition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from talik_stac.editions import Edition

_SCENES_NAMED = 20
"""More are counted; run.json names them all."""


def mapped(edition: Edition, run: Mapping[str, Any]) -> str:
    """What was mapped, for people: Water bodies."""
    title = run.get("recipe", {}).get("title")
    return str(title) if title else edition.landform.replace("_", " ").capitalize()


def abstract_of(edition: Edition, run: Mapping[str, Any]) -> str:
    """Say what the edition holds, and what it must not be used for."""
    said = [
        f"{mapped(edition, run)} in the area '{edition.area}' in the season {edition.season_start} to "
        f"{edition.season_end}: {edition.count} objects as polygons, together {edition.area_m2 / 1e6:.4g} km2.",
        "Each object has an id that stays across editions of the area, its geodesic area and perimeter, "
        "a probability, a status and the scenes it was seen in.",
    ]
    limits = run.get("model", {}).get("limits")
    return " ".join([*said, *([f"Limits: {limits}"] if limits else [])])


def lineage_of(edition: Edition, run: Mapping[str, Any]) -> str:
    """Say how the edition was made: model, imagery, scenes, software."""
    parts = [
        _model(edition, run.get("model", {})),
        _scenes(run.get("scenes", ()), run.get("imagery", {})),
        _software(run.get("versions", {}), run.get("python")),
        f"Configuration {edition.configuration}. The file run.json records the whole run.",
    ]
    return " ".join(part for part in parts if part)


def _model(edition: Edition, card: Mapping[str, Any]) -> str:
    named = f"Mapped by the model {edition.item['properties']['talik:model']}"
    title = f": {card['title']}" if "title" in card else ""
    sums = f" (SHA-256 {card['sha256']})" if "sha256" in card else ""
    return f"{named}{title}{sums}."


def _scenes(scenes: Sequence[Mapping[str, Any]], imagery: Mapping[str, Any]) -> str:
    """Nothing where the run does not tell its scenes."""
    if not scenes:
        return ""
    days = sorted(str(scene["datetime"])[:10] for scene in scenes if scene.get("datetime"))
    names = [str(scene["id"]) for scene in scenes]
    more = f" and {len(names) - _SCENES_NAMED} more" if len(names) > _SCENES_NAMED else ""
    of = f" of the collection {imagery['collection']}" if imagery.get("collection") else ""
    taken = f", taken {days[0]} to {days[-1]}" if days else ""
    return f"Scenes{of}: {len(names)}{taken}: {', '.join(names[:_SCENES_NAMED])}{more}."


def _software(versions: Mapping[str, str], python: str | None) -> str:
    named = [f"{name} {version}" for name, version in sorted(versions.items())]
    every = [*named, *([f"Python {python}"] if python else [])]
    return f"Software: {', '.join(every)}." if every else ""
