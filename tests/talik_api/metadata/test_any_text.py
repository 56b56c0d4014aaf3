"""Whatever people write in titles and names, every format gives it back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
import rdflib
from datacite import schema45
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree
from owslib.iso import MD_Metadata
from pybtex.database import parse_string
from rdflib.namespace import DCTERMS, FOAF

from talik_api.metadata import METADATA, Creator, Publisher, Record, embedded

# rdflib 7 still builds the class that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")
# Without control characters, halves of surrogate pairs and what is no character at all.
_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn")), min_size=1, max_size=60).filter(str.strip)
_NASTY = "</script><!-- \"x\" & 'y' ]]> {a}_b$ \\%#^~ and Čå 永久凍土 🧊 @misc{"
_SCHEMA = rdflib.Namespace("https://schema.org/")


def _in_schema_org(data: bytes) -> tuple[str, str]:
    document = json.loads(data)
    assert json.loads(embedded(data)) == document
    assert not re.search("[<>&]", embedded(data))
    graph = rdflib.Graph().parse(data=data, format="json-ld")
    (dataset,) = graph.subjects(_SCHEMA.distribution, unique=True)
    return str(graph.value(dataset, _SCHEMA.name)), document["creator"][0]["name"]


def _in_dcat(data: bytes) -> tuple[str, str]:
    graph = rdflib.Graph().parse(data=data, format="json-ld")
    creator = graph.value(predicate=rdflib.RDF.type, object=FOAF.Person)
    dataset = graph.value(predicate=DCTERMS.creator, object=creator)
    return str(graph.value(dataset, DCTERMS.title)), str(graph.value(creator, FOAF.name))


def _in_datacite(data: bytes) -> tuple[str, str]:
    document = json.loads(data)
    schema45.validator.validate(document)
    return document["titles"][0]["title"], document["creators"][0]["name"]


def _in_iso(data: bytes) -> tuple[str, str]:
    root = etree.fromstring(data)
    (identification,) = MD_Metadata(root).identification
    gmd = {"gmd": "http://www.isotc211.org/2005/gmd", "gco": "http://www.isotc211.org/2005/gco"}
    name = root.findtext(".//gmd:individualName/gco:CharacterString", namespaces=gmd)
    return str(identification.title), str(name)


def _in_bibtex(data: bytes) -> tuple[str, str]:
    ((_, entry),) = parse_string(data.decode(), "bibtex").entries.items()
    (author,) = entry.persons["author"]
    return _plain(entry.fields["title"]), _plain(str(author))


def _plain(latex: str) -> str:
    """What LaTeX prints: commands become characters, braces of grouping go."""
    commands = {
        "textbackslash": "\\",
        "textbraceleft": "{",
        "textbraceright": "}",
        "textasciitilde": "~",
        "textasciicircum": "^",
        "textquotedbl": '"',
    }
    pattern = r"\{\\(text[a-z]+)\}|\\([$&#%_])|[{}]"
    return re.sub(pattern, lambda found: commands.get(found[1] or "", found[2] or ""), latex)


_READERS: dict[str, Callable[[bytes], tuple[str, str]]] = {
    "schema.org": _in_schema_org,
    "dcat": _in_dcat,
    "datacite": _in_datacite,
    "iso19139": _in_iso,
    "bibtex": _in_bibtex,
}


@pytest.mark.parametrize("kind", [*_READERS, "citation"])
@given(title=_TEXT, name=_TEXT)
@example(title=_NASTY, name=_NASTY)
@example(title="a, b", name="von Doe, Jane A.")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_title_and_name_survive(record: Record, kind: str, title: str, name: str) -> None:
    creators = (Creator(name=name),)
    changed = replace(record, title=title, creators=creators, published=date(2024, 5, 6))
    data = METADATA[kind].write(changed)
    if kind == "citation":
        assert data.decode().startswith(f"{name} (2024). {title} (Version 2)")
        return
    found = _READERS[kind](data)
    if kind in ("bibtex", "iso19139"):  # BibTeX joins and XML readers strip white space
        assert [each.split() for each in found] == [title.split(), name.split()]
    else:
        assert found == (title, name)


@given(text=st.text(max_size=30))
def test_even_control_characters_and_broken_unicode_make_whole_documents(record: Record, text: str) -> None:
    changed = replace(record, title=f"a{text}", abstract=f"b{text}", publisher=Publisher(name=f"c{text}"))
    etree.fromstring(METADATA["iso19139"].write(changed))
    parse_string(METADATA["bibtex"].write(changed).decode(), "bibtex")
    for kind in ("schema.org", "dcat", "datacite"):
        json.loads(METADATA[kind].write(changed))


def test_every_kind_has_its_own_ending_and_writes_bytes(record: Record) -> None:
    endings = [metadata.ending for metadata in METADATA.values()]
    assert len(set(endings)) == len(endings)
    for metadata in METADATA.values():
        assert metadata.write(record)
        assert metadata.write(record) == metadata.write(record)
