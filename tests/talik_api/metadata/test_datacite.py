"""DataCite: its own JSON schema, kernel 4.5, is the oracle."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from datacite import schema45

from talik_api.metadata import METADATA, Record
from talik_stac.errors import EditionError


def _document(record: Record) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(METADATA["datacite"].write(record))
    schema45.validator.validate(document)
    return document


def test_datacite_says_what_the_record_says(record: Record) -> None:
    document = _document(record)
    assert document["doi"] == "10.12345/water-test-2021-v2"
    assert document["types"]["resourceTypeGeneral"] == "Dataset"
    assert document["publicationYear"] == str(record.published)[:4]
    assert document["publisher"] == {"name": "Frozen Ground Data Centre"}
    assert [(each["name"], each["nameType"]) for each in document["creators"]] == [
        ("Doe, Jane", "Personal"),
        ("Permafrost Group", "Organizational"),
    ]
    assert document["creators"][0]["nameIdentifiers"][0]["nameIdentifier"].endswith("0000-0002-1825-0097")
    assert {each["relationType"]: each["relatedIdentifier"] for each in document["relatedIdentifiers"]} == {
        "IsNewVersionOf": "10.12345/water-test-2021-v1",
        "References": "10.12345/water-test-2020-v1",
    }
    assert document["sizes"][-1] == f"{sum(file.size_bytes or 0 for file in record.files)} B"
    assert {"date": "2021-06-01/2021-09-30", "dateType": "Collected", "dateInformation": "Season"} in document["dates"]


def test_datacite_can_be_written_as_its_xml(record: Record) -> None:
    """By DataCite's own library, which leaves nothing out that it does not understand."""
    xml = schema45.tostring(_document(record))
    for said in (record.title, "northBoundLatitude", "CC-BY-4.0", "Doe, Jane"):
        assert said in xml


def test_datacite_boxes(record: Record, across: Record) -> None:
    def boxes(of: Record) -> list[tuple[float, ...]]:
        sides = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
        return [tuple(each["geoLocationBox"][side] for side in sides) for each in _document(of)["geoLocations"]]

    assert boxes(record) == [(0, 0, 1, 1)]
    assert boxes(across) == [(177, 65, 180, 68), (-180, 65, -175.5, 68)]


def test_without_a_doi_the_rest_is_valid(bare: Record) -> None:
    document = _document(replace(bare, published=date(2024, 5, 6)))
    assert "doi" not in document
    assert "relatedIdentifiers" not in document
    assert document["creators"] == [{"name": "Us", "nameType": "Organizational"}]
    assert document["rightsList"] == [{"rights": "other"}]


def test_without_a_date_of_publication_there_is_no_datacite(bare: Record) -> None:
    with pytest.raises(EditionError, match="water-test-2021-v2 does not say when it was published"):
        METADATA["datacite"].write(bare)
