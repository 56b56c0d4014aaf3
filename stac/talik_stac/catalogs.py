"""Search any STAC API with pystac-client, and say clearly what went wrong."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from logging import getLogger
from typing import Any

import pystac
import requests
from pystac_client import Client
from pystac_client.conformance import ConformanceClasses
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import PystacClientWarning
from shapely import box, unary_union
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from talik_stac.catalog_io import GuardedIO, refusal
from talik_stac.errors import ImageryError, NoScenesError
from talik_stac.imagery import Bbox, Search, nearest
from talik_stac.items import bbox_parts, item_datetime, parse_datetime, scene_from_item
from talik_stac.outgoing import OutgoingError, check_href, resolved
from talik_stac.scenes import Scene

_PAGE = 100
_LOOKED_AT = 500  # items that the search for the nearest date reads where the API cannot sort
_FAR = timedelta(days=550)  # how far it looks then: a year and a season

logger = getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class CatalogOptions:
    """How to speak with a catalogue."""

    timeout_s: float = 30.0
    """For the connection and for each answer."""
    retries: int = 4
    """Of a request that failed by network or by 429, 502, 503, 504; the wait doubles from half a second."""
    max_items: int = 10_000
    """More is taken for an area or season that is too large."""
    prefer_https: bool = False
    """Take an asset's alternate https href where there is one (CDSE: wants a token)."""
    hosts: tuple[str, ...] | None = None
    """Where requests may go and files may lie, as `outgoing.door` reads it; then no local path and no s3:// passes.
    None: anywhere, as for a user on his own machine."""


def scenes_from_catalog(  # noqa: PLR0913  (the words of a search, all but two by keyword)
    url: str,
    collection: str,
    *,
    bands: Sequence[str],
    aoi: BaseGeometry | Bbox,
    start: datetime | None = None,
    end: datetime | None = None,
    max_cloud_percent: float | None = None,
    options: CatalogOptions | None = None,
) -> list[Scene]:
    """Search a STAC API and return its scenes sorted by (datetime, id).

    `aoi` is lon/lat geometry split at the antimeridian, or a bbox. Scenes of unknown cloud cover pass; items
    that lack a band are left out with a warning, unless all do. Raises NoScenesError (what was searched, the
    nearest date), ImageryError (no answer, no STAC API, unknown collection, missing bands) and OutgoingError (the
    catalogue, or what it names, lies outside `options.hosts`).
    """
    if not url.startswith(("http://", "https://")):
        raise ImageryError(f"catalogue '{url}' is no address; expected https://... of a STAC API")
    chosen = options or CatalogOptions()
    geometry = aoi if isinstance(aoi, BaseGeometry) else unary_union([box(*part) for part in bbox_parts(aoi)])
    bbox = aoi if isinstance(aoi, tuple) else geometry.bounds
    search = Search(bbox=bbox, start=start, end=end, max_cloud_percent=max_cloud_percent)
    with _said_clearly(url):
        client = open_catalog(url, chosen)
        _check_collection(client, url, collection)
        found = list(_items(client, collection, geometry, _span(start, end), limit=chosen.max_items + 1))
        if len(found) > chosen.max_items:
            raise ImageryError(
                f"{url}: more than {chosen.max_items} items of '{collection}' {search}; narrow area or season"
            )
        clear = [item for item in found if _clear_enough(item, max_cloud_percent)]
        if not clear:
            raise _no_scenes(client, url, collection, geometry, search, cloudier=len(found))
    scenes = _scenes(clear, bands, chosen.prefer_https)
    if chosen.hosts is not None:
        _check_files(scenes, chosen.hosts)
    return sorted(scenes, key=lambda scene: (scene.datetime, scene.id))


def open_catalog(url: str, options: CatalogOptions) -> Client:
    """Open a STAC API. Raises ImageryError where the address answers, but not as one with item search."""
    retry = Retry(
        total=options.retries,
        backoff_factor=0.5,
        status_forcelist=(429, 502, 503, 504),
        allowed_methods=None,  # a search is a POST that changes nothing
    )
    if options.hosts is None:
        io = StacApiIO(timeout=options.timeout_s, max_retries=retry)
    else:
        io = GuardedIO(options.hosts, timeout_s=options.timeout_s, retries=retry)
    client = Client.open(url, stac_io=io, modifier=_signer(url))
    if not client.conforms_to(ConformanceClasses.ITEM_SEARCH):
        raise ImageryError(
            f"{url} is a STAC catalogue without item search; expected the address of a STAC API, such as "
            "https://earth-search.aws.element84.com/v1"
        )
    return client


def _signer(url: str) -> Callable[[Any], None] | None:
    """Planetary Computer's files open with signed URLs only; the package is theirs, optional, and asks their host."""
    if "planetarycomputer" not in url:
        return None
    try:
        signer: Callable[[Any], None] = importlib.import_module("planetary_computer").sign_inplace
    except ImportError:
        return None  # each scene then carries a warning
    return signer


