"""ISO 19115:2003 metadata as ISO 19139 XML (schemas of 2007-04-17, GML 3.2).

Elements stand in the order of the schema, which is a sequence throughout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from xml.etree import ElementTree as ET

from talik_api.metadata.record import BBox, Creator, FileRecord, Licence, Publisher, Record, Related

_NAMESPACES = {
    "gmd": "http://www.isotc211.org/2005/gmd",
    "gco": "http://www.isotc211.org/2005/gco",
    "gml": "http://www.opengis.net/gml/3.2",
}
_CODES = "http://standards.iso.org/iso/19139/resources/gmxCodelists.xml"
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, escaped or not."""
_LANGUAGES = {"en": "eng"}
_PROTOCOLS = {"information": "WWW:LINK-1.0-http--link", "download": "WWW:DOWNLOAD-1.0-http--download"}
"""By function, in the words of GeoNetwork."""

for _prefix, _uri in _NAMESPACES.items():
    ET.register_namespace(_prefix, _uri)

Node = ET.Element
Part = Node | str | None
"""A child element, text, or nothing."""


def iso19139(record: Record) -> bytes:
    """Write gmd:MD_Metadata."""
    root = _node(
        "gmd:MD_Metadata",
        _string("fileIdentifier", record.identifier),
        _code("language", "LanguageCode", _LANGUAGES[record.language], base="http://www.loc.gov/standards/iso639-2/"),
        _code("characterSet", "MD_CharacterSetCode", "utf8"),
        _code("hierarchyLevel", "MD_ScopeCode", "dataset"),
        _node("gmd:contact", _publisher(record.publisher, "pointOfContact")),
        _date_or_unknown("gmd:dateStamp", record.published),
        _string("metadataStandardName", "ISO 19115:2003 Geographic information - Metadata"),
        _string("metadataStandardVersion", "ISO 19139:2007"),
        _string("dataSetURI", record.doi_url or record.url),
        _wrapped("referenceSystemInfo/MD_ReferenceSystem/referenceSystemIdentifier/RS_Identifier", *_crs(record)),
        _wrapped("identificationInfo/MD_DataIdentification", *_identification(record)),
        _wrapped("distributionInfo/MD_Distribution", *_distribution(record)),
        _wrapped("dataQualityInfo/DQ_DataQuality", *_quality(record)),
    )
    ET.indent(root, " ")
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _identification(record: Record) -> Iterable[Part]:
    yield _wrapped("citation/CI_Citation", *_citation(record))
    yield _string("abstract", record.abstract)
    yield _code("status", "MD_ProgressCode", "completed")
    yield _node("gmd:pointOfContact", _publisher(record.publisher, "pointOfContact"))
    yield from _keywords(record)
    yield _wrapped("resourceConstraints/MD_LegalConstraints", *_constraints(record.licence))
    for edition in (record.predecessor, record.ids_from):
        if edition is not None:
            yield _wrapped("aggregationInfo/MD_AggregateInformation", *_aggregate(edition))
    yield _code("spatialRepresentationType", "MD_SpatialRepresentationTypeCode", "vector")
    yield _code("language", "LanguageCode", _LANGUAGES[record.language], base="http://www.loc.gov/standards/iso639-2/")
    yield _code("characterSet", "MD_CharacterSetCode", "utf8")
    yield _node("gmd:topicCategory", _node("gmd:MD_TopicCategoryCode", "geoscientificInformation"))
    yield _wrapped("extent/EX_Extent", *_extent(record))
    yield _string("supplementalInformation", _supplement(record))


def _citation(record: Record) -> Iterable[Part]:
    yield _string("title", record.title)
    yield _dated(record.published)
    yield _string("edition", record.version)
    for name in (record.doi_url, record.url):
        if name is not None:
            yield _wrapped("identifier/MD_Identifier", _string("code", name))
    for creator in record.creators:
        yield _node("gmd:citedResponsibleParty", _creator(creator))
    yield _node("gmd:citedResponsibleParty", _publisher(record.publisher, "publisher"))


def _dated(published: date | None) -> Node:
    if published is None:
        return _node("gmd:date", nilReason="unknown")
    kind = _code("dateType", "CI_DateTypeCode", "publication")
    return _wrapped("date/CI_Date", _date_or_unknown("gmd:date", published), kind)


def _creator(creator: Creator) -> Node:
    """The ORCID stands as the person's page: ISO 19115:2003 has no place for identifiers of people."""
    organisation = creator.name if creator.organisation else creator.affiliation
    contact = None
    if creator.orcid is not None:
        contact = _contact(None, f"https://orcid.org/{creator.orcid}")
    return _node(
        "gmd:CI_ResponsibleParty",
        None if creator.organisation else _string("individualName", creator.name),
        _string("organisationName", organisation),
        contact,
        _code("role", "CI_RoleCode", "author"),
    )


def _publisher(publisher: Publisher, role: str) -> Node:
    contact = None
    if publisher.contact_email is not None or publisher.url is not None:
        contact = _contact(publisher.contact_email, publisher.url)
    return _node(
        "gmd:CI_ResponsibleParty",
        _string("organisationName", publisher.name),
        contact,
        _code("role", "CI_RoleCode", role),
    )


def _contact(email: str | None, url: str | None) -> Node:
    address = None
    if email is not None:
        address = _wrapped("address/CI_Address", _string("electronicMailAddress", email))
    online = None if url is None else _wrapped("onlineResource/CI_OnlineResource", _linkage(url))
    return _wrapped("contactInfo/CI_Contact", address, online)


