"""The public keys of a token's issuer: from a PEM, from a JWKS at hand, or fetched from its address and kept."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from logging import getLogger
from typing import Any
from urllib.parse import urlsplit

from talik_stac.errors import TalikError

REFRESH_S = 60.0
"""An unknown key id asks the issuer anew at most this often, else made-up ids would make us flood it."""
KEEP_S = 3600.0
"""Keys older than this are fetched anew, so that a withdrawn one ends here too."""
STALE_S = 24 * 3600.0
"""Keys older than this are believed no longer, where the issuer does not answer."""
_SHORTEST_RSA = 2048
_LARGEST_JWKS = 1024 * 1024
_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}
_FAMILIES = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

logger = getLogger(__name__)


class AccessRulesError(TalikError):
    """The settings of access cannot be used."""


class KeysUnavailableError(TalikError):
    """The issuer's public keys cannot be fetched now; the fault is not the token's."""

    status = 503

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": "60"}


@dataclass(kw_only=True)
class KeySet:
    """The issuer's public keys by key id; safe for threads."""

    url: str | None = None
    jwks: Mapping[str, Any] | None = None
    pem: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    clock: Callable[[], float] = time.monotonic
    _known: list[dict[str, Any]] = field(default_factory=list, repr=False)
    _fetched: float | None = None
    _tried: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        """Read what is at hand, and check where the rest lies. Raises AccessRulesError."""
        if self.pem is not None:
            _check_pem(self.pem)
        if self.jwks is not None:
            self._known = usable_keys(self.jwks)
            if not self._known:
                raise AccessRulesError("the JWKS holds no public RSA, EC or OKP key for signatures; check it")
        if self.url is not None and not self.allowed_hosts:
            self.allowed_hosts = (_own_host(self.url),)

    def find(self, key_id: object, algorithm: str) -> Any:
        """Return the key that PyJWT verifies with. Raises PyJWKSetError (none fits) and KeysUnavailableError."""
        import jwt

        if self.pem is not None:
            return self.pem
        fitting = self.fitting(key_id, algorithm)
        if self.url is not None and self._wants_fetch(missing=not fitting):
            self._refresh()
            fitting = self.fitting(key_id, algorithm)
        # A token without key id is believed only where one key can be meant.
        if len(fitting) != 1:
            raise jwt.PyJWKSetError("no key of the issuer fits")
        return jwt.PyJWK(fitting[0], algorithm=algorithm)

    def fitting(self, key_id: object, algorithm: str) -> list[dict[str, Any]]:
        family = _FAMILIES[algorithm[:2]]
        return [
            key
            for key in self._known
            if key["kty"] == family
            and key.get("crv") == _CURVES.get(algorithm)
            and key.get("alg", algorithm) == algorithm
            and (key_id is None or key.get("kid") == key_id)
        ]

    def _wants_fetch(self, *, missing: bool) -> bool:
        if self._fetched is None:
            return True
        age = self.clock() - self._fetched
        return age > KEEP_S or missing

    def _refresh(self) -> None:
        """Fetch the keys, at most once in REFRESH_S; what was fetched before stands in for a silent issuer."""
        with self._lock:
            now = self.clock()
            if self._tried is None or now - self._tried >= REFRESH_S:
                self._tried = now
                self._fetch(now)
            if self._fetched is None or now - self._fetched > STALE_S:
                self._known = []
                raise KeysUnavailableError("the token cannot be checked: its issuer does not answer; try again later")

    def _fetch(self, now: float) -> None:
        import requests

        from talik_stac.outgoing import Limits, OutgoingError, session

        try:
            with session(self.allowed_hosts, limits=Limits(max_bytes=_LARGEST_JWKS, total_s=10)) as client:
                answer = client.get(str(self.url))
                answer.raise_for_status()
                found = usable_keys(json.loads(answer.content))
        except (requests.RequestException, OutgoingError, OSError, ValueError, AccessRulesError) as error:
            logger.warning("JWKS at %s: %s", urlsplit(str(self.url)).hostname, type(error).__name__)
            return
        if found:
            self._known, self._fetched = found, now


def usable_keys(jwks: object) -> list[dict[str, Any]]:
    """Return the signature keys of a JWKS that PyJWT reads, never shared or private ones. Raises AccessRulesError."""
    import jwt

    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list):
        raise AccessRulesError('the JWKS has no list of keys; expected {"keys": [...]}')
    found = []
    for key in listed:
        if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if key.get("use", "sig") != "sig" or "d" in key:
            continue
        try:
            made = jwt.PyJWK(key).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue  # a kind of key that PyJWT lacks, or a broken one; the others still serve
        if not _is_weak(made):
            found.append(key)
    return found


def _check_pem(pem: str) -> None:
    """Refuse what is no public key: a private one does not belong in a service that only verifies."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise AccessRulesError(
            "the key for tokens is no public key in PEM; expected -----BEGIN PUBLIC KEY----- (the private one "
            "stays with the issuer)"
        ) from None
    if _is_weak(key):
        raise AccessRulesError(f"the RSA key for tokens is shorter than {_SHORTEST_RSA} bits; ask for a longer one")


def _is_weak(key: Any) -> bool:
    """Whether an RSA key is shorter than RFC 7518 (3.3) asks."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    return isinstance(key, RSAPublicKey) and key.key_size < _SHORTEST_RSA


def _own_host(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise AccessRulesError("the JWKS address is not https://...; name its host in allowed_hosts if it is a test's")
    return parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
