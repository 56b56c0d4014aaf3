"""The metadata of an inventory edition for data centres, in many standards, all from one record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from talik_api.metadata.citation import bibtex, citation
from talik_api.metadata.datacite import datacite
from talik_api.metadata.dcat import dcat
from talik_api.metadata.iso import iso19139
from talik_api.metadata.record import Creator, Publisher, Record, record_of
from talik_api.metadata.schema_org import schema_org
from talik_api.metadata.writing import embedded

__all__ = ["METADATA", "Creator", "Metadata", "Publisher", "Record", "embedded", "record_of"]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """One way to write a record."""

    media_type: str
    ending: str
    """Of a file, with its dot."""
    title: str
    write: Callable[[Record], bytes]


METADATA: dict[str, Metadata] = {
    "schema.org": Metadata(
        media_type="application/ld+json", ending=".schema.jsonld", title="schema.org Dataset", write=schema_org
    ),
    "datacite": Metadata(
        media_type="application/vnd.datacite.datacite+json",
        ending=".datacite.json",
        title="DataCite 4 JSON",
        write=datacite,
    ),
    "dcat": Metadata(media_type="application/ld+json", ending=".dcat.jsonld", title="DCAT 3", write=dcat),
    "iso19139": Metadata(media_type="application/xml", ending=".iso19139.xml", title="ISO 19139", write=iso19139),
    "citation": Metadata(media_type="text/plain", ending=".txt", title="Citation", write=citation),
    "bibtex": Metadata(media_type="application/x-bibtex", ending=".bib", title="BibTeX", write=bibtex),
}
"""By kind, as it stands in the address."""
