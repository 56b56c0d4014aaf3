"""DCAT 3 as JSON-LD (https://www.w3.org/TR/vocab-dcat-3/)."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from talik_api.metadata.record import BBox, Creator, FileRecord, Record
from talik_api.metadata.writing import json_bytes, known

_CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "geo": "http://www.opengis.net/ont/geosparql#",
    "org": "http://www.w3.org/ns/org#",
    "prov": "http://www.w3.org/ns/prov#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "spdx": "http://spdx.org/rdf/terms#",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
"""Inline, so that nobody needs the network to read it."""
_LANGUAGES = "http://id.loc.gov/vocabulary/iso639-1/"
_MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"


def dcat(record: Record) -> bytes:
    """Write the dcat:Dataset."""
    described = {**_known_of("dct", _terms(record)), **_known_of("dcat", _catalogued(record))}
    revised = known(**{"prov:wasRevisionOf": _predecessor(record)})
    return json_bytes({"@context": _CONTEXT, "@id": record.url, "@type": "dcat:Dataset", **described, **revised})


def _known_of(prefix: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}:{name}": value for name, value in known(**fields).items()}


def _terms(record: Record) -> dict[str, Any]:
    """Of Dublin Core."""
    period = {"dcat:startDate": _date(record.start), "dcat:endDate": _date(record.end)}
    related = record.ids_from
    return {
        "identifier": [record.identifier, *([record.doi_url] if record.doi_url else [])],
        "title": _text(record, record.title),
        "description": _text(record, record.abstract),
        "creator": [_agent(each) for each in record.creators],
        "publisher": _publisher(record),
        "issued": None if record.published is None else _date(record.published),
        "language": {"@id": _LANGUAGES + record.language},
        "license": None if record.licence.url is None else {"@id": record.licence.url},
        "rights": {"@type": "dct:RightsStatement", "rdfs:label": record.licence.name},
        "spatial": {"@type": "dct:Location", "dcat:bbox": _boxes(record)},
        "temporal": {"@type": "dct:PeriodOfTime", **period},
        "provenance": {"@type": "dct:ProvenanceStatement", "rdfs:label": _text(record, record.lineage)},
        "conformsTo": {"@id": record.crs, "@type": "dct:Standard"},
        "relation": None if related is None else {"@id": related.url},
    }


def _catalogued(record: Record) -> dict[str, Any]:
    """Of DCAT."""
    return {
        "version": record.version,
        "previousVersion": _predecessor(record),
        "keyword": [_text(record, each.text) for each in record.keywords if each.thesaurus is None],
        "theme": [_concept(record, each.text, each.thesaurus) for each in record.keywords if each.thesaurus],
        "landingPage": {"@id": record.url, "@type": "foaf:Document"},
        "contactPoint": _contact(record),
        "distribution": [_distribution(record, each) for each in record.files],
    }


def _text(record: Record, text: str) -> dict[str, str]:
    return {"@value": text, "@language": record.language}


def _date(day: object) -> dict[str, str]:
    return {"@value": str(day), "@type": "xsd:date"}


def _predecessor(record: Record) -> dict[str, str] | None:
    return None if record.predecessor is None else {"@id": record.predecessor.url}


def _agent(creator: Creator) -> dict[str, Any]:
    address = None if creator.orcid is None else f"https://orcid.org/{creator.orcid}"
    kind = "foaf:Organization" if creator.organisation else "foaf:Person"
    of = None if creator.affiliation is None else {"@type": "foaf:Organization", "foaf:name": creator.affiliation}
    said = {"@id": address, "foaf:name": creator.name, "org:memberOf": of}
    return {"@type": kind, **known(**said)}


def _publisher(record: Record) -> dict[str, Any]:
    who = record.publisher
    home = None if who.url is None else {"@id": who.url}
    return {"@type": "foaf:Organization", **known(**{"foaf:name": who.name, "foaf:homepage": home})}


def _contact(record: Record) -> dict[str, Any] | None:
    who = record.publisher
    if who.contact_email is None:
        return None
    address = {"@id": f"mailto:{quote(who.contact_email, safe='@+')}"}
    return {"@type": "vcard:Organization", "vcard:fn": who.name, "vcard:hasEmail": address}


def _concept(record: Record, text: str, thesaurus: str | None) -> dict[str, Any]:
    scheme = {"@type": "skos:ConceptScheme", "skos:prefLabel": thesaurus}
    return {"@type": "skos:Concept", "skos:prefLabel": _text(record, text), "skos:inScheme": scheme}


def _boxes(record: Record) -> list[dict[str, str]]:
    """The bbox as WKT and as GeoJSON: one polygon, or two across the antimeridian."""
    rings = [_ring(box) for box in record.boxes]
    polygons = [", ".join(f"{lon:.10g} {lat:.10g}" for lon, lat in ring) for ring in rings]
    if len(rings) == 1:
        wkt, kind, coordinates = f"POLYGON (({polygons[0]}))", "Polygon", [rings[0]]
        shape: dict[str, Any] = {"type": kind, "coordinates": coordinates}
    else:
        wkt = f"MULTIPOLYGON ({', '.join(f'(({each}))' for each in polygons)})"
        shape = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    return [
        {"@value": wkt, "@type": "geo:wktLiteral"},
        {"@value": json.dumps(shape), "@type": "geo:geoJSONLiteral"},
    ]


def _ring(box: BBox) -> list[tuple[float, float]]:
    """Corners (lon, lat), closed, counterclockwise as RFC 7946 asks."""
    west, south, east, north = box
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]


def _distribution(record: Record, file: FileRecord) -> dict[str, Any]:
    said = {
        "dct:title": _text(record, file.title),
        "dct:license": None if record.licence.url is None else {"@id": record.licence.url},
        "dcat:accessURL": {"@id": record.url},
        "dcat:downloadURL": {"@id": file.url},
        **_format(file.media_type),
        "dcat:byteSize": None if file.size_bytes is None else _count(file.size_bytes),
        "spdx:checksum": None if file.sha256 is None else _checksum(file.sha256),
    }
    return {"@id": f"{file.url}#distribution", "@type": "dcat:Distribution", **known(**said)}


def _format(media_type: str | None) -> dict[str, Any]:
    """IANA's page names the type; its parameters (profile=cloud-optimized) stand beside it."""
    if media_type is None:
        return {}
    plain = media_type.split(";")[0].strip()
    full = {"@type": "dct:MediaTypeOrExtent", "rdfs:label": media_type}
    return {"dcat:mediaType": {"@id": _MEDIA_TYPES + plain}, "dct:format": full}


def _count(number: int) -> dict[str, str]:
    return {"@value": str(number), "@type": "xsd:nonNegativeInteger"}


def _checksum(sha256: str) -> dict[str, Any]:
    value = {"@value": sha256, "@type": "xsd:hexBinary"}
    algorithm = {"@id": "spdx:checksumAlgorithm_sha256"}
    return {"@type": "spdx:Checksum", "spdx:algorithm": algorithm, "spdx:checksumValue": value}
