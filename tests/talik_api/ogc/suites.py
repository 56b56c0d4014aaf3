"""The abstract tests of the suites that were read whole, as their annexes list them."""

from __future__ import annotations


def _of(name: str, tests: str) -> list[str]:
    return [f"/conf/{name}/{test}" for test in tests.split()]


_RELATIONS = "s_intersects s_disjoint s_equals s_touches s_crosses s_within s_contains s_overlaps"
SUITES: dict[str, list[str]] = {
    "ogcapi-features-1/1.0": [
        *_of(
            "core",
            "http crs84 root-op root-success conformance-op conformance-success api-definition-op "
            "api-definition-success fc-md-op fc-md-success fc-md-links fc-md-items fc-md-items-links fc-md-extent "
            "sfc-md-op sfc-md-success fc-op fc-bbox-definition fc-bbox-response fc-limit-definition fc-limit-response "
            "fc-time-definition fc-time-response query-param-invalid query-param-unknown fc-response fc-links "
            "fc-timeStamp fc-numberMatched fc-numberReturned f-op f-success f-links",
        ),
        *_of("geojson", "definition content"),
        *_of("html", "definition content"),
        *_of("oas30", "completeness exceptions-codes oas-definition-1 oas-definition-2 oas-impl security"),
    ],
    "ogcapi-features-2/1.0": _of(
        "crs",
        "crs-uri default-crs storageCrs crs-parameter crs-parameter-invalid crs-parameter-default "
        "crs-parameter-transform bbox-crs-parameter bbox-crs-parameter-invalid bbox-crs-parameter-default",
    ),
    "ogcapi-features-3/1.0": [
        *_of("queryables", "get-conformance get-queryables-uris get-queryables"),
        *_of(
            "filter",
            "get-conformance filter-param filter-lang-default expression-construction filter-crs-wgs84 "
            "filter-crs-param",
        ),
        *_of("features-filter", "get-conformance get-collections get-collection filter-on-items mixing-expression"),
    ],
    "cql2/1.0": [
        *_of("cql2-text", "validate escaping"),
        *_of("cql2-json", "validate"),
        *_of("basic-cql2", "basic-test comparison is-null boolean test-data logical"),
        *_of("advanced-comparison-operators", "like between in test-data logical"),
        *_of("case-insensitive-comparison", "casei casei-like test-data logical"),
        *_of(
            "accent-insensitive-comparison",
            "accenti accenti-like accenti-casei accenti-casei-like test-data logical",
        ),
        *_of("basic-spatial-functions", "s_intersects test-data logical"),
        *_of("basic-spatial-functions-plus", "s_intersects test-data"),
        *_of("spatial-functions", f"{_RELATIONS} test-data logical"),
        *_of("temporal-functions", "temporal-functions-1 temporal-functions-2 test-data logical"),
        *_of("array-functions", "array-predicates logical"),
        *_of(
            "property-property",
            "comparison-value-property comparison-property-property comparison-value-value test-data logical",
        ),
        *_of("arithmetic", "arithmetic test-data logical"),
    ],
}
"""Specification -> ids. CQL2's class `functions` is left out: no functions of our own are offered."""
