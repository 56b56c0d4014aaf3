"""One root, a local folder or an S3 prefix, behind one protocol; a file appears whole or not at all.

The S3 side is obstore (`bucket`). The folder is the standard library: obstore's own folder store (0.12)
neither flushes a file to disk before renaming it (a power cut may leave an empty file under the final key)
nor answers in a forked process (it hangs), and a laboratory's cluster meets both.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from talik_stac.errors import MissingKeyError, StoreError

TEMP_PREFIX = ".talik-tmp-"
"""How names of files in flight begin; nothing under such a name is ever listed or read."""
COPY_BYTES = 8 * 1024 * 1024
"""How much of a file is held in memory while it is copied."""


class Store(Protocol):
    """Objects under '/'-separated keys. Methods raise StoreError with the root, the key and the cause."""

    @property
    def root(self) -> str:
        """The absolute folder, or s3://bucket/prefix."""

    def get(self, key: str) -> bytes:
        """Return the whole object. Raises MissingKeyError."""

    def get_range(self, key: str, *, start: int, length: int) -> bytes:
        """Return `length` bytes from byte `start`, fewer where the object ends. Raises MissingKeyError."""

    def put(self, key: str, data: bytes) -> None:
        """Write or replace the object in one step: a reader sees the old bytes or the new, never a part."""

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, streamed from a local file in bounded memory."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object only where none is; True if this call wrote it. Atomic between processes."""

    def exists(self, key: str) -> bool:
        """Whether an object lies under this key."""

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under the folder `prefix`, sorted."""

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where none is."""

    def url(self, key: str) -> str:
        """Return what GDAL, pyarrow or a person opens: an absolute path, or s3://bucket/key."""


def open_store(root: str) -> Store:
    """Open the store at a folder (made on first write) or s3://bucket/prefix; picklable.

    Nothing is read or written here. Raises StoreError where `root` is neither.
    """
    text = root.strip()
    if not text:
        raise StoreError("the store has no name; give a folder or s3://bucket/prefix with --store or TALIK_STORE")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) is None:  # C:/ is a folder on Windows
        return FolderStore(root=_absolute(text))
    from talik_stac.bucket import open_bucket

    return open_bucket(text)


def _absolute(folder: str) -> str:
    try:
        return os.path.abspath(Path(folder).expanduser())  # noqa: PTH100 (`resolve` would follow links)
    except (RuntimeError, ValueError) as error:  # no such user; a NUL in the name
        raise StoreError(f"store {folder!r}: {error}; give the folder in full") from error


