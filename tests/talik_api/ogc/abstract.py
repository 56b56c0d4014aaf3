"""Which tests carry out which abstract tests of an OGC standard; docs/ogc-conformance.md is the table of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The abstract test suite of one part of a standard."""

    specification: str
    """As in the addresses of its classes, such as ogcapi-features-1/1.0."""

    def __call__(self, *ids: str) -> Callable[[Any], Any]:
        """Say which abstract tests (such as /conf/core/http) a test carries out."""

        def mark(test: Any) -> Any:
            said = getattr(test, "abstract_ids", ())
            test.abstract_ids = (*said, *((self.specification, each) for each in ids))
            return test

        return mark


FEATURES_1 = Suite(specification="ogcapi-features-1/1.0")
FEATURES_2 = Suite(specification="ogcapi-features-2/1.0")
FEATURES_3 = Suite(specification="ogcapi-features-3/1.0")
CQL2 = Suite(specification="cql2/1.0")
COMMON_1 = Suite(specification="ogcapi-common-1/1.0")
COMMON_2 = Suite(specification="ogcapi-common-2/1.0")
PROCESSES = Suite(specification="ogcapi-processes-1/1.0")
TILES = Suite(specification="ogcapi-tiles-1/1.0")
