"""The pages that browsers get: plain HTML from templates, without scripts and without requests to other hosts."""

from __future__ import annotations

from talik_api.pages.api import api_page
from talik_api.pages.edition import edition_page
from talik_api.pages.features import feature_page, features_page
from talik_api.pages.home import portal
from talik_api.pages.layers import collection_page, collections_page, conformance_page

__all__ = [
    "api_page",
    "collection_page",
    "collections_page",
    "conformance_page",
    "edition_page",
    "feature_page",
    "features_page",
    "portal",
]
