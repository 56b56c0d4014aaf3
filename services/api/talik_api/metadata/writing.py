"""Bytes of JSON metadata, safe wherever they are put."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_ESCAPED_IN_HTML = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def known(**fields: Any) -> dict[str, Any]:
    """The fields whose value is known: None, empty text and empty lists are left out; 0 and False are values."""
    return {name: value for name, value in fields.items() if not (value is None or value in ("", [], {}))}


def json_bytes(document: Mapping[str, Any]) -> bytes:
    """Write JSON as UTF-8; half a surrogate pair, which has no UTF-8, becomes '?'."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode("utf-8", errors="replace")


def embedded(document: bytes) -> str:
    """The same JSON for inside <script type="application/ld+json">: no '</script>' or '<!--' can end or open it.

    '<', '>' and '&' stand only inside JSON's strings, where \\u003c means '<'.
    """
    return document.decode().translate(_ESCAPED_IN_HTML)
