"""Which S3 the AWS_* variables mean: for the store, for GDAL, and for addresses that clients are sent to."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit


def s3_endpoint() -> str:
    """The URL of MinIO, Ceph or a test server; empty where it is AWS itself."""
    env = os.environ
    return env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT") or ""


def unsigned() -> bool:
    """Whether requests go without a signature, as public data are read."""
    return os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in ("1", "true", "yes")


def gdal_endpoint() -> dict[str, Any]:
    """The endpoint in GDAL's words, unless it is told already; the store understands it by itself.

    https://gdal.org/user/virtual_file_systems.html#vsis3
    """
    url = s3_endpoint()
    if not url or "AWS_S3_ENDPOINT" in os.environ:
        return {}
    parts = urlsplit(url)
    return {
        "AWS_S3_ENDPOINT": parts.netloc + parts.path.rstrip("/"),
        "AWS_HTTPS": "NO" if parts.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": False,
    }
