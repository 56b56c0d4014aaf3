"""The service on AWS Lambda, behind an API Gateway HTTP API or a function URL."""

from __future__ import annotations

from urllib.parse import urlsplit

from mangum import Mangum

from talik_api.app import create_app
from talik_api.settings import ApiSettings

_TEXT = ["text/", "application/json", "+json", "application/xml", "+xml", "application/x-bibtex"]
"""Parts of media types whose bytes travel as text; all others, and these once gzipped, travel as base64."""
_settings = ApiSettings()

handler = Mangum(
    create_app(_settings, on_lambda=True),
    lifespan="off",
    # A stage stands before the path of an event as it stands in the address that clients see.
    api_gateway_base_path=urlsplit(_settings.base_url or "").path.rstrip("/") or "/",
    text_mime_types=_TEXT,
)