@dataclass(frozen=True, kw_only=True)
class FolderStore:
    """A Store in a local folder, or one that many machines mount."""

    root: str
    """The absolute path of the folder; it need not exist."""

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        with self._reading(key) as file:
            return file.read()

    def get_range(self, key: str, *, start: int, length: int) -> bytes:
        """Return `length` bytes from byte `start`, fewer where the object ends."""
        check_range(self.root, key, start, length)
        with self._reading(key) as file:
            if length and start >= os.fstat(file.fileno()).st_size:
                raise past_the_end(self.root, key)
            file.seek(start)
            return file.read(length)

    def put(self, key: str, data: bytes) -> None:
        """Write or replace the object in one step."""
        self._write(key, lambda file: file.write(data))

    def put_file(self, key: str, path: Path) -> None:
        """Like `put`, streamed from a local file."""
        with source_file(self.root, key, path) as source:
            self._write(key, lambda file: shutil.copyfileobj(source, file, COPY_BYTES))

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write the object only where none is: a hard link fails where the name exists, on NFS too."""
        if self.exists(key):  # saves the write; the link decides
            return False
        return self._write(key, lambda file: file.write(data), replace=False)

    def exists(self, key: str) -> bool:
        """Whether an object lies under this key."""
        path = self._path(key)
        with _folder_errors(self.root, key):
            self._check_root()
            return path.is_file()

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under the folder `prefix`, sorted."""
        folder = prefix.rstrip("/")
        start = self._path(folder) if folder else Path(self.root)
        with _folder_errors(self.root, folder):
            self._check_root()
            return iter(sorted(_files_below(start, f"{folder}/" if folder else "")))

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where none is."""
        path = self._path(key)
        with _folder_errors(self.root, key):
            self._check_root()
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()

    def url(self, key: str) -> str:
        """Return the absolute path of the object."""
        return str(self._path(key))

    def _path(self, key: str) -> Path:
        return Path(self.root, checked_key(self.root, key))

    def _check_root(self) -> None:
        """Refuse a root that is a file: below it everything would seem to be merely absent."""
        if os.path.lexists(self.root) and not Path(self.root).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "the root is not a folder", self.root)

    @contextmanager
    def _reading(self, key: str) -> Iterator[BinaryIO]:
        path = self._path(key)
        with _folder_errors(self.root, key):
            self._check_root()
            try:
                file = path.open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise missing(self.root, key) from error
            with file:
                yield file

    def _write(self, key: str, fill: Callable[[BinaryIO], object], *, replace: bool = True) -> bool:
        """Write a file beside the final one, flush it to disk, give it its name; whether that was done."""
        path = self._path(key)
        temp = path.parent / f"{TEMP_PREFIX}{secrets.token_hex(8)}"
        with _folder_errors(self.root, key):
            self._check_root()
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temp.open("xb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                if not replace:
                    return _link(self.root, key, temp, path)
                temp.replace(path)
            finally:
                with suppress(FileNotFoundError):
                    temp.unlink()
                _flush_folder(path.parent)
        return True


def checked_key(root: str, key: str) -> str:
    """Return the key where it is a plain relative path that means the same on a disk and in a bucket."""
    parts = key.split("/")
    plain = all(part not in ("", ".", "..") and not part.startswith(TEMP_PREFIX) for part in parts)
    if not plain or "\\" in key or not key.isprintable():
        raise StoreError(
            f"store {root}: key {key!r} is not allowed; expected names joined by '/', "
            "without '..', empty names, backslashes or control characters"
        )
    return key


def check_range(root: str, key: str, start: int, length: int) -> None:
    """Refuse a range that no object has."""
    if start < 0 or length < 0:
        raise StoreError(f"store {root}: {key}: range {start=} {length=}; expected 0 or more")


def missing(root: str, key: str) -> MissingKeyError:
    """Say that no object lies under the key."""
    return MissingKeyError(f"store {root}: nothing lies under {key}; see what is there, or check --store")


def past_the_end(root: str, key: str) -> StoreError:
    """Say that the object is shorter than the reader believed."""
    return StoreError(f"store {root}: {key} ends before the bytes asked for; it may have been replaced, run again")


@contextmanager
def source_file(root: str, key: str, path: Path) -> Iterator[BinaryIO]:
    """Open the local file that is to be stored; its errors are not the store's."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise StoreError(f"store {root}: cannot read {path} (for {key}): {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _folder_errors(root: str, key: str) -> Iterator[None]:
    """Turn what the file system says into one line with a next step."""
    try:
        yield
    except OSError as error:
        place = f"store {root}" + (f": {key}" if key else "")
        step = _STEPS.get(error.errno or 0, "check the folder, then run the same command again")
        raise StoreError(f"{place}: {error.strerror or error}; {step}") from error


_OTHER_FOLDER = "choose a folder you may write to with --store or TALIK_STORE"
_STEPS = {
    errno.ENOSPC: "the disk is full: free space and run the same command again, it resumes",
    errno.EDQUOT: "your quota is used up: free space and run the same command again, it resumes",
    errno.EACCES: _OTHER_FOLDER,
    errno.EPERM: _OTHER_FOLDER,
    errno.EROFS: _OTHER_FOLDER,
    errno.ENOTDIR: "a file lies where a folder is needed: choose another folder with --store or TALIK_STORE",
    errno.EEXIST: "a file lies where a folder is needed: choose another folder with --store or TALIK_STORE",
    errno.EISDIR: "a folder lies where the file belongs: move it away",
}
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP}


def _link(root: str, key: str, temp: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temp)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno in _NO_LINKS:  # exFAT and some network mounts
            raise StoreError(
                f"store {root}: {key}: this file system has no hard links ({error.strerror}), "
                "which keep two runs apart; choose a folder on another disk with --store or TALIK_STORE"
            ) from error
        raise
    return True


def _flush_folder(folder: Path) -> None:
    """Make a new name outlast a power cut; Windows has no such call."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _files_below(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the keys of finished files; a folder that is absent or goes away meanwhile has none."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file() and not entry.name.startswith(TEMP_PREFIX):
                yield f"{prefix}{entry.name}"
