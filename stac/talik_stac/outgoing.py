"""The only door for requests to a host that a user or a setting names: where it leads is checked on every hop.

A name is compared with the list before it is resolved, and the connection itself goes to the very address
that was checked, so that neither an unlisted name nor DNS rebinding reaches a private network.

OutgoingError        this address is not allowed, or its answer is too large or too slow
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from talik_stac.errors import TalikError

if TYPE_CHECKING:
    import requests
    from urllib3 import Retry

Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> addresses as text; raises OSError."""

_URL = re.compile(r"(https?)://([^/?#\\@\s\x00-\x1f\x7f]+)(?:[/?#][^\\\s\x00-\x1f\x7f]*)?", re.IGNORECASE)
"""Stricter than any parser that comes after: no userinfo, no backslash, no blank or control character."""
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]%]+)(?::([0-9]{1,5}))?")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_URL = 4096
_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "64:ff9b:1::/48",  # NAT64 of a local network (RFC 8215)
        "::/96",  # IPv4-compatible, long gone
        "2001::/32",  # Teredo
        "5f00::/16",  # segment routing inside one network (RFC 9602)
        "100::/48",  # discard, and the dummy prefix (RFC 6666, 9780)
        "3fff::/20",  # documentation (RFC 9637), newer than Python 3.11
        "192.88.99.0/24",  # 6to4 relays
    )
)


class OutgoingError(TalikError):
    """An address is not allowed, or its answer is too large or too slow."""

    status = 403


@dataclass(frozen=True, kw_only=True)
class Host:
    """One entry of the list of allowed hosts."""

    name: str
    """Lower case, without trailing dot, international names as xn--; below it everything where `wildcard`."""
    port: int
    scheme: str = "https"
    wildcard: bool = False

    def matches(self, scheme: str, name: str, port: int) -> bool:
        """Whether a place is this one; *.example.org is below example.org, not that itself."""
        fits = name.endswith(f".{self.name}") if self.wildcard else name == self.name
        return fits and (scheme, port) == (self.scheme, self.port)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much an answer may take."""

    max_bytes: int = 64 * 1024 * 1024
    """Of one body, unpacked."""
    connect_s: float = 10.0
    read_s: float = 30.0
    """Between two pieces of an answer."""
    total_s: float = 120.0
    """For the head of an answer, and then for its body."""
    redirects: int = 5


@dataclass(frozen=True, kw_only=True)
class Door:
    """Which places may be reached."""

    hosts: tuple[Host, ...]
    resolve: Resolve = field(default=lambda host, port: resolved(host, port), repr=False)  # noqa: PLW0108 (late bound)

    def admit(self, scheme: str, host: str, port: int) -> tuple[str, ...]:
        """Return the checked addresses of a place. Raises OutgoingError."""
        name = host_name(host)
        if not any(entry.matches(scheme, name, port) for entry in self.hosts):
            raise OutgoingError(
                f"{scheme}://{name}:{port} is not among the allowed hosts; use one of those that this service names, "
                "or ask its operator"
            )
        local = scheme == "http"  # listed with http:// by the operator: a laboratory's own server
        if is_literal(name) and not local:
            raise OutgoingError(f"{name} is an IP address; give the name of a host")
        try:
            addresses = tuple(dict.fromkeys(self.resolve(name, port)))
        except (OSError, UnicodeError) as error:
            raise OutgoingError(f"{name} has no address; check the name") from error
        if not addresses or not (local or all(is_public(address) for address in addresses)):
            raise OutgoingError(f"{name} leads to an address that is not public; such hosts are not asked")
        return addresses


def door(allowed_hosts: Sequence[str], *, resolve: Resolve | None = None) -> Door:
    """Read the setting: `example.org`, `example.org:8443`, `*.example.org`, `http://127.0.0.1:9000` (local, exact)."""
    hosts = tuple(_entry(text) for text in allowed_hosts)
    return Door(hosts=hosts) if resolve is None else Door(hosts=hosts, resolve=resolve)


def check_url(url: str, allowed_hosts: Sequence[str], *, resolve: Resolve | None = None) -> None:
    """Refuse an address that the service must not ask. Raises OutgoingError; resolves the name where it is listed."""
    door(allowed_hosts, resolve=resolve).admit(*split_url(url))


def session(
    allowed_hosts: Sequence[str],
    *,
    limits: Limits | None = None,
    retries: Retry | int = 0,
    resolve: Resolve | None = None,
) -> requests.Session:
    """Return a session that reaches allowed hosts only, on each redirect too, and reads bounded answers.

    `retries` are urllib3's, of requests that the network or a busy server failed; refusals are never tried again.
    Proxies, ~/.netrc and cookies of the environment are left aside: each could lead elsewhere or carry secrets.
    """
    from talik_stac.outgoing_session import CheckedSession

    return CheckedSession(door(allowed_hosts, resolve=resolve), limits or Limits(), retries)


def split_url(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a plain http(s) address. Raises OutgoingError."""
    found = _URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
    authority = _AUTHORITY.fullmatch(found[2]) if found else None
    if found is None or authority is None or urlsplit(url).username is not None:
        raise OutgoingError(
            f"{_shown(url)} is no plain address; expected https://host/path without user, blanks or backslashes"
        )
    scheme = found[1].lower()
    port = int(authority[2]) if authority[2] else _PORTS[scheme]
    return scheme, authority[1], port


