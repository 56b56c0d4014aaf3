"""DataCite 4 JSON: the attributes of its REST API (https://support.datacite.org/docs/api-create-dois), kernel 4.5."""

from __future__ import annotations

from typing import Any

from talik_api.metadata.record import BBox, Creator, Keyword, Licence, Record, Related
from talik_api.metadata.writing import json_bytes, known
from talik_stac.errors import EditionError


def datacite(record: Record) -> bytes:
    """Write the attributes of a DOI. Raises EditionError where the year of publication, which it needs, is unknown."""
    if record.published is None:
        raise EditionError(
            f"{record.identifier} does not say when it was published, which DataCite demands; publish it anew"
        )
    required = {
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "types": {"resourceTypeGeneral": "Dataset", "resourceType": "Inventory"},
        "creators": [_creator(each) for each in record.creators],
        "titles": [{"title": record.title, "lang": record.language}],
        "publisher": known(name=record.publisher.name),
        "publicationYear": f"{record.published.year:04d}",
    }
    return json_bytes({**known(doi=record.doi), **required, **_optional(record)})


def _optional(record: Record) -> dict[str, Any]:
    return known(
        url=record.url,
        alternateIdentifiers=[{"alternateIdentifier": record.identifier, "alternateIdentifierType": "edition"}],
        subjects=[_subject(each) for each in record.keywords],
        dates=_dates(record),
        language=record.language,
        version=record.version,
        rightsList=[_rights(record.licence)],
        descriptions=[
            _description(record, record.abstract, "Abstract"),
            _description(record, record.lineage, "Methods"),
            *([_description(record, table, "TechnicalInfo")] if (table := _columns(record)) else []),
        ],
        geoLocations=[_location(box) for box in record.boxes],
        relatedIdentifiers=_related(record),
        sizes=_sizes(record),
        formats=list(dict.fromkeys(file.media_type for file in record.files if file.media_type)),
    )


def _creator(creator: Creator) -> dict[str, Any]:
    identifiers = []
    if creator.orcid is not None:
        address = f"https://orcid.org/{creator.orcid}"
        scheme = {"nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}
        identifiers.append({"nameIdentifier": address, **scheme})
    return known(
        name=creator.name,
        nameType="Organizational" if creator.organisation else "Personal",
        nameIdentifiers=identifiers,
        affiliation=[] if creator.affiliation is None else [{"name": creator.affiliation}],
    )


def _subject(keyword: Keyword) -> dict[str, Any]:
    return known(subject=keyword.text, subjectScheme=keyword.thesaurus)


def _dates(record: Record) -> list[dict[str, str]]:
    """The season is what the scenes were collected in; kernel 4.5 has no 'Coverage' yet."""
    season = {"date": f"{record.start}/{record.end}", "dateType": "Collected", "dateInformation": "Season"}
    return [{"date": str(record.published), "dateType": "Issued"}, season]


def _rights(licence: Licence) -> dict[str, Any]:
    scheme = {"rightsIdentifierScheme": "SPDX", "schemeUri": "https://spdx.org/licenses/"} if licence.spdx else {}
    return known(rights=licence.name, rightsUri=licence.url, rightsIdentifier=licence.spdx, **scheme)


def _description(record: Record, text: str, kind: str) -> dict[str, str]:
    return {"description": text, "descriptionType": kind, "lang": record.language}


def _columns(record: Record) -> str:
    return "; ".join(
        f"{column.name}{f' ({column.unit})' if column.unit else ''}: {column.description}" for column in record.columns
    )


def _location(box: BBox) -> dict[str, dict[str, float]]:
    sides = ("westBoundLongitude", "southBoundLatitude", "eastBoundLongitude", "northBoundLatitude")
    return {"geoLocationBox": dict(zip(sides, box, strict=True))}


def _related(record: Record) -> list[dict[str, str]]:
    links = (("IsNewVersionOf", record.predecessor), ("References", record.ids_from))
    return [_link(relation, edition) for relation, edition in links if edition is not None]


def _link(relation: str, edition: Related) -> dict[str, str]:
    named = ("URL", edition.url) if edition.doi is None else ("DOI", edition.doi)
    kind, name = named
    return {"relatedIdentifier": name, "relatedIdentifierType": kind, "relationType": relation}


def _sizes(record: Record) -> list[str]:
    """Objects, files, and the bytes of all where every file's are known."""
    sizes = [file.size_bytes for file in record.files]
    known_sizes = [size for size in sizes if size is not None]
    total = [f"{sum(known_sizes)} B"] if sizes and len(known_sizes) == len(sizes) else []
    return [f"{record.object_count} objects", f"{len(sizes)} files", *total]
