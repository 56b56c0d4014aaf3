"""Items as clients get them: every address works as it is, and none tells where files lie on the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from talik_api.links import link
from talik_api.service import Service
from talik_api.stac.holdings import EditionsHolding, Holding

GEOJSON = "application/geo+json"
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = re.compile(r"/|\\\\|[A-Za-z]:[\\/]|file:", re.IGNORECASE)
_ORDER = ("type", "stac_version", "stac_extensions", "id", "collection", "geometry", "bbox", "properties")
_OURS = frozenset(["root", "parent", "collection", "self", "items", "item", "child", "next", "prev", "canonical"])


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """What addresses in documents are made of."""

    base: str
    """Of the service, without a slash at the end."""
    private: tuple[str, ...]
    """Roots of the store and of imagery: what lies below is named by this service's own addresses."""

    @property
    def stac(self) -> str:
        """The landing page of the STAC API."""
        return f"{self.base}/stac"

    def collection(self, collection: str) -> str:
        """A collection's document."""
        return f"{self.stac}/collections/{quote(collection, safe='')}"

    def item(self, collection: str, item: str) -> str:
        """An item's document."""
        return f"{self.collection(collection)}/items/{quote(item, safe='')}"

    def is_private(self, text: str) -> bool:
        """Whether a text names a file of the server, or an object of its own buckets."""
        return _LOCAL.match(text) is not None or any(root in text for root in self.private)


def addresses(service: Service, base: str) -> Addresses:
    """The addresses of a service as the client sees it."""
    roots = (service.store.root, *service.settings.imagery_roots)
    return Addresses(base=base, private=tuple(root.rstrip("/") for root in roots if root.rstrip("/")))


def item_document(holding: Holding, item: dict[str, Any], at: Addresses) -> dict[str, Any]:
    """An item of the API."""
    item_id = str(item["id"])
    make = _edition_assets if isinstance(holding, EditionsHolding) else _imagery_assets
    kept = {name: value for name, value in item.items() if name not in ("links", "assets")}
    shown = public(kept, at) | {"collection": holding.id}
    ordered = {name: shown[name] for name in _ORDER if name in shown}
    return {
        **ordered,
        **{name: value for name, value in shown.items() if name not in ordered},
        "links": [*_own_links(holding, item_id, at), *_other_links(holding, item, at)],
        "assets": make(holding, item_id, item["assets"], at),
    }


def _own_links(holding: Holding, item: str, at: Addresses) -> list[dict[str, Any]]:
    collection = at.collection(holding.id)
    found = [
        link("self", at.item(holding.id, item), GEOJSON),
        link("root", at.stac),
        link("parent", collection),
        link("collection", collection),
    ]
    if isinstance(holding, EditionsHolding):
        found.append(link("alternate", f"{at.base}/editions/{quote(item)}", "text/html", "The edition's page"))
        found.append(
            link("http://www.opengis.net/def/rel/ogc/1.0/items", f"{at.base}/collections/{quote(item)}/items", GEOJSON)
        )
    return found


def _other_links(holding: Holding, item: Mapping[str, Any], at: Addresses) -> list[dict[str, Any]]:
    """Links that a client can follow; those between editions lead to their items here."""
    found = []
    for each in item.get("links") or ():
        href, rel = str(each.get("href", "")), str(each.get("rel", ""))
        version = re.fullmatch(r"\.\./([^/]+)/item\.json", href)
        if isinstance(holding, EditionsHolding) and version is not None:
            found.append({**each, "href": at.item(holding.id, version[1])})
        elif rel not in _OURS and _REMOTE.match(href) and not at.is_private(href):
            found.append(public(dict(each), at))
    return found


def _edition_assets(_: Holding, item: str, assets: Mapping[str, Any], at: Addresses) -> dict[str, Any]:
    """The files of an edition, from where it is published."""
    folder = f"{at.base}/editions/{quote(item)}/files"
    return {
        key: {**public(asset, at), "href": f"{folder}/{quote(str(asset['href']).removeprefix('./'))}"}
        for key, asset in assets.items()
    }


def _imagery_assets(holding: Holding, item: str, assets: Mapping[str, Any], at: Addresses) -> dict[str, Any]:
    """The files of a scene: public addresses as they are, files of ours by an address of this service."""
    return {
        key: {**public(asset, at), "href": _href(str(asset["href"]), f"{at.item(holding.id, item)}/assets", key, at)}
        for key, asset in assets.items()
    }


def _href(href: str, folder: str, key: str, at: Addresses) -> str:
    """An address that a client can read; whatever is no public one goes through this service."""
    served = not _REMOTE.match(href) or at.is_private(href)
    return f"{folder}/{quote(key, safe='')}" if served else href


def public(value: Any, at: Addresses) -> Any:
    """Take out every text that names a file of the server, at every depth."""
    if isinstance(value, Mapping):
        kept = {name: public(each, at) for name, each in value.items() if not _hidden(each, at)}
        return {name: each for name, each in kept.items() if each != {} or value[name] == {}}
    if isinstance(value, list | tuple):
        return [public(each, at) for each in value if not _hidden(each, at)]
    return value


def _hidden(value: Any, at: Addresses) -> bool:
    return isinstance(value, str) and at.is_private(value)
