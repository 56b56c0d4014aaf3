"""Addresses of objects in S3 that anyone may read for some time."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from talik_stac.endpoint import s3_endpoint, unsigned
from talik_stac.errors import StoreError
from talik_stac.store import Store, missing

_SCHEME = "s3://"


def in_bucket(store: Store) -> bool:
    """Whether the store lies in S3, where clients can fetch files without us."""
    return store.root.startswith(_SCHEME)


def presigned(store: Store, key: str, seconds: int, filename: str, media_type: str) -> str:
    """The https address of an object, good for `seconds` (604,800 at most) and for GET with any range.

    It is signed with our credentials: with those of a role it ends when they end, if that is sooner.
    Raises StoreError where there are none.
    """
    from botocore.exceptions import BotoCoreError

    bucket, path = _bucket_and_path(store, key)
    said = {
        "ResponseContentDisposition": disposition(filename),
        "ResponseContentType": media_type,
        "ResponseCacheControl": f"private, max-age={seconds}",
    }
    # S3 takes these three from signed requests alone.
    asked = {"Bucket": bucket, "Key": path, **({} if unsigned() else said)}
    try:
        return str(_client(bucket).generate_presigned_url("get_object", Params=asked, ExpiresIn=seconds))
    except BotoCoreError as error:
        raise StoreError(f"store {store.root}: {key}: no address can be signed: {error}; check AWS_*") from error


def size_of(store: Store, key: str) -> int:
    """The bytes of an object. Raises MissingKeyError, StoreError."""
    if not in_bucket(store):
        try:
            return Path(store.url(key)).stat().st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise missing(store.root, key) from error
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, path = _bucket_and_path(store, key)
    try:
        return int(_client(bucket).head_object(Bucket=bucket, Key=path)["ContentLength"])
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise missing(store.root, key) from error
        raise StoreError(f"store {store.root}: {key}: {error}; check AWS_*") from error
    except BotoCoreError as error:
        raise StoreError(f"store {store.root}: {key}: {error}; check AWS_*") from error


def disposition(filename: str) -> str:
    """Content-Disposition of a file that is to be saved under this name (ASCII)."""
    return f'attachment; filename="{filename}"'


def _bucket_and_path(store: Store, key: str) -> tuple[str, str]:
    bucket, _, path = store.url(key).removeprefix(_SCHEME).partition("/")
    return bucket, path


def _client(bucket: str) -> Any:
    env = os.environ
    endpoint = s3_endpoint() or None
    # The store's own client reads AWS_REGION too; boto3 alone would not.
    region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    # Few S3-like services have a host for each bucket, and no certificate fits a bucket's name with dots.
    style = "path" if endpoint or "." in bucket else "virtual"
    return _client_for(endpoint, region, style, unsigned(), env.get("AWS_ACCESS_KEY_ID"), env.get("AWS_SESSION_TOKEN"))


@lru_cache(maxsize=4)
def _client_for(endpoint: str | None, region: str, style: str, is_unsigned: bool, *_credentials: str | None) -> Any:
    """A client takes a third of a second to make; the credentials only tell when another is needed."""
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        signature_version=UNSIGNED if is_unsigned else "s3v4",
        s3={"addressing_style": style},  # not `auto`: its addresses lack the region, and S3 would redirect them
        connect_timeout=5,
        read_timeout=30,
    )
    return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config)
