"""The conformance classes that the tests show to be met, and no others."""

from __future__ import annotations

from talik_api.cql import CONFORMANCE as CQL2

_STAC = "https://api.stacspec.org/v1.0.0"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features"
CONFORMANCE = (
    f"{_STAC}/core",
    f"{_STAC}/collections",
    f"{_STAC}/ogcapi-features",
    f"{_STAC}/item-search",
    f"{_STAC}/ogcapi-features#fields",
    f"{_STAC}/item-search#fields",
    f"{_STAC}/ogcapi-features#sort",
    f"{_STAC}/item-search#sort",
    f"{_STAC}/ogcapi-features#query",
    f"{_STAC}/item-search#query",
    # The filter extension was released as rc.2 and rc.3 before; clients look for either.
    f"{_STAC}-rc.2/item-search#filter",
    f"{_STAC}-rc.3/item-search#filter",
    f"{_STAC}/item-search#filter",
    f"{_FEATURES}-1/1.0/conf/core",
    f"{_FEATURES}-1/1.0/conf/oas30",
    f"{_FEATURES}-1/1.0/conf/geojson",
    f"{_FEATURES}-3/1.0/conf/filter",
    f"{_FEATURES}-3/1.0/conf/features-filter",
    f"{_FEATURES}-3/1.0/conf/queryables",
    *CQL2,
)
