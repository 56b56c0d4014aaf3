"""Chips and time-lapses: imagery around one feature."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from talik_api.features.answer import find_object, layer_of
from talik_api.pictures.chip import Look, best_frame, chip
from talik_api.pictures.desk import desk_of, door_of
from talik_api.pictures.render import Stretch
from talik_api.pictures.scenes import Frame, Wanted, frame_bands, frames_over, imagery_of
from talik_api.pictures.timelapse import MAX_SIZE_PX, timelapse
from talik_api.problems import Problem
from talik_api.sending import send, tag_of, unchanged
from talik_api.service import Served, Service
from talik_api.times import parse_span
from talik_stac.editions import Edition
from talik_stac.errors import NoScenesError

router = APIRouter(tags=["Pictures"])
BANDS = r"^[A-Za-z0-9_]{1,30}(,[A-Za-z0-9_]{1,30},[A-Za-z0-9_]{1,30})?$"
"""One band, or three."""
_IMAGES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}, "image/webp": {}}}}
_MOVES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/webp": {}, "image/gif": {}}}}

CollectionId = Annotated[str, Path(alias="collectionId", description="A landform, or an edition.", max_length=200)]
FeatureId = Annotated[str, Path(alias="featureId", max_length=300)]
Size = Annotated[int, Query(ge=64, le=1024, description="Width and height in pixels.")]
Buffer = Annotated[
    float | None,
    Query(
        ge=0,
        le=20_000,
        allow_inf_nan=False,
        description="Metres of ground around the feature; a quarter of it if left out.",
    ),
]
Bands = Annotated[
    str | None,
    Query(
        description="Three bands for red, green and blue, or one, such as nir,red,green. True colour if left out.",
        json_schema_extra={"pattern": BANDS},
    ),
]
SceneId = Annotated[str | None, Query(max_length=300, description="The id of one scene.")]
When = Annotated[str | None, Query(description="A day, or an interval such as 2020-06-01/..")]
StretchName = Annotated[
    Stretch,
    Query(description="fixed: reflectance 0 to 0.3, so that dates compare; percentile: 2nd to 98th of what is shown."),
]
Imagery = Annotated[
    str | None,
    Query(max_length=200, description="A collection of the store's imagery; that of the edition if left out."),
]


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """The feature that is to be shown, and over which imagery."""

    edition: Edition
    object_id: str
    geometry: Any
    """Shapely polygons, lon/lat."""
    imagery: str


@router.get("/collections/{collectionId}/items/{featureId}/chip.{kind}", response_class=Response, responses=_IMAGES)
def feature_chip(  # noqa: PLR0913, PLR0917 - one parameter a query parameter
    request: Request,
    service: Served,
    collection_id: CollectionId,
    feature_id: FeatureId,
    kind: Literal["png", "webp"],
    size: Size = 256,
    buffer_m: Buffer = None,
    bands: Bands = None,
    scene: SceneId = None,
    datetime: When = None,
    stretch: StretchName = "fixed",
    collection: Imagery = None,
) -> Response:
    """The imagery of one date around a feature: the clearest of the edition's season where none is named."""
    subject = _subject(service, collection_id, feature_id, collection)
    wanted = _wanted(bands, scene, datetime)
    frame = best_frame(
        _season_first(service, subject, wanted, free=scene is None and datetime is None), subject.geometry
    )
    look = Look(size_px=size, buffer_m=buffer_m, stretch=stretch)
    tag = _tag(subject, [frame], look, kind)
    if unchanged(request, tag):
        return Response(status_code=304, headers=_headers(tag))
    with desk_of(request).turn("picture"):
        data = chip(subject.geometry, frame, door_of(service), look=look, kind=kind)
    named = {
        "Content-Disposition": f'inline; filename="{_file_name(subject)}-{frame.day}.{kind}"',
        "Talik-Scenes": ", ".join(each.id for each in frame.scenes if each.id.isascii()),
        "Talik-Bands": ",".join(frame_bands(frame)),
    }
    return Response(data, 200, {**_headers(tag), **named}, f"image/{kind}")


