"""schema.org Dataset as JSON-LD, as Science-on-Schema.org asks (https://github.com/ESIPFed/science-on-schema.org)."""

from __future__ import annotations

from typing import Any

from talik_api.metadata.record import BBox, Column, Creator, FileRecord, Keyword, Record, Related
from talik_api.metadata.writing import json_bytes, known

_CONTEXT = {
    "@vocab": "https://schema.org/",
    "prov": "http://www.w3.org/ns/prov#",
    "spdx": "http://spdx.org/rdf/terms#",
}
"""Inline, so that nobody needs the network to read it."""
_UNIT_CODES = {"m2": "MTK", "m": "MTR", "degree": "DD"}
"""UN/CEFACT codes by the inventory's units."""


def schema_org(record: Record) -> bytes:
    """Write the Dataset."""
    return json_bytes({"@context": _CONTEXT, "@id": record.url, "@type": "Dataset", **_described(record)})


def _described(record: Record) -> dict[str, Any]:
    before = record.predecessor
    return known(
        name=record.title,
        description=record.abstract,
        url=record.url,
        identifier=_identifiers(record),
        sameAs=record.doi_url,
        version=record.version,
        datePublished=None if record.published is None else record.published.isoformat(),
        inLanguage=record.language,
        license=record.licence.url or record.licence.name,
        isAccessibleForFree=True if record.licence.is_open else None,
        keywords=[_keyword(each) for each in record.keywords],
        creator=[_agent(each) for each in record.creators],
        publisher=_publisher(record),
        spatialCoverage={"@type": "Place", "geo": [_shape(box) for box in record.boxes], **_crs(record)},
        temporalCoverage=f"{record.start}/{record.end}",
        measurementTechnique=record.technique,
        variableMeasured=[_variable(each) for each in record.columns],
        distribution=[_download(each) for each in record.files],
        isBasedOn=[_reference(each) for each in (before, record.ids_from) if each is not None],
        **{"prov:wasRevisionOf": None if before is None else {"@id": before.url}},
    )


def _identifiers(record: Record) -> list[dict[str, str]]:
    own = {"@type": "PropertyValue", "propertyID": "edition", "value": record.identifier, "url": record.url}
    if record.doi is None or record.doi_url is None:
        return [own]
    registry = "https://registry.identifiers.org/registry/doi"
    doi = {"@type": "PropertyValue", "propertyID": registry, "value": f"doi:{record.doi}", "url": record.doi_url}
    return [doi, own]


def _agent(creator: Creator) -> dict[str, Any]:
    """A person or an organisation; an ORCID names it for machines."""
    address = None if creator.orcid is None else f"https://orcid.org/{creator.orcid}"
    of = None if creator.affiliation is None else {"@type": "Organization", "name": creator.affiliation}
    kind = "Organization" if creator.organisation else "Person"
    return {"@type": kind, **known(**{"@id": address}, name=creator.name, affiliation=of, identifier=address)}


def _publisher(record: Record) -> dict[str, Any]:
    who = record.publisher
    contact = None
    if who.contact_email is not None:
        contact = {"@type": "ContactPoint", "contactType": "data", "email": who.contact_email}
    return {"@type": "Organization", **known(name=who.name, url=who.url, contactPoint=contact)}


def _keyword(keyword: Keyword) -> str | dict[str, str]:
    if keyword.thesaurus is None:
        return keyword.text
    return {"@type": "DefinedTerm", "name": keyword.text, "inDefinedTermSet": keyword.thesaurus}


def _shape(box: BBox) -> dict[str, str]:
    """Latitude comes first: 'south west north east'."""
    west, south, east, north = box
    return {"@type": "GeoShape", "box": f"{south:.10g} {west:.10g} {north:.10g} {east:.10g}"}


def _crs(record: Record) -> dict[str, Any]:
    property_id = "http://dbpedia.org/resource/Spatial_reference_system"
    return {"additionalProperty": {"@type": "PropertyValue", "propertyID": property_id, "value": record.crs}}


def _variable(column: Column) -> dict[str, Any]:
    code = _UNIT_CODES.get(column.unit or "")
    said = known(name=column.name, description=column.description, unitText=column.unit, unitCode=code)
    return {"@type": "PropertyValue", **said}


def _download(file: FileRecord) -> dict[str, Any]:
    said = known(
        name=file.title,
        contentUrl=file.url,
        encodingFormat=file.media_type,
        contentSize=None if file.size_bytes is None else f"{file.size_bytes} B",
        sha256=file.sha256,
        **{"spdx:checksum": None if file.sha256 is None else _checksum(file.sha256)},
    )
    return {"@type": "DataDownload", **said}


def _checksum(sha256: str) -> dict[str, Any]:
    algorithm = {"@id": "spdx:checksumAlgorithm_sha256"}
    return {"@type": "spdx:Checksum", "spdx:algorithm": algorithm, "spdx:checksumValue": sha256}


def _reference(edition: Related) -> dict[str, str]:
    return {"@id": edition.url, "@type": "Dataset", "name": edition.id, "url": edition.url}
