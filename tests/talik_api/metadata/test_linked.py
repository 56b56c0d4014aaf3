"""schema.org and DCAT: rdflib reads the JSON-LD without a network, SPARQL finds what the record says."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rdflib
import shapely
from rdflib.query import ResultRow

from talik_api.metadata import METADATA, Record

# rdflib 7 still builds the class that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
_PREFIXES = """
PREFIX schema: <https://schema.org/> PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX spdx: <http://spdx.org/rdf/terms#> PREFIX dcat: <http://www.w3.org/ns/dcat#>
PREFIX dct: <http://purl.org/dc/terms/> PREFIX geo: <http://www.opengis.net/ont/geosparql#>
PREFIX foaf: <http://xmlns.com/foaf/0.1/> PREFIX xsd: <http://www.w3.org/2001/XMLSchema#>
PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#> PREFIX vcard: <http://www.w3.org/2006/vcard/ns#>
"""


def _rows(kind: str, record: Record, query: str) -> list[tuple[str, ...]]:
    graph = rdflib.Graph().parse(data=METADATA[kind].write(record), format="json-ld")
    found = graph.query(_PREFIXES + query)
    return [tuple(str(value) for value in row) for row in found if isinstance(row, ResultRow)]


def _document(kind: str, record: Record) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(METADATA[kind].write(record))
    return document


def test_schema_org_names_the_dataset(record: Record) -> None:
    query = """SELECT ?s ?name ?version ?licence ?time ?how ?free WHERE { ?s a schema:Dataset; schema:name ?name;
        schema:version ?version; schema:license ?licence; schema:temporalCoverage ?time;
        schema:measurementTechnique ?how; schema:isAccessibleForFree ?free; schema:description ?said;
        schema:datePublished ?day }"""
    (row,) = _rows("schema.org", record, query)
    licence = "https://creativecommons.org/licenses/by/4.0/"
    assert row == (record.url, record.title, "2", licence, "2021-06-01/2021-09-30", "NDWI above zero", "true")


def test_schema_org_describes_every_file(record: Record) -> None:
    query = """SELECT ?url ?type ?size ?sum ?again WHERE { <%s> schema:distribution ?d . ?d a schema:DataDownload;
        schema:contentUrl ?url; schema:encodingFormat ?type; schema:contentSize ?size; schema:sha256 ?sum;
        spdx:checksum [ spdx:algorithm spdx:checksumAlgorithm_sha256; spdx:checksumValue ?again ] }"""
    rows = _rows("schema.org", record, query % record.url)
    wanted = {(f.url, f.media_type, f"{f.size_bytes} B", f.sha256, f.sha256) for f in record.files}
    assert set(rows) == wanted


def test_schema_org_tells_columns_with_units_and_people_with_orcids(record: Record) -> None:
    query = "SELECT ?name ?unit WHERE { [] schema:variableMeasured [ schema:name ?name; schema:unitCode ?unit ] }"
    assert set(_rows("schema.org", record, query)) >= {("area_m2", "MTK"), ("perimeter_m", "MTR"), ("lon", "DD")}
    query = "SELECT ?who ?name WHERE { [] schema:creator ?who . ?who a schema:Person; schema:name ?name }"
    assert _rows("schema.org", record, query) == [("https://orcid.org/0000-0002-1825-0097", "Doe, Jane")]


def test_creators_and_keywords_keep_their_order(record: Record) -> None:
    document = _document("schema.org", record)
    assert [each["name"] for each in document["creator"]] == ["Doe, Jane", "Permafrost Group"]
    assert document["keywords"][0]["inDefinedTermSet"].startswith("NASA/GCMD")


@pytest.mark.parametrize("kind", ["schema.org", "dcat"])
def test_the_version_before_is_what_was_revised(record: Record, kind: str) -> None:
    rows = _rows(kind, record, "SELECT ?o WHERE { ?s prov:wasRevisionOf ?o }")
    assert rows == [("https://talik.example/editions/water-test-2021-v1",)]


def test_schema_org_boxes_are_south_west_north_east(record: Record, across: Record) -> None:
    def boxes(of: Record) -> list[str]:
        return [shape["box"] for shape in _document("schema.org", of)["spatialCoverage"]["geo"]]

    assert boxes(record) == ["0 0 1 1"]
    assert boxes(across) == ["65 177 68 180", "65 -180 68 -175.5"]


def test_dcat_names_the_dataset(record: Record) -> None:
    query = """SELECT ?s ?title ?version ?licence ?from ?to ?mail ?before ?label WHERE { ?s a dcat:Dataset;
        dct:title ?title; dcat:version ?version; dct:license ?licence; dcat:previousVersion ?before;
        dct:temporal [ a dct:PeriodOfTime; dcat:startDate ?from; dcat:endDate ?to ];
        dcat:contactPoint [ vcard:hasEmail ?mail ]; dct:provenance [ rdfs:label ?label ] }"""
    (row,) = _rows("dcat", record, query)
    licence, before = (
        "https://creativecommons.org/licenses/by/4.0/",
        "https://talik.example/editions/water-test-2021-v1",
    )
    mail = "mailto:data@data.example"
    wanted = (record.url, record.title, "2", licence, "2021-06-01", "2021-09-30", mail, before, record.lineage)
    assert row == wanted


def test_dcat_describes_every_file(record: Record) -> None:
    query = """SELECT ?url ?type ?size ?sum WHERE { <%s> dcat:distribution ?d . ?d a dcat:Distribution;
        dcat:downloadURL ?url; dcat:mediaType ?type; dcat:byteSize ?size; spdx:checksum [ a spdx:Checksum;
        spdx:algorithm spdx:checksumAlgorithm_sha256; spdx:checksumValue ?sum ] }"""
    rows = _rows("dcat", record, query % record.url)
    media = "https://www.iana.org/assignments/media-types/"
    found = {(url, kind.removeprefix(media), size, total.lower()) for url, kind, size, total in rows}
    assert found == {(f.url, f.media_type, str(f.size_bytes), f.sha256) for f in record.files}


@pytest.mark.parametrize("which", ["record", "across"])
def test_dcat_boxes_are_the_record_s_in_both_forms(which: str, request: pytest.FixtureRequest) -> None:
    record: Record = request.getfixturevalue(which)
    rows = _rows("dcat", record, "SELECT ?b (DATATYPE(?b) AS ?t) WHERE { ?p a dct:Location; dcat:bbox ?b }")
    literal = {kind.rpartition("#")[2]: text for text, kind in rows}
    wanted = shapely.union_all([shapely.box(*box) for box in record.boxes])
    assert shapely.from_wkt(literal["wktLiteral"]).equals(wanted)
    assert shapely.from_geojson(literal["geoJSONLiteral"]).equals(wanted)


@pytest.mark.parametrize("kind", ["schema.org", "dcat"])
def test_what_is_unknown_is_left_out(bare: Record, kind: str) -> None:
    text = METADATA[kind].write(bare).decode()
    assert ": null" not in text.replace("; null: nobody", "")
    for never in (
        "issued",
        "datePublished",
        "sha256",
        "checksum",
        "byteSize",
        "contentSize",
        "doi",
        "mail",
        "Revision",
    ):
        assert never not in text
    assert bare.title in text


def test_a_licence_that_is_not_known_to_be_open_claims_no_free_access(bare: Record) -> None:
    assert "isAccessibleForFree" not in _document("schema.org", bare)
