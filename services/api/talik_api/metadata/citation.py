"""How to cite an edition: a line for people, and BibTeX."""

from __future__ import annotations

import re

from talik_api.metadata.record import Creator, Record

_LATEX = {
    "\\": r"{\textbackslash}",
    "{": r"{\textbraceleft}",
    "}": r"{\textbraceright}",
    "~": r"{\textasciitilde}",
    "^": r"{\textasciicircum}",
    '"': r"{\textquotedbl}",
    **{character: f"\\{character}" for character in "$&#%_"},
}
"""Braces by name: BibTeX counts them, escaped or not."""
_FAMILY_GIVEN = re.compile(r"\w[^,]*, \w[^,]*")
_AND = re.compile(r"\band\b", re.IGNORECASE)


def citation(record: Record) -> bytes:
    """Creators (year). Title (Version n) [Data set]. Publisher. Link. After APA 7, 10.9; n.d. where undated."""
    people = _joined([creator.name for creator in record.creators])
    year = _year(record) or "n.d."
    names = [creator.name for creator in record.creators]
    publisher = [] if names == [record.publisher.name] else [f"{record.publisher.name}."]  # APA: not said twice
    work = f"{people} ({year}). {record.title} (Version {record.version}) [Data set]."
    return (" ".join([work, *publisher, record.doi_url or record.url]) + "\n").encode("utf-8", errors="replace")


def bibtex(record: Record) -> bytes:
    """One @misc entry; BibTeX of before biblatex has no @dataset."""
    fields = {
        "author": " and ".join(_author(creator) for creator in record.creators),
        "title": f"{{{_escaped(record.title)}}}",  # in braces twice: styles keep its capitals
        "year": _year(record),
        "version": _escaped(record.version),
        "publisher": _escaped(record.publisher.name),
        "doi": record.doi,
        "url": record.doi_url or record.url,
        "note": "Data set",
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
    body = ",\n".join([f"@misc{{{_key(record)}", *lines])
    return f"{body}\n}}\n".encode("utf-8", errors="replace")


def _year(record: Record) -> str | None:
    return None if record.published is None else f"{record.published.year:04d}"


def _joined(names: list[str]) -> str:
    """A, B, & C."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])}, & {names[-1]}"


def _key(record: Record) -> str:
    """Letters, digits and '-' only."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", record.identifier)


def _author(creator: Creator) -> str:
    """'Family, Given' is left to BibTeX to take apart; what it would take apart wrongly stands in braces."""
    name = _escaped(creator.name)
    plain = not creator.organisation and _FAMILY_GIVEN.fullmatch(creator.name) and not _AND.search(creator.name)
    return name if plain else f"{{{name}}}"


def _escaped(text: str) -> str:
    """For LaTeX, on one line."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
