"""The processes as OGC API Processes Part 1 describes them."""

from __future__ import annotations

from typing import Any

from talik_api.processes.inputs import CompareInputs, SummariseInputs
from talik_stac.jobs import PROCESS
from talik_stac.map_inputs import MapInputs

_AREA = "West, south, east, north; GeoJSON; or the name of a saved area."
_TITLES = {
    "landform": ("Landform", "What to map."),
    "season": ("Season", "A year (the recipe's months), or START/END days."),
    "area": ("Area", _AREA),
    "name": ("Name of the area", "Part of the edition's id."),
    "collection": ("Collection", "Of the imagery index or the catalogue; for summarise: a landform or an edition."),
    "catalog": ("Catalogue", "URL of a STAC API on a host that this service may reach."),
    "a": ("First edition", "The earlier one."),
    "b": ("Second edition", "The later one."),
    "datetime": ("When", "An instant or an interval of observation."),
    "filter": ("Filter", "CQL2 text or JSON."),
}
_OUTPUTS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    PROCESS: {
        "edition": ("The edition", {"type": "object", "contentMediaType": "application/json"}),
        "inventory": ("The inventory as GeoParquet", {"type": "object"}),
        "flatgeobuf": ("The inventory as FlatGeobuf", {"type": "object"}),
    },
    "summarise": {
        "summary": ("Counts, areas and size classes by edition", {"type": "object"}),
    },
    "compare": {
        "summary": ("Groups and areas by class of change", {"type": "array", "items": {"type": "object"}}),
        "changes": ("Changed objects", {"allOf": [{"format": "geojson-feature-collection"}, {"type": "object"}]}),
    },
}
_PROCESSES: dict[str, tuple[str, str, type, list[str]]] = {
    PROCESS: (
        "Map a landform",
        "Map a landform over an area and a season from indexed imagery or a STAC API; publish the inventory edition.",
        MapInputs,
        ["async-execute", "dismiss"],
    ),
    "summarise": (
        "Summarise",
        "Counts, areas and size classes of the objects in an area, edition by edition.",
        SummariseInputs,
        ["sync-execute"],
    ),
    "compare": (
        "Compare",
        "What changed between two editions in an area: new, gone, grown, shrunk, split, merged.",
        CompareInputs,
        ["sync-execute"],
    ),
}
NAMES = tuple(_PROCESSES)


def summary_of(name: str) -> dict[str, Any]:
    """The summary of a process, without links."""
    title, description, _, control = _PROCESSES[name]
    return {
        "id": name,
        "title": title,
        "description": description,
        "version": "1.0.0",
        "jobControlOptions": control,
        "outputTransmission": ["value"] if name != PROCESS else ["reference"],
    }


def description_of(name: str) -> dict[str, Any]:
    """The description of a process, with the schemas of its inputs and outputs, without links."""
    schema = _PROCESSES[name][2].model_json_schema()  # type: ignore[attr-defined]
    required = set(schema.get("required", ()))
    inputs = {}
    for each, described in schema["properties"].items():
        title, description = _TITLES.get(each, (each.replace("_", " ").capitalize(), described.get("description", "")))
        inputs[each] = {
            "title": title,
            "description": description,
            "minOccurs": 1 if each in required else 0,
            "maxOccurs": 1,
            "schema": {key: value for key, value in described.items() if key not in ("title", "description")},
        }
    outputs = {each: {"title": title, "schema": form} for each, (title, form) in _OUTPUTS[name].items()}
    return {**summary_of(name), "inputs": inputs, "outputs": outputs}


def outputs_of(name: str) -> tuple[str, ...]:
    """The names of a process' outputs."""
    return tuple(_OUTPUTS[name])
