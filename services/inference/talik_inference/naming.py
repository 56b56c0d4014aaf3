"""What a file says of itself: its date, its band roles, its item id, from tags and its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp

from talik_stac.conventions import Product, band_role, common_name_of, quality_kind
from talik_stac.errors import ImageryError

_NAME_DATE = re.compile(
    r"(?<!\d)((?:19|20)\d{2})[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?:[T_]?(\d{2})(\d{2})(\d{2}))?(?!\d)"
)
# strptime takes 2010201 for 1 February 2010: the number of digits decides first
_TOLD_FORMATS = (
    (r"\d{8}T\d{6}", "%Y%m%dT%H%M%S"),
    (r"\d{14}", "%Y%m%d%H%M%S"),
    (r"\d{8}", "%Y%m%d"),
    (r"\d{4}-\d{2}-\d{2}", "%Y-%m-%d"),
    (r"\d{4}_\d{2}_\d{2}", "%Y_%m_%d"),
    (r"\d{7}", "%Y%j"),
    (r"\d{4}-\d{2}", "%Y-%m"),
    (r"\d{6}", "%Y%m"),
    (r"\d{4}", "%Y"),
)
_TAG_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d", "%Y%m%d")
_PRODUCTS: tuple[tuple[str, Product], ...] = (
    (r"HLS\.S30", "hls-s30"),
    (r"HLS\.L30", "hls-l30"),
    (r"^L[COTEM]0[1-9]_L[12]", "landsat-c2-l2"),
    (r"^S2[ABC]_|_MSIL[12][AC]_|^T\d{2}[A-Z]{3}_\d{8}T\d{6}_", "sentinel-2"),
)
_TOKEN = re.compile(r"[._-]")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A date and where it was found."""

    when: datetime
    source: str


def find_datetime(path: Path, source: rasterio.DatasetReader, pattern: str | None) -> Found:
    """Return the acquisition time: by the pattern, the acquisition tag, the file's name, or TIFFTAG_DATETIME.

    TIFFTAG_DATETIME comes last because many programs write there when the file was made. Raises ImageryError
    saying what was tried.
    """
    if pattern is not None:
        return _by_pattern(path, pattern)
    imagery = {**source.tags(ns="IMAGERY"), **source.tags()}
    for tag in ("ACQUISITIONDATETIME", "ACQUISITION_DATETIME"):
        if when := _tag_date(imagery.get(tag)):
            return Found(when=when, source=f"tag {tag}")
    if match := _NAME_DATE.search(path.stem):
        year, month, day, *clock = match.groups()
        try:
            hour, minute, second = (int(part) if part else 0 for part in clock)
            when = datetime(int(year), int(month), int(day), hour, minute, second, tzinfo=UTC)
            return Found(when=when, source="file name")
        except ValueError:  # 20190231, or digits after the date that are no clock
            pass
    if when := _tag_date(imagery.get("TIFFTAG_DATETIME")):
        return Found(when=when, source="tag TIFFTAG_DATETIME")
    raise ImageryError(
        f"{path}: no datetime found; looked for a side-car {path.with_suffix('.toml').name}, the tags "
        "ACQUISITIONDATETIME and TIFFTAG_DATETIME, and a date such as 20140720 in the name; give --datetime, or "
        "--datetime-pattern with a regular expression whose group is the date, such as '(\\d{4})' for 2010.tif"
    )


def roles_by_file(path: Path, source: rasterio.DatasetReader) -> list[str | None]:
    """Return one role for each band by its descriptions, else the file's name (one band), else its colours.

    None for a band whose description is no role. Raises ImageryError where nothing tells.
    """
    product = _product(path)
    roles = [_role(text or "", product, path.stem) for text in source.descriptions]
    if any(roles):
        return roles
    if source.count == 1 and (token := _role_token(path.stem, product)) is not None:
        return [token[0]]
    colours = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue"}
    roles = [colours.get(colour) for colour in source.colorinterp]
    if {"red", "green", "blue"} <= set(roles):
        return roles
    raise ImageryError(
        f"{path}: its {source.count} bands have no names; say what they are, for example --bands R,G,B,NIR "
        "(one word for each band, '-' for one that is not used), or in a side-car"
    )


def default_id(path: Path, roles: Sequence[str | None], collection: str, when: datetime) -> str:
    """Return the item id: the file's name, without the band where it holds one band of several files."""
    used = [role for role in roles if role]
    if len(used) > 1:
        return _slug(path.stem)
    product = _product(path)
    token = _role_token(path.stem, product)
    if token is not None and token[0] == used[0]:
        return _slug(path.stem[: token[1]] + path.stem[token[2] :])
    if len(roles) > 1:
        return _slug(path.stem)
    return f"{_slug(collection)}-{when:%Y%m%dT%H%M%S}"


def id_by_pattern(path: Path, pattern: str) -> str:
    """Return what the pattern's group named id, else its first group, else all of it finds in the name."""
    match = _compiled(pattern, "--id-pattern").search(path.stem)
    if match is None:
        raise ImageryError(f"{path}: --id-pattern '{pattern}' does not match the name '{path.stem}'")
    return _slug(_group(match, "id"))


def _product(path: Path) -> Product:
    """Whose file a name says it is."""
    return next((product for sign, product in _PRODUCTS if re.search(sign, path.name)), "other")


def _by_pattern(path: Path, pattern: str) -> Found:
    match = _compiled(pattern, "--datetime-pattern").search(path.stem)
    if match is None:
        raise ImageryError(f"{path}: --datetime-pattern '{pattern}' does not match the name '{path.stem}'")
    text = _group(match, "date")
    for digits, form in _TOLD_FORMATS:
        if not re.fullmatch(digits, text):
            continue
        try:
            when = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        if form == "%Y":  # the middle of the year, since no season begins on the first of January
            return Found(when=when.replace(month=7, day=1), source="year in the file name, taken as 1 July")
        return Found(when=when, source="file name by --datetime-pattern")
    raise ImageryError(
        f"{path}: --datetime-pattern found '{text}', which is no date; expected 2010, 201007, 20100720, 2010-07-20, "
        "2010201 (year and day of the year) or 20100720T170500"
    )


def _tag_date(text: str | None) -> datetime | None:
    if not text:
        return None
    for form in _TAG_FORMATS:
        try:
            return datetime.strptime(text.strip(), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    try:
        when = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _role(text: str, product: Product, stem: str) -> str | None:
    word = text.strip()
    if not word:
        return None
    if (name := common_name_of(word, product, stem)) is not None:
        return name
    try:
        return band_role(word)
    except ImageryError:
        return None


def _role_token(stem: str, product: Product) -> tuple[str, int, int] | None:
    """Find the part of a name that says its band: (role, from, to) with one separator; the last part that does.

    Single letters do not count: the b of scene_b.tif is no blue.
    """
    found = None
    start = 0
    for part in _TOKEN.split(stem):
        end = start + len(part)
        role = _role(part, product, stem) if len(part) > 1 else None
        if role is not None:
            found = (role, max(0, start - 1), end) if start else (role, 0, end + 1)
        start = end + 1
    return found


def _compiled(pattern: str, option: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ImageryError(f"{option} '{pattern}' is no regular expression: {error}") from error


def _group(match: re.Match[str], name: str) -> str:
    groups: Mapping[str, str | None] = match.groupdict()
    return groups.get(name) or (match.group(1) if match.re.groups else match.group(0))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "scene"


def is_quality(role: str | None) -> bool:
    """Whether a role is a quality band's."""
    return role is not None and quality_kind(role) is not None
