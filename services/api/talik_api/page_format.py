"""The two forms of documents that are no features."""

from __future__ import annotations

from typing import Any

from talik_api.formats import Answer, Format


def _no_writer(_: Answer) -> Any:
    raise NotImplementedError("documents are written by their routes")


JSON_OR_HTML = {
    "json": Format(
        name="json",
        media_type="application/json",
        extension=".json",
        title="JSON",
        streams=True,
        write=_no_writer,
        also=("application/geo+json", "application/ld+json"),
    ),
    "html": Format(
        name="html",
        media_type="text/html",
        extension=".html",
        title="HTML",
        streams=True,
        write=_no_writer,
        also=("application/xhtml+xml",),
    ),
}
"""Name -> form; JSON for clients that take anything."""