def host_name(host: str) -> str:
    """Return the one spelling of a host: lower case, no trailing dot, other scripts as xn--. Raises OutgoingError."""
    import idna

    text = host.strip("[]") if host.startswith("[") else host
    if ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            raise OutgoingError(f"{_shown(host)} is no host; expected a name such as example.org") from None
    try:
        plain = text if text.isascii() else idna.encode(text, uts46=True, std3_rules=True).decode()
    except UnicodeError:
        raise OutgoingError(f"{_shown(host)} is no host; expected a name such as example.org") from None
    name = plain.lower().removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise OutgoingError(f"{_shown(host)} is no host; expected a name such as example.org")
    return name


def is_literal(name: str) -> bool:
    """Whether a host is an IP address in any spelling: a last label of digits or 0x makes one (WHATWG URL, 3.5)."""
    return ":" in name or _NUMBER.fullmatch(name.rpartition(".")[2]) is not None


def is_public(address: str) -> bool:
    """Whether an address lies in the open internet, as do the IPv4 addresses that it may embed."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.is_site_local:
            return False
    if any(found in network for network in _NEVER if network.version == found.version):
        return False
    # Python calls some multicast and reserved addresses global
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def href_allowed(
    href: str,
    *,
    store_root: str,
    indexed_roots: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    resolve: Resolve | None = None,
) -> bool:
    """Whether an asset of imagery may be opened; see `check_href`."""
    try:
        check_href(
            href, store_root=store_root, indexed_roots=indexed_roots, allowed_hosts=allowed_hosts, resolve=resolve
        )
    except OutgoingError:
        return False
    return True


def check_href(
    href: str,
    *,
    store_root: str,
    indexed_roots: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    resolve: Resolve | None = None,
) -> None:
    """Refuse an asset of imagery outside the roots and the allowed hosts. Raises OutgoingError.

    Roots are folders or s3://bucket/prefix. Links and `..` are followed before a path is compared. What GDAL
    reads as more than a file (/vsicurl/, vrt://, GTIFF_DIR:1:, NETCDF:, .vrt) is refused.
    """
    roots = [store_root, *indexed_roots]
    if not href.isprintable() or len(href) > _LONGEST_URL:
        raise OutgoingError("an asset's address is too long or holds control characters; index the file again")
    if re.match(r"https?:", href, re.IGNORECASE):
        check_url(href, allowed_hosts, resolve=resolve)
    elif re.match(r"s3://", href):
        _check_object(href, roots)
    else:
        _check_path(href, roots)
    if re.search(r"\.(vrt|wms|xml|mrf|txt|json)$", re.split(r"[?#]", href)[0], re.IGNORECASE):
        raise OutgoingError(f"{_shown(href)} may point to other files; expected an image such as a COG")


def _check_object(href: str, roots: Sequence[str]) -> None:
    """Refuse a key outside the prefixes; '..' and '?' mean different things to different readers of s3://."""
    parts = href.removeprefix("s3://").split("/")
    plain = len(parts) > 1 and all(part not in ("", ".", "..") for part in parts)
    below = any(root.startswith("s3://") and href.startswith(f"{root.rstrip('/')}/") for root in roots)
    if not plain or not below or any(sign in href for sign in "\\?#%"):
        raise OutgoingError(f"{_shown(href)} lies in no bucket of this service; index it into the store first")


def _check_path(href: str, roots: Sequence[str]) -> None:
    if not href.startswith("/") or href.startswith(("//", "/vsi")) or ":" in href or "\\" in href:
        raise OutgoingError(f"{_shown(href)} is no plain file; expected an absolute path, s3:// or https://")
    try:
        path = Path(href).resolve()
        folders = [Path(root).resolve() for root in roots if root and "://" not in root]
    except (OSError, RuntimeError) as error:  # links in a circle
        raise OutgoingError(f"{_shown(href)} cannot be followed; index the file again") from error
    if not any(folder in path.parents for folder in folders):
        raise OutgoingError(f"{_shown(href)} lies outside the folders of this service; index it into the store first")


def _entry(text: str) -> Host:
    """Read one entry of the list; it names a whole host, so that no entry opens a country's names."""
    found = re.fullmatch(
        r"(?:(https?)://)?(\*\.)?(\[[0-9A-Fa-f:.]+\]|[^/:?#@*\s\[\]]+)(?::([0-9]{1,5}))?/?", text.strip()
    )
    if found is None:
        raise _bad_entry(text)
    scheme, wildcard = found[1] or "https", found[2] is not None
    name = host_name(found[3])
    local = scheme == "http"
    if (wildcard and (local or "." not in name)) or (is_literal(name) and not local):
        raise _bad_entry(text)
    port = int(found[4]) if found[4] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise _bad_entry(text)
    return Host(name=name, port=port, scheme=scheme, wildcard=wildcard)


def _bad_entry(text: str) -> OutgoingError:
    return OutgoingError(
        f"allowed host {text!r}; expected example.org, example.org:8443, *.example.org, or http://127.0.0.1:9000 "
        "(exact, for a laboratory's own server)"
    )


def resolved(host: str, port: int) -> list[str]:
    """Ask the system where a host lies. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _shown(text: str) -> str:
    """An address for a message, short, and without what may be a password or a signature."""
    return repr(re.sub(r"//[^/]*@", "//***@", re.split(r"[?#]", text)[0])[:200])