@router.get("/collections/{collectionId}/items/{featureId}/timelapse.{kind}", response_class=Response, responses=_MOVES)
def feature_timelapse(  # noqa: PLR0913, PLR0917
    request: Request,
    service: Served,
    collection_id: CollectionId,
    feature_id: FeatureId,
    kind: Literal["webp", "gif"],
    size: Size = 256,
    buffer_m: Buffer = None,
    bands: Bands = None,
    datetime: When = None,
    stretch: StretchName = "fixed",
    collection: Imagery = None,
) -> Response:
    """One frame for each date of the imagery around a feature, at most 60, evenly chosen where there are more."""
    subject = _subject(service, collection_id, feature_id, collection)
    frames = frames_over(service.store, subject.imagery, subject.geometry, _wanted(bands, None, datetime))
    look = Look(size_px=min(size, MAX_SIZE_PX), buffer_m=buffer_m, stretch=stretch)
    tag = _tag(subject, frames, look, kind)
    if unchanged(request, tag):
        return Response(status_code=304, headers=_headers(tag))
    with desk_of(request).turn("animation"):
        made = timelapse(subject.geometry, frames, door_of(service), look=look, kind=kind)
    name = f"{_file_name(subject)}.{kind}"
    headers = {
        **_headers(tag),
        "Content-Disposition": f'inline; filename="{name}"',
        "OGC-NumberMatched": str(made.found),
        "OGC-NumberReturned": str(len(made.dates)),
        "Talik-Dates": ",".join(made.dates),
        "Talik-Unreadable-Scenes": str(len(made.unreadable)),
    }
    return send(service, iter([made.data]), f"image/{kind}", headers, name=name)


def _subject(service: Service, collection_id: str, feature_id: str, imagery: str | None) -> _Subject:
    import shapely

    layer = layer_of(service, collection_id)
    found = find_object(service, layer, feature_id)
    if found is None:
        detail = f"collection '{layer.id}' has no feature '{feature_id[:100]}'; ids are those of its items"
        raise Problem(404, "Not found", detail)
    edition, row = found
    named = imagery or imagery_of(service.store, edition.prefix)
    geometry = shapely.from_wkb(row["geometry"][0].as_py())
    return _Subject(edition=edition, object_id=str(row["id"][0].as_py()), geometry=geometry, imagery=named)


def _season_first(service: Service, subject: _Subject, wanted: Wanted, *, free: bool) -> list[Frame]:
    """The dates of the edition's season where there are any and nobody named another."""
    if free:
        start = datetime.combine(subject.edition.season_start, time.min, UTC)
        end = datetime.combine(subject.edition.season_end, time.max, UTC)
        try:
            season = replace(wanted, start=start, end=end)
            return frames_over(service.store, subject.imagery, subject.geometry, season)
        except NoScenesError:
            pass  # the index may have changed since; any date is better than none, and the chip bears its date
    return frames_over(service.store, subject.imagery, subject.geometry, wanted)


def _wanted(bands: str | None, scene: str | None, when: str | None) -> Wanted:
    span = None if when is None else parse_span(when)
    return Wanted(
        bands=parse_bands(bands),
        scene=scene,
        start=None if span is None else span.start,
        end=None if span is None else span.end,
    )


def parse_bands(text: str | None) -> tuple[str, ...] | None:
    """Read `bands`: one or three names. Raises Problem 400."""
    if text is None:
        return None
    names = tuple(text.lower().split(","))
    if not re.fullmatch(BANDS, text) or len(set(names)) != len(names):
        detail = f"bands={text[:100]!r}; expected three different names such as nir,red,green, or one"
        raise Problem(400, "The bands are not valid", detail)
    return names


def _tag(subject: _Subject, frames: list[Frame], look: Look, kind: str) -> str:
    """Of everything that decides the picture: the index may gain scenes, a scene may be indexed anew."""
    scenes = [(scene.id, scene.datetime, scene.bands) for frame in frames for scene in frame.scenes]
    edition = subject.edition
    return tag_of(edition.id, edition.configuration, subject.object_id, subject.imagery, scenes, look, kind)


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": tag, "Cache-Control": "public, max-age=3600"}


def _file_name(subject: _Subject) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{subject.edition.id}-{subject.object_id}")[:150]
