"""OGC API Features: items of a collection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from talik_api.crs import SUPPORTED, checked_crs, pyproj_crs
from talik_api.features.answer import Found, answer, find_object, layer_of
from talik_api.features.ask import DEFAULT_LIMIT, MAX_LIMIT, Asked, FilterLang, Question, of_parameters, understand
from talik_api.features.layers import Layer
from talik_api.features.query import Cursor
from talik_api.formats import FORMATS, Answer, Format, feature_bytes, format_for
from talik_api.links import asked_again, link
from talik_api.problems import Problem
from talik_api.sending import send, tag_of, unchanged
from talik_api.service import Served, Service

router = APIRouter(tags=["Features"])
MOST_IN_FILE = 2_000_000
"""Features of a FlatGeobuf, GeoPackage or Shapefile that is made on request: GDAL holds 100-240 bytes of each."""
GEOJSON = "application/geo+json"
_OFFERED = ", ".join(FORMATS)
_QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
"""OGC API Features Part 3 asks for this link in a header of what can be filtered (test get-queryables-uris)."""

CollectionId = Annotated[str, Path(description="A landform, or an edition.", max_length=200)]
FormatName = Annotated[
    str | None,
    Query(
        description=f"Format of the answer: {_OFFERED} or html; goes before Accept.",
        min_length=1,
        json_schema_extra={"enum": [*FORMATS, "html"]},
    ),
]
CrsName = Annotated[
    str | None,
    Query(description="URI of the CRS of coordinates in the answer.", json_schema_extra={"enum": list(SUPPORTED)}),
]


@router.get("/collections/{collectionId}/items", responses={200: {"content": {GEOJSON: {}}}})
def items(  # noqa: PLR0913, PLR0917 - one parameter a query parameter
    request: Request,
    service: Served,
    collection: Annotated[CollectionId, Path(alias="collectionId")],
    bbox: Annotated[
        str | None,
        Query(
            description="West,south,east,north (in the axis order of bbox-crs); west > east crosses the antimeridian."
        ),
    ] = None,
    bbox_crs: Annotated[str | None, Query(alias="bbox-crs", json_schema_extra={"enum": list(SUPPORTED)})] = None,
    datetime: Annotated[
        str | None, Query(description="When objects were seen: an instant, or an interval such as 2020-06-01/..")
    ] = None,
    filter_: Annotated[str | None, Query(alias="filter", description="A condition in CQL2.")] = None,
    filter_lang: Annotated[FilterLang | None, Query(alias="filter-lang")] = None,
    filter_crs: Annotated[str | None, Query(alias="filter-crs", json_schema_extra={"enum": list(SUPPORTED)})] = None,
    sortby: Annotated[
        str | None, Query(description="Properties joined by commas; '-' before one sorts downwards.")
    ] = None,
    properties: Annotated[
        str | None, Query(description="Properties of the answer, joined by commas; all if left out.")
    ] = None,
    crs: CrsName = None,
    limit: Annotated[
        int | None,
        Query(
            ge=1,
            description=f"Features of a page; {DEFAULT_LIMIT} in GeoJSON and HTML, all in files if left out.",
            json_schema_extra={"maximum": MAX_LIMIT},
        ),
    ] = None,
    token: Annotated[str | None, Query(description="From a 'next' link.", min_length=1)] = None,
    f: FormatName = None,
) -> Response:
    """Features of a collection that meet all conditions."""
    given = {
        "bbox": bbox,
        "bbox-crs": bbox_crs,
        "datetime": datetime,
        "filter": filter_,
        "filter-lang": filter_lang,
        "filter-crs": filter_crs,
        "sortby": sortby,
        "properties": properties,
        "crs": crs,
        "limit": limit,
        "token": token,
    }
    return _answered(service, request, collection, of_parameters(given), f)


@router.post("/collections/{collectionId}/search", responses={200: {"content": {GEOJSON: {}}}})
def search(
    request: Request,
    service: Served,
    collection: Annotated[CollectionId, Path(alias="collectionId")],
    asked: Annotated[Asked, Body()],
    f: FormatName = None,
) -> Response:
    """Like items, for areas and filters too long for a URL: the parameters are members of the body."""
    return _answered(service, request, collection, asked, f)


@router.get("/collections/{collectionId}/items/{featureId}", responses={200: {"content": {GEOJSON: {}}}})
def item(
    request: Request,
    service: Served,
    collection: Annotated[CollectionId, Path(alias="collectionId")],
    feature: Annotated[str, Path(alias="featureId", max_length=300)],
    crs: CrsName = None,
    f: FormatName = None,
) -> Response:
    """One feature."""
    layer = layer_of(service, collection)
    wanted = checked_crs(crs, "crs")
    form = format_for(f, request.headers.get("accept"), _offered())
    found = find_object(service, layer, feature)
    if found is None:
        raise Problem(
            404, "Not found", f"collection '{layer.id}' has no feature '{feature[:100]}'; ids are those of its items"
        )
    edition, row = found
    tag = tag_of(edition.id, edition.configuration, layer.id, feature, wanted, form.name, *layer.attributes)
    if unchanged(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    base = f"{service.base_url(request)}/collections/{layer.id}"
    others = [each for each in _offered().values() if each.name != "geojson"]
    links = [
        link("self", f"{base}/items/{feature}", GEOJSON, "This feature"),
        *[link("alternate", f"{base}/items/{feature}?f={o.name}", o.media_type, f"As {o.title}") for o in others],
        link("collection", base, title="The collection"),
        link(
            "preview",
            f"{service.base_url(request)}/collections/{edition.id}/items/{row['id'][0].as_py()}/chip.png",
            "image/png",
            "A picture of it",
        ),
    ]
    row = row.set_column(row.schema.get_field_index("id"), row.schema.field("id"), [[feature]])
    headers = {"Content-Crs": f"<{wanted}>", "ETag": tag, "Vary": "Accept"}
    if form.name in ("geojson", "html"):
        body = feature_bytes(row, links, crs=pyproj_crs(wanted))
        if form.name == "html":
            from talik_api.pages import feature_page

            return feature_page(service, request, layer, orjson.loads(body))
        return Response(body, 200, headers, GEOJSON)
    written = form.write(Answer(schema=row.schema, tables=iter([row]), crs=pyproj_crs(wanted), name=layer.id))
    headers |= _disposition(form, layer.id)
    return send(service, written, form.media_type, headers, name=f"{layer.id}{form.extension}")


def _answered(service: Service, request: Request, collection: str, asked: Asked, f: str | None) -> Response:
    form = format_for(f, request.headers.get("accept"), _offered())
    question = understand(asked, service.settings, whole=form.name not in ("geojson", "html"))
    layer = layer_of(service, collection, question.cursor)
    question = question.of(layer)
    tag = tag_of([(e.id, e.configuration) for e in layer.editions], asked.model_dump(), str(request.url), form.name)
    if unchanged(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    if (file := _published_file(service, request, layer, asked, form)) is not None:
        return RedirectResponse(file, 307, {"ETag": tag, "Cache-Control": "no-cache"})
    with service.turns.one(is_file=not form.streams):
        return _page(service, request, layer, asked, question, form, {"ETag": tag})


def _page(
    service: Service,
    request: Request,
    layer: Layer,
    asked: Asked,
    question: Question,
    form: Format,
    headers: dict[str, str],
) -> Response:
    found = answer(service, layer, question)
    links = _links(service, request, layer, asked, form, found.next)
    headers |= {
        "Content-Crs": f"<{question.crs}>",
        "Cache-Control": "no-cache",  # may be kept, but asked for again by its tag
        "Vary": "Accept",
        "OGC-NumberMatched": str(found.matched),
        "OGC-NumberReturned": str(found.returned),
        "Link": ", ".join(
            f'<{each["href"]}>; rel="{each["rel"]}"; type="{each["type"]}"'
            for each in links
            if each["rel"] in ("self", "next", _QUERYABLES) and "method" not in each
        ),
    }
    if form.name == "html":
        from talik_api.pages import features_page

        return features_page(service, request, layer, found, links)
    head = {"numberMatched": found.matched, "numberReturned": found.returned, "links": links}
    written = _written(form, _to_write(layer, question, found, head), found.returned)
    if form.name != "geojson":
        headers |= _disposition(form, layer.id)
    return send(service, written, form.media_type, headers, name=f"{layer.id}{form.extension}")


def _published_file(service: Service, request: Request, layer: Layer, asked: Asked, form: Format) -> str | None:
    """The address of the published file where that is the answer: all of an edition, as it is."""
    names = {"parquet": "inventory.parquet", "fgb": "inventory.fgb"}
    if layer.qualified or form.name not in names or asked.model_dump(exclude_none=True):
        return None
    return f"{service.base_url(request)}/editions/{layer.id}/files/{names[form.name]}"


def _written(form: Format, to_write: Answer, count: int) -> Iterator[bytes]:
    """Write the answer. Raises Problem 413 where a file would take too much memory."""
    if not form.streams and count > MOST_IN_FILE:
        raise Problem(
            413,
            "Too many features for this format",
            f"{count:,} features as {form.title}; at most {MOST_IN_FILE:,}: ask for f=parquet, geojson or csv, which "
            "stream, for a smaller area, or for the files of the edition",
        )
    return form.write(to_write)


def _to_write(layer: Layer, question: Question, found: Found, head: dict[str, Any]) -> Answer:
    return Answer(schema=found.schema, tables=found.tables, crs=pyproj_crs(question.crs), name=layer.id, head=head)


def _links(
    service: Service, request: Request, layer: Layer, asked: Asked, form: Format, following: Cursor | None
) -> list[dict[str, Any]]:
    base = service.base_url(request)
    posted = request.method == "POST"
    links = [link("self", asked_again(request, base), form.media_type, "This answer")]
    if not posted:
        others = [each for each in _offered().values() if each.name != form.name]
        links += [
            link("alternate", asked_again(request, base, f=each.name), each.media_type, f"As {each.title}")
            for each in others
        ]
    if following is not None:
        if posted:
            body = {**asked.model_dump(by_alias=True, exclude_none=True), "token": following.token()}
            links.append(
                link("next", asked_again(request, base), form.media_type, "The next page", method="POST", body=body)
            )
        else:
            links.append(
                link("next", asked_again(request, base, token=following.token()), form.media_type, "The next page")
            )
    here = f"{base}/collections/{layer.id}"
    links.append(link(_QUERYABLES, f"{here}/queryables", "application/schema+json", "What filters may name"))
    return [*links, link("collection", here, title="The collection")]


def _disposition(form: Format, name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}{form.extension}"'}


def _offered() -> dict[str, Format]:
    return {**FORMATS, "html": HTML}


def _no_writer(_: Answer) -> Any:
    raise NotImplementedError("pages are made from templates")


HTML = Format(name="html", media_type="text/html", extension=".html", title="HTML", streams=True, write=_no_writer)
