"""From a template to an answer: one style, one policy, every text escaped."""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from talik_api.headers import page_policy, source_hash
from talik_api.service import Service

_TEMPLATES = Path(__file__).parent.parent / "templates"
_UNITS = "kMGT"


def render(service: Service, request: Request, template: str, **values: Any) -> Response:
    """Fill in a template of this package. `values` are text, never HTML."""
    base, style = service.base_url(request), _style()
    text = (
        _environment()
        .get_template(template)
        .render(
            **values,
            base=base,
            site=service.settings.title,
            publisher=service.settings.publisher,
            style=Markup(style),  # our own file
        )
    )
    policy = page_policy(styles=[source_hash(style)], images=_image_sources(base), connect=(), forms=())
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache", "Vary": "Accept"}
    return Response(text.encode("utf-8", errors="replace"), 200, headers, "text/html; charset=utf-8")


def number(value: float) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,.0f}"


def square_km(area_m2: float) -> str:
    """Square metres as km2, three digits: 0.0123, 4.56, 104,167."""
    area = area_m2 / 1e6
    return f"{area:,.0f}" if area >= 100 else f"{area:.3g}"


def size(count: int | None) -> str:
    """Bytes in the units that file managers use; empty where unknown."""
    if count is None:
        return ""
    if count < 1000:
        return f"{count} B"
    shown, unit = float(count), ""
    while shown >= 999.5 and len(unit) < len(_UNITS):
        shown, unit = shown / 1000, _UNITS[: len(unit) + 1]
    return f"{shown:.3g} {unit[-1]}B" if shown < 999.5 else f"{shown:,.0f} {unit[-1]}B"


def season(start: date, end: date) -> str:
    """The year where the season lies in one, else both days."""
    return str(start.year) if start.year == end.year else f"{start} to {end}"


def part(text: object) -> str:
    """A text as one part of an address' path."""
    return quote(str(text), safe=":")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=number, square_km=square_km, size=size, part=part)
    return made


@cache
def _style() -> str:
    return (_TEMPLATES / "style.css").read_text(encoding="utf-8").strip()


def _image_sources(base: str) -> tuple[str, ...]:
    """The icon is a data: address; the base may have another name than the one that this page was fetched by."""
    split = urlsplit(base)
    return ("'self'", "data:", f"{split.scheme}://{split.netloc}")
