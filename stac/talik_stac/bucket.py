"""A store in an S3 bucket, through obstore."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talik_stac.endpoint import s3_endpoint, unsigned
from talik_stac.errors import MissingKeyError, StoreError
from talik_stac.store import COPY_BYTES, check_range, checked_key, missing, past_the_end, source_file

if TYPE_CHECKING:
    from obstore.store import S3Store

_MAX_PARTS = 9_000  # S3 allows 10,000 parts to an upload
_PARALLEL_PARTS = 4  # so that an upload holds four parts in memory


def open_bucket(root: str) -> BucketStore:
    """Open the store at s3://bucket/prefix without a request. Raises StoreError for any other address."""
    address = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]+)(?:/+(.*?))?/*", root)
    if address is None:
        raise StoreError(f"store {root!r}: expected a folder or s3://bucket/prefix; correct TALIK_STORE or --store")
    bucket, prefix = f"s3://{address[1]}", address[2]
    return BucketStore(root=f"{bucket}/{checked_key(bucket, prefix)}" if prefix else bucket)


@dataclass(frozen=True, kw_only=True)
class BucketStore:
    """A Store under a prefix of an S3 bucket, set up by the AWS_* environment variables.

    Credentials come from the environment, else from what boto3 finds (profiles, roles);
    AWS_SKIP_SIGNATURE=true reads public data. AWS_ENDPOINT_URL (or AWS_ENDPOINT) points to MinIO, Ceph and
    the like; plain http is allowed where the endpoint says http. An upload killed half-way shows nothing, but
    its parts stay in the bucket until a lifecycle rule for incomplete uploads removes them.
    """

    root: str
    """s3://bucket or s3://bucket/prefix, without a slash at the end."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The client holds sockets and threads: another process makes its own.
        return (open_bucket, (self.root,))

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        with self._calling(key) as (obstore, client):
            return bytes(obstore.get(client, key).bytes())

    def get_range(self, key: str, *, start: int, length: int) -> bytes:
        """Return `length` bytes from byte `start`, fewer where the object ends."""
        check_range(self.root, key, start, length)
        with self._calling(key) as (obstore, client):
            if not length:
                obstore.head(client, key)
                return b""
            return bytes(obstore.get_range(client, key, start=start, length=length))

    def put(self, key: str, data: bytes) -> None:
        """Write or replace the object in one step."""
        with self._calling(key) as (obstore, client):
            obstore.put(client, key, data, chunk_size=_part_bytes(len(data)), max_concurrency=_PARALLEL_PARTS)

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, streamed from a local file in parts."""
        with source_file(self.root, key, path) as source, self._calling(key) as (obstore, client):
            part = _part_bytes(os.fstat(source.fileno()).st_size)
            obstore.put(client, key, path, chunk_size=part, max_concurrency=_PARALLEL_PARTS)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object only where none is, by a conditional put (If-None-Match)."""
        with self._calling(key) as (obstore, client):
            try:
                obstore.put(client, key, data, mode="create")
            except obstore.exceptions.AlreadyExistsError:
                return False
            return True

    def exists(self, key: str) -> bool:
        """Whether an object lies under this key."""
        with self._calling(key) as (obstore, client):
            try:
                obstore.head(client, key)
            except FileNotFoundError:
                self._bucket_is_there  # noqa: B018 (a missing bucket answers like a missing object)
                return False
            return True

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under the folder `prefix`, sorted."""
        folder = prefix.rstrip("/")
        with self._calling(folder, whole=not folder) as (obstore, client):
            paths = (entry["path"] for page in obstore.list(client, folder or None) for entry in page)
            return iter(sorted(path for path in paths if path))

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where none is."""
        with suppress(MissingKeyError), self._calling(key) as (obstore, client):
            obstore.delete(client, key)

    def url(self, key: str) -> str:
        """Return s3://bucket/prefix/key."""
        return f"{self.root}/{checked_key(self.root, key)}"

    @contextmanager
    def _calling(self, key: str, *, whole: bool = False) -> Iterator[tuple[Any, S3Store]]:
        """Yield obstore and this process's client; what fails inside becomes a StoreError."""
        if not whole:
            checked_key(self.root, key)
        import obstore

        _refuse_forked(self.root, key)
        try:
            yield obstore, self._client
        except StoreError:
            raise
        except (obstore.exceptions.BaseError, OSError, ValueError) as error:
            raise _bucket_error(self.root, key, error) from error

    @cached_property
    def _client(self) -> S3Store:
        from obstore.store import S3Store

        bucket, _, prefix = self.root.removeprefix("s3://").partition("/")
        return S3Store(bucket, prefix=prefix or None, **_s3_options())

    @cached_property
    def _bucket_is_there(self) -> bool:
        """Asked once: listing one page names a missing bucket, where HEAD does not."""
        import obstore

        # Who may read objects but not list them is told 403 or an empty page, and that is no reason to stop.
        with suppress(obstore.exceptions.PermissionDeniedError):
            next(iter(obstore.list(self._client, chunk_size=1)), None)
        return True


_native_pid: int | None = None


def _refuse_forked(root: str, key: str) -> None:
    """Refuse to go on in a fork of a process that used obstore: its threads are not there, it would hang."""
    global _native_pid  # noqa: PLW0603
    _native_pid = _native_pid or os.getpid()
    if _native_pid != os.getpid():
        raise StoreError(
            f"store {root}: {key}: this process was forked from one that used S3 and cannot go on; "
            "start worker processes with the 'spawn' or 'forkserver' method"
        )


def _part_bytes(size: int) -> int:
    return max(COPY_BYTES, -(-size // _MAX_PARTS))


def _s3_options() -> dict[str, Any]:
    """The options of the client that obstore does not take from AWS_* itself."""
    env = os.environ
    endpoint = s3_endpoint()
    http = endpoint.startswith("http://") or env.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    second = timedelta(seconds=1)
    options: dict[str, Any] = {
        "client_options": {
            "allow_http": http,
            "connect_timeout": 5 * second,
            "read_timeout": 30 * second,
            "timeout": 300 * second,
        },
        "retry_config": {
            "max_retries": 3,
            "retry_timeout": 30 * second,
            "backoff": {"init_backoff": 0.1 * second, "max_backoff": 2 * second, "base": 2},
        },
    }
    if "AWS_ACCESS_KEY_ID" not in env and not unsigned():
        options["credential_provider"] = _found_by_boto3()
    return options


def _found_by_boto3() -> Any:
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider()
    except ValueError as error:
        raise StoreError(
            "no AWS credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, "
            "or AWS_SKIP_SIGNATURE=true for public data"
        ) from error


def _bucket_error(root: str, key: str, error: Exception) -> StoreError:
    """Turn what obstore says, which runs over many lines of XML and Rust, into one line with a next step."""
    text = str(error)
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d+ [A-Z][\w ]*)", text)
    cause = code[1] if code else status[1].strip() if status else text.splitlines()[0].split(" - ")[-1]
    if "InvalidRange" in cause or cause.startswith("416"):
        return past_the_end(root, key)
    for pattern, step in _STEPS:
        if re.search(pattern, f"{type(error).__name__} {cause}"):
            return StoreError(f"store {root}: {key or 'list'}: {cause}; {step}")
    if isinstance(error, FileNotFoundError):
        return missing(root, key)
    return StoreError(f"store {root}: {key or 'list'}: {cause}; run the same command again, it resumes")


_STEPS = (
    ("NoSuchBucket|InvalidBucketName", "create the bucket, or correct --store or TALIK_STORE"),
    ("redirect|AuthorizationHeaderMalformed", "the bucket lies in another region: set AWS_REGION"),
    (
        "PermissionDenied|Unauthenticated|403|401|InvalidAccessKeyId|SignatureDoesNotMatch",
        "access refused: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do here",
    ),
    (
        "HTTP error|error sending request|timed out",
        "the endpoint does not answer: check AWS_ENDPOINT_URL and the network, then run the command again",
    ),
)