def _keywords(record: Record) -> Iterable[Node]:
    """One group a thesaurus, one of free keywords."""
    for thesaurus in dict.fromkeys(keyword.thesaurus for keyword in record.keywords):
        words = [_string("keyword", each.text) for each in record.keywords if each.thesaurus == thesaurus]
        named = None
        if thesaurus is not None:
            title = _string("title", thesaurus)
            named = _wrapped("thesaurusName/CI_Citation", title, _node("gmd:date", nilReason="unknown"))
        kind = _code("type", "MD_KeywordTypeCode", "theme")
        yield _wrapped("descriptiveKeywords/MD_Keywords", *words, kind, named)


def _constraints(licence: Licence) -> Iterable[Part]:
    yield _code("useConstraints", "MD_RestrictionCode", "license")
    yield _string("otherConstraints", licence.name)
    yield _string("otherConstraints", licence.url)


def _aggregate(edition: Related) -> Iterable[Part]:
    """ISO 19115:2003 knows no 'revision of'; a cross reference is the nearest."""
    name = edition.url if edition.doi is None else f"https://doi.org/{edition.doi}"
    yield _wrapped("aggregateDataSetIdentifier/MD_Identifier", _string("code", name))
    yield _code("associationType", "DS_AssociationTypeCode", "crossReference")


def _extent(record: Record) -> Iterable[Part]:
    for box in record.boxes:
        yield _wrapped("geographicElement/EX_GeographicBoundingBox", *_box(box))
    period = _node(
        "gml:TimePeriod",
        _node("gml:beginPosition", record.start.isoformat()),
        _node("gml:endPosition", record.end.isoformat()),
    )
    period.set(_name("gml:id"), "season")
    yield _wrapped("temporalElement/EX_TemporalExtent/extent", period)


def _box(box: BBox) -> Iterable[Part]:
    """ISO's order is west, east, south, north."""
    west, south, east, north = box
    sides = {
        "westBoundLongitude": west,
        "eastBoundLongitude": east,
        "southBoundLatitude": south,
        "northBoundLatitude": north,
    }
    for name, degrees in sides.items():
        yield _node(f"gmd:{name}", _node("gco:Decimal", f"{degrees:.10f}".rstrip("0").rstrip(".")))


def _supplement(record: Record) -> str:
    columns = "; ".join(
        f"{column.name}{f' ({column.unit})' if column.unit else ''}: {column.description}" for column in record.columns
    )
    return f"{record.object_count} objects, {record.area_m2 / 1e6:.10g} km2. Columns: {columns}."


def _crs(record: Record) -> Iterable[Part]:
    yield _string("code", record.crs)
    yield _string("codeSpace", "OGC")


def _distribution(record: Record) -> Iterable[Part]:
    for media_type in dict.fromkeys(file.media_type for file in record.files if file.media_type):
        version = _node("gmd:version", nilReason="inapplicable")
        yield _wrapped("distributionFormat/MD_Format", _string("name", media_type), version)
    page = _online(record.url, name="Landing page", description=None, function="information")
    yield _wrapped("transferOptions/MD_DigitalTransferOptions", page)
    for file in record.files:
        yield _wrapped("transferOptions/MD_DigitalTransferOptions", *_transfer(file))


def _transfer(file: FileRecord) -> Iterable[Part]:
    """One file; its size in megabytes, as the standard says."""
    if file.size_bytes is not None:
        yield _node("gmd:transferSize", _node("gco:Real", f"{file.size_bytes / 1e6:.6f}"))
    checksum = None if file.sha256 is None else f"SHA-256 {file.sha256}"
    said = "; ".join(part for part in (file.title, file.media_type, checksum) if part)
    yield _online(file.url, name=file.name, description=said, function="download")


def _online(url: str, *, name: str, description: str | None, function: str) -> Node:
    return _wrapped(
        "onLine/CI_OnlineResource",
        _linkage(url),
        _string("protocol", _PROTOCOLS[function]),
        _string("name", name),
        _string("description", description),
        _code("function", "CI_OnLineFunctionCode", function),
    )


def _linkage(url: str) -> Node:
    return _node("gmd:linkage", _node("gmd:URL", url))


def _quality(record: Record) -> Iterable[Part]:
    yield _wrapped("scope/DQ_Scope", _code("level", "MD_ScopeCode", "dataset"))
    yield _wrapped("lineage/LI_Lineage", _string("statement", record.lineage))


def _name(prefixed: str) -> str:
    prefix, name = prefixed.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{name}"


def _node(name: str, *parts: Part, nilReason: str | None = None) -> Node:
    node = ET.Element(_name(name))
    if nilReason is not None:
        node.set(_name("gco:nilReason"), nilReason)
    for part in parts:
        if isinstance(part, str):
            node.text = _NOT_XML.sub("\ufffd", part)
        elif part is not None:
            node.append(part)
    return node


def _wrapped(path: str, *parts: Part) -> Node:
    """Nest gmd elements: citation/CI_Citation."""
    *outer, inner = path.split("/")
    node = _node(f"gmd:{inner}", *parts)
    for name in reversed(outer):
        node = _node(f"gmd:{name}", node)
    return node


def _string(name: str, text: str | None) -> Node | None:
    """A text property; nothing where it is not known."""
    return None if not text else _node(f"gmd:{name}", _node("gco:CharacterString", text))


def _code(name: str, codelist: str, value: str, *, base: str | None = None) -> Node:
    code = _node(f"gmd:{codelist}", value)
    code.set("codeList", base or f"{_CODES}#{codelist}")
    code.set("codeListValue", value)
    return _node(f"gmd:{name}", code)


def _date_or_unknown(name: str, day: date | None) -> Node:
    if day is None:
        return _node(name, nilReason="unknown")
    return _node(name, _node("gco:Date", day.isoformat()))
