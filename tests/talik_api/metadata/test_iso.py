"""ISO 19139: OWSLib reads it as catalogues do, and the schema itself judges the order of its elements."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from lxml import etree
from owslib.iso import CI_ResponsibleParty, MD_DataIdentification, MD_Metadata

from talik_api.metadata import METADATA, Record

_GMD = {"gmd": "http://www.isotc211.org/2005/gmd", "gco": "http://www.isotc211.org/2005/gco"}


def _parsed(record: Record) -> etree._Element:
    return etree.fromstring(METADATA["iso19139"].write(record))


def _read(record: Record) -> tuple[MD_Metadata, MD_DataIdentification]:
    metadata = MD_Metadata(_parsed(record))
    (identification,) = metadata.identification
    return metadata, identification


def test_owslib_reads_what_the_record_says(record: Record) -> None:
    metadata, data = _read(record)
    assert metadata.identifier == record.identifier
    assert metadata.languagecode == "eng"
    assert metadata.datestamp == str(record.published)
    assert metadata.referencesystem.code == record.crs
    assert (data.title, data.abstract, data.edition) == (record.title, record.abstract, "2")
    assert [(day.date, day.type) for day in data.date] == [(str(record.published), "publication")]
    assert (data.temporalextent_start, data.temporalextent_end) == ("2021-06-01", "2021-09-30")
    assert metadata.dataquality.lineage == record.lineage
    assert record.licence.url in data.otherconstraints
    assert data.uricode == [record.doi_url, record.url]


def test_owslib_reads_who_made_and_keeps_it(record: Record) -> None:
    metadata, _ = _read(record)
    (contact,) = metadata.contact
    assert (contact.organization, contact.email, contact.role) == (
        "Frozen Ground Data Centre",
        "data@data.example",
        "pointOfContact",
    )
    roles = _parsed(record).findall(".//gmd:CI_Citation/gmd:citedResponsibleParty/gmd:CI_ResponsibleParty", _GMD)
    cited = [CI_ResponsibleParty(each) for each in roles]
    assert [(each.name, each.organization, each.role) for each in cited] == [
        ("Doe, Jane", "University of Ice", "author"),
        (None, "Permafrost Group", "author"),
        (None, "Frozen Ground Data Centre", "publisher"),
    ]
    assert cited[0].onlineresource.url == "https://orcid.org/0000-0002-1825-0097"


def test_owslib_finds_every_file(record: Record) -> None:
    metadata, _ = _read(record)
    online = {each.url: each for each in metadata.distribution.online}
    for file in record.files:
        assert file.sha256 is not None
        assert file.sha256 in online[file.url].description
        assert (online[file.url].name, online[file.url].function) == (file.name, "download")
    assert online[record.url].function == "information"


def test_keywords_are_grouped_by_thesaurus(record: Record) -> None:
    _, data = _read(record)
    groups = {(each.thesaurus or {}).get("title"): [word.name for word in each.keywords] for each in data.keywords}
    assert groups["NASA/GCMD Earth Science Keywords"][0].endswith("LAKES/RESERVOIRS")
    assert "inventory" in groups[None]


def test_owslib_reads_the_box_in_the_right_order(record: Record, across: Record) -> None:
    def side(of: Record) -> tuple[str, ...]:
        box = _read(of)[1].bbox
        return box.minx, box.miny, box.maxx, box.maxy

    assert side(record) == ("0", "0", "1", "1")
    assert side(across) == ("177", "65", "180", "68")  # OWSLib reads the first of two


def test_across_the_antimeridian_there_are_two_boxes(across: Record) -> None:
    boxes = _parsed(across).findall(".//gmd:EX_GeographicBoundingBox", _GMD)
    sides = [[float(side.findtext("gco:Decimal", namespaces=_GMD)) for side in box] for box in boxes]
    assert sides == [[177, 180, 65, 68], [-180, -175.5, 65, 68]]  # west, east, south, north


def test_what_is_unknown_says_so_or_is_left_out(bare: Record) -> None:
    text = METADATA["iso19139"].write(bare).decode()
    assert 'gmd:dateStamp gco:nilReason="unknown"' in text
    assert "transferSize" not in text
    assert "None" not in text
    metadata, data = _read(bare)
    assert data.date == []
    assert metadata.contact[0].organization == "Us"


@pytest.fixture(scope="session")
def schema() -> etree.XMLSchema:
    """ISO's own XSD (2007-04-17), which pycsw 2.6.2 carries; it need not be importable, only there."""
    found = importlib.util.find_spec("pycsw")
    if found is None or found.origin is None:
        pytest.skip("the XSDs of ISO 19139 are not here: pip install --no-deps pycsw==2.6.2")
    folder = Path(found.origin).parent / "plugins/profiles/apiso/schemas/ogc/iso/19139/20070417"
    return etree.XMLSchema(etree.parse(folder / "gmd" / "gmd.xsd"))


@pytest.mark.parametrize("which", ["record", "bare", "across"])
def test_the_schema_accepts_it(schema: etree.XMLSchema, which: str, request: pytest.FixtureRequest) -> None:
    assert schema.validate(_parsed(request.getfixturevalue(which))), schema.error_log
