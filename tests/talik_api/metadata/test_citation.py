"""Citations: the line against one written by hand, BibTeX against pybtex."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from pybtex.database import Entry, parse_string

from talik_api.metadata import METADATA, Creator, Record


def _entry(record: Record) -> Entry:
    ((_, entry),) = parse_string(METADATA["bibtex"].write(record).decode(), "bibtex").entries.items()
    return entry


def test_the_citation_is_one_line_in_the_manner_of_apa(record: Record) -> None:
    text = METADATA["citation"].write(replace(record, published=date(2024, 5, 6))).decode()
    assert text == (
        "Doe, Jane, & Permafrost Group (2024). Water bodies of test, 2021: an inventory (Version 2) [Data set]. "
        "Frozen Ground Data Centre. https://doi.org/10.12345/water-test-2021-v2\n"
    )


def test_an_undated_edition_without_a_doi_can_be_cited(bare: Record) -> None:
    text = METADATA["citation"].write(bare).decode()
    assert text == (
        "Us (n.d.). Water of test, 2021: an inventory (Version 2) [Data set]. "
        "https://talik.example/editions/water-test-2021-v2\n"
    )


def test_pybtex_reads_the_entry(record: Record) -> None:
    entry = _entry(replace(record, published=date(2024, 5, 6)))
    assert entry.type == "misc"
    assert (entry.fields["year"], entry.fields["version"]) == ("2024", "2")
    assert entry.fields["doi"] == record.doi
    people = entry.persons["author"]
    assert [str(person) for person in people] == ["Doe, Jane", "{Permafrost Group}"]


@pytest.mark.parametrize("name", ["Salt and Pepper", "Ice, Snow, and Frost", "A, B, C, D", "and", "Earth & Sons"])
def test_an_organisation_is_one_author_whatever_its_name(record: Record, name: str) -> None:
    creators = (Creator(name=name, organisation=True), Creator(name=f"{name}, Jane"))
    people = _entry(replace(record, creators=creators)).persons["author"]
    assert len(people) == 2


def test_an_undated_entry_has_no_year(bare: Record) -> None:
    entry = _entry(bare)
    assert "year" not in entry.fields
    assert "doi" not in entry.fields
