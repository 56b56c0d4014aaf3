"""Run stac-api-validator without a network: `python validate_api.py ADDRESS COLLECTION GEOMETRY`.

Core schemas are those that pystac ships (STAC 1.1.0), with their version constant set to 1.0.0 for documents that
state it; schemas of extensions are not at hand and are taken for met: their addresses are printed at the end.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pystac.validation
import requests
from stac_api_validator.__main__ import main

_SHIPPED = Path(pystac.validation.__file__).parent / "jsonschemas"
_LATEST = "1.1.0"
_send = requests.Session.send
not_at_hand: set[str] = set()


def shipped(url: str) -> Any:
    """The schema at an address; `True`, which everything meets, where pystac has none."""
    core = re.fullmatch(r"https://schemas\.stacspec\.org/v([\d.]+)/(?:[a-z]+-spec/)?json-schema/(\w+[\w-]*\.json)", url)
    geojson = re.fullmatch(r"https?://geojson\.org/schema/(\w+\.json)", url)
    file = None
    if core is not None:
        file = _SHIPPED / "stac-spec" / f"v{_LATEST}" / core[2]
    elif geojson is not None:
        file = _SHIPPED / "geojson" / geojson[1]
    if file is None or not file.exists():
        not_at_hand.add(url)
        return {}
    text = file.read_text()
    return json.loads(text.replace(_LATEST, core[1]) if core is not None else text)


def send(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
    """Answer every host but this machine from files."""
    if str(request.url).startswith("http://127.0.0.1"):
        return _send(self, request, **options)
    response = requests.Response()
    response.status_code, response.request, response.url = 200, request, str(request.url)
    response.headers["Content-Type"] = "application/json"
    response._content = json.dumps(shipped(str(request.url).split("#")[0])).encode()
    return response


if __name__ == "__main__":
    requests.Session.send = send  # type: ignore[method-assign]
    address, collection, geometry = sys.argv[1:4]
    classes = ["core", "collections", "features", "item-search", "filter"]
    arguments = ["--root-url", f"{address}/stac", "--collection", collection, "--geometry", geometry]
    try:
        main([*arguments, *(part for each in classes for part in ("--conformance", each))])
    finally:
        sys.stdout.write(f"not at hand: {sorted(not_at_hand)}\n")