@contextmanager
def _said_clearly(url: str) -> Iterator[None]:
    """Turn what the network and the libraries raise into one line of ours."""
    try:
        with warnings.catch_warnings(), _refusals():
            warnings.simplefilter("ignore", PystacClientWarning)
            yield
    except APIError as error:
        # pystac-client wraps connection errors too: those carry no HTTP status
        status = getattr(error, "status_code", None)
        said = f"answers {status}: {_line(error)}" if status else f"does not answer: {_cause(error)}"
        raise ImageryError(f"catalogue {url} {said}; check the address, or try again later") from error
    except (requests.RequestException, HTTPError, OSError) as error:
        raise ImageryError(f"catalogue {url} does not answer: {_cause(error)}; check the address") from error
    except (pystac.STACError, ClientTypeError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        raise ImageryError(
            f"{url} does not answer as a STAC API: {_line(error)}; expected the address of a landing page"
        ) from error


@contextmanager
def _refusals() -> Iterator[None]:
    """Bring our refusal to light: the libraries wrap it as they do what the network raises."""
    try:
        yield
    except Exception as error:
        if (refused := refusal(error)) is not None:
            raise refused from None
        raise


def _check_collection(client: Client, url: str, collection: str) -> None:
    if client.get_collection(collection) is not None:
        return
    there = sorted(found.id for found in client.get_collections())
    listed = ", ".join(there[:40]) + (f" and {len(there) - 40} more" if len(there) > 40 else "")
    raise ImageryError(f"{url} has no collection '{collection}'; there is: {listed or 'none'}")


def _items(
    client: Client,
    collection: str,
    geometry: BaseGeometry,
    span: str | None,
    *,
    limit: int,
    newest_first: bool | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield items as the catalogue wrote them (pystac would rewrite older conventions)."""
    order = None
    if newest_first is not None:
        order = [{"field": "properties.datetime", "direction": "desc" if newest_first else "asc"}]
    found = client.search(
        collections=[collection],
        intersects=mapping(geometry),
        datetime=span,
        limit=min(limit, _PAGE),
        max_items=limit,
        sortby=order,
    )
    yield from found.items_as_dicts()


def _span(start: datetime | None, end: datetime | None) -> str | None:
    if start is None and end is None:
        return None
    return f"{_rfc3339(start)}/{_rfc3339(end)}"


def _rfc3339(when: datetime | None) -> str:
    return ".." if when is None else parse_datetime(when).isoformat().replace("+00:00", "Z")


def _clear_enough(item: dict[str, Any], max_cloud_percent: float | None) -> bool:
    cloud = item["properties"].get("eo:cloud_cover")
    return cloud is None or max_cloud_percent is None or float(cloud) <= max_cloud_percent


def _scenes(items: Sequence[dict[str, Any]], bands: Sequence[str], prefer_https: bool) -> list[Scene]:
    scenes, missing = [], []
    for item in items:
        try:
            scenes.append(scene_from_item(item, bands, prefer_https=prefer_https))
        except ImageryError as error:
            missing.append(error)
    if not scenes:
        raise missing[0]
    for reason in missing:
        logger.warning("left out: %s", reason)
    return scenes


def _check_files(scenes: Sequence[Scene], hosts: Sequence[str]) -> None:
    """Refuse what a catalogue must not make us open: only images on the allowed hosts. Raises OutgoingError."""
    resolve = cache(resolved)  # a search names few hosts and many files
    for scene in scenes:
        hrefs = [band.href for band in scene.bands.values()]
        hrefs += [scene.quality.href] if scene.quality is not None else []
        for href in dict.fromkeys(hrefs):
            try:
                # No root: neither our store nor this machine is the catalogue's to read from.
                check_href(href, store_root="", indexed_roots=(), allowed_hosts=hosts, resolve=resolve)
            except OutgoingError as error:
                raise OutgoingError(f"scene {scene.id}: {error}") from error


def _no_scenes(
    client: Client, url: str, collection: str, geometry: BaseGeometry, search: Search, *, cloudier: int
) -> NoScenesError:
    said = f"{url}: no scene of collection '{collection}' {search}"
    if cloudier:
        return NoScenesError(f"{said}; {cloudier} cloudier scenes there: raise the recipe's max_cloud_percent")
    when = _nearest_date(client, collection, geometry, search)
    if when is None:
        return NoScenesError(f"{said}, nor near it in time; check the area")
    return NoScenesError(f"{said}; the nearest date is {when:%Y-%m-%d}")


def _nearest_date(client: Client, collection: str, geometry: BaseGeometry, search: Search) -> datetime | None:
    """Look before and after the season: one item each way where the API sorts, else some hundred."""
    sorts = client.conforms_to(ConformanceClasses.SORT)
    limit = 1 if sorts else _LOOKED_AT
    times: list[datetime] = []
    if search.start is not None:
        first = None if sorts else search.start - _FAR
        span = _span(first, search.start)
        times += map(
            item_datetime,
            _items(client, collection, geometry, span, limit=limit, newest_first=True if sorts else None),
        )
    if search.end is not None:
        last = None if sorts else min(search.end + _FAR, datetime.now(UTC) + timedelta(days=1))
        span = _span(search.end, last)
        times += map(
            item_datetime,
            _items(client, collection, geometry, span, limit=limit, newest_first=False if sorts else None),
        )
    return nearest(times, search.start, search.end)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:300]


def _cause(error: BaseException) -> str:
    """The cause inside what the libraries wrap around it: 'Connection refused', 'Read timed out'."""
    text = _line(error)
    found = re.search(r"\[Errno -?\d+\] ([^'\")]+)|(timed out|Name or service not known)|(too many \d+ error)", text)
    return next((group for group in found.groups() if group), text) if found else text
