"""Who asks: an API key or a JSON Web Token becomes a Principal; no credential stays anonymous, a wrong one is refused.

AccessError              401: a credential is wrong, or one is needed
ForbiddenError           403: the principal is known and may not do this
KeysUnavailableError     503: the issuer's public keys cannot be fetched now
AccessRulesError         the settings of access cannot be used

No message and no log line holds a credential, a hash, or what a token claims.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from talik_api.issuer_keys import AccessRulesError, KeySet, KeysUnavailableError
from talik_stac.errors import TalikError

__all__ = [
    "AccessError",
    "AccessRules",
    "AccessRulesError",
    "ForbiddenError",
    "JwtRules",
    "KeysUnavailableError",
    "Principal",
    "authenticate",
    "hash_key",
    "load_keys",
    "new_key",
    "require",
]

KEY_PREFIX = "talik_"
"""How each key begins, so that people and secret scanners know one when they see it."""
_KEY_BYTES = 32
_KEY = re.compile(r"talik_[A-Za-z0-9_-]{43}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_LONGEST_TOKEN = 8192
_LONGEST_SUBJECT = 255

ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Algorithms whose public key signs nothing; `none` and the HS family, where it would, are refused."""


class AccessError(TalikError):
    """A credential is wrong or missing."""

    status = 401

    def __init__(self, message: str, *, wrong: bool = True) -> None:
        super().__init__(message)
        # RFC 6750, section 3: no error code where the request carried no credential
        self.headers = {"WWW-Authenticate": 'Bearer realm="talik"' + (', error="invalid_token"' if wrong else "")}


class ForbiddenError(TalikError):
    """The principal is known and lacks a scope."""

    status = 403

    def __init__(self, message: str, *, scope: str) -> None:
        super().__init__(message)
        self.headers = {"WWW-Authenticate": f'Bearer realm="talik", error="insufficient_scope", scope="{scope}"'}


@dataclass(frozen=True, kw_only=True)
class Principal:
    """Who asks."""

    name: str
    """The name of the key, or the subject of the token."""
    kind: Literal["key", "jwt"]
    scopes: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        """The name with its kind, so that no token's subject can pass for the name of a key."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, kw_only=True)
class JwtRules:
    """Which tokens are believed; one of `jwks_url`, `jwks` and `public_key` says by whose signature."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    jwks: Mapping[str, Any] | None = None
    public_key: str | None = field(default=None, repr=False)
    """PEM of an RSA, EC or Ed25519 public key."""
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    leeway_s: float = 30.0
    """How far the clocks of issuer and service may differ."""
    allowed_hosts: tuple[str, ...] = ()
    """Where `jwks_url` may lie and lead to (see outgoing.py); its own host where empty."""
    _keys: KeySet = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what would believe anybody."""
        if not self.issuer or not self.audience:
            raise AccessRulesError("a token's issuer and audience are both needed; set them, or no token is believed")
        wrong = sorted(set(self.algorithms) - ASYMMETRIC)
        if wrong or not self.algorithms:
            raise AccessRulesError(
                f"token algorithms {wrong or '()'}; expected some of {', '.join(sorted(ASYMMETRIC))}"
            )
        if not 0 <= self.leeway_s <= 300:
            raise AccessRulesError(f"token leeway {self.leeway_s} s; expected 0 to 300")
        given = [one is not None for one in (self.jwks_url, self.jwks, self.public_key)]
        if sum(given) != 1:
            raise AccessRulesError(f"{sum(given)} sources of token keys; give one: a JWKS address, a JWKS, or a PEM")
        keys = KeySet(url=self.jwks_url, jwks=self.jwks, pem=self.public_key, allowed_hosts=self.allowed_hosts)
        object.__setattr__(self, "_keys", keys)

    @property
    def keys(self) -> KeySet:
        """The issuer's public keys, fetched when first needed."""
        return self._keys


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """Which credentials are known."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Name -> `sha256:<hex>` of the key's text."""
    key_scopes: frozenset[str] = frozenset({"jobs"})
    """What every key may do."""
    jwt: JwtRules | None = None

    def __post_init__(self) -> None:
        """Refuse names and hashes that no key can have."""
        for name, hashed in self.keys.items():
            check_name(name)
            if _HASH.fullmatch(hashed) is None:
                raise AccessRulesError(
                    f"the entry of key '{name}' is not sha256:<64 hexadecimal digits>; "
                    "make one with `talik key new`; never put the key itself there"
                )


def new_key() -> str:
    """Make a key of 256 random bits: `talik_` and 43 url-safe characters."""
    return KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def hash_key(key: str) -> str:
    """Return what the settings hold of a key.

    One SHA-256 is enough: slow hashes (scrypt, Argon2) make people's guessable passwords dear to guess, while
    256 random bits cannot be guessed at any price; a slow hash would only make each request slow.
    """
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def check_name(name: str) -> str:
    """Return the name of a key where it can be one."""
    if _NAME.fullmatch(name) is None:
        raise AccessRulesError(f"key name {name!r}; expected 1 to 64 of letters, digits and ._@- such as 'field-lab'")
    return name


def load_keys(text: str) -> dict[str, str]:
    """Read the JSON of TALIK_API_KEYS, name -> hash; its errors quote no value."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        raise AccessRulesError("TALIK_API_KEYS is no JSON; expected what `talik key new` prints") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise AccessRulesError('TALIK_API_KEYS is no map of names to hashes; expected {"name": "sha256:..."}')
    return dict(AccessRules(keys=found).keys)


def authenticate(headers: Mapping[str, str], rules: AccessRules) -> Principal | None:
    """Say who asks, None where the request carries no credential. Raises AccessError where it carries a wrong one."""
    credential = _credential(headers.items())
    if credential is None:
        return None
    if credential.startswith(KEY_PREFIX):
        return _by_key(credential, rules)
    if credential.count(".") == 2 and rules.jwt is not None:
        return _by_token(credential, rules.jwt)
    raise AccessError("this credential is not one of this service; give an API key (talik_...) or a token it accepts")


def require(principal: Principal | None, scope: str) -> Principal:
    """Return the principal where it has the scope. Raises AccessError (nobody) or ForbiddenError (not this one)."""
    if principal is None:
        raise AccessError(
            f"this needs a credential with scope '{scope}'; send X-API-Key: <key>, or Authorization: Bearer <it>",
            wrong=False,
        )
    if scope not in principal.scopes:
        raise ForbiddenError(f"'{principal.name}' lacks the scope '{scope}'; ask the operator for it", scope=scope)
    return principal


def _credential(pairs: Iterable[tuple[str, str]]) -> str | None:
    """The one credential of a request; two are refused, even if equal: proxies may differ in which counts."""
    given = [(name.lower(), value.strip()) for name, value in pairs if name.lower() in ("x-api-key", "authorization")]
    if not given:
        return None
    if len(given) > 1:
        raise AccessError("the request carries two credentials; send one, X-API-Key or Authorization")
    name, value = given[0]
    if name == "authorization":
        scheme, _, value = value.partition(" ")
        if scheme.lower() != "bearer":
            raise AccessError("the Authorization header is not of the Bearer kind; send Bearer <key or token>")
        value = value.strip()
    if not value or len(value) > _LONGEST_TOKEN or not value.isascii():
        raise AccessError(f"the credential is empty, not ASCII or longer than {_LONGEST_TOKEN} characters")
    return value


def _by_key(key: str, rules: AccessRules) -> Principal:
    """Compare with every entry, always all of them, so that the time tells nothing."""
    hashed = hash_key(key)
    found: str | None = None
    for name, known in rules.keys.items():
        if hmac.compare_digest(hashed, known):
            found = name
    if found is None or _KEY.fullmatch(key) is None:
        raise AccessError("this API key is not known; check it, or ask the operator for a new one (`talik key new`)")
    return Principal(name=found, kind="key", scopes=rules.key_scopes)


def _by_token(token: str, rules: JwtRules) -> Principal:
    import jwt

    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in rules.algorithms:
            raise AccessError(f"the token is not signed with one of {', '.join(rules.algorithms)}")
        claims = jwt.decode(
            token,
            key=rules.keys.find(header.get("kid"), str(header["alg"])),
            algorithms=list(rules.algorithms),
            issuer=rules.issuer,
            audience=rules.audience,
            leeway=rules.leeway_s,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
    except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
        # PyJWT lets some faults of nested or odd JSON through as Python's own errors
        raise AccessError(f"the token is refused: {_fault(error)}; get a new one from its issuer") from None
    return Principal(name=_subject(claims), kind="jwt", scopes=_scopes(claims))


def _fault(error: Exception) -> str:
    """What is wrong, by the kind of error: PyJWT's own text may quote the token."""
    return _FAULTS.get(type(error).__name__, "it is malformed")


_FAULTS = {
    "ExpiredSignatureError": "it has expired",
    "ImmatureSignatureError": "it is not valid yet",
    "InvalidIssuedAtError": "it was issued in the future",
    "InvalidAudienceError": "it is for another audience",
    "InvalidIssuerError": "it is from another issuer",
    "InvalidSignatureError": "its signature does not match",
    "InvalidSubjectError": "its subject is no text",
    "InvalidAlgorithmError": "its algorithm does not fit the key",
    "InvalidKeyError": "its algorithm does not fit the key",
    "MissingRequiredClaimError": "it lacks exp, iss, aud or sub",
    "PyJWKSetError": "no public key of the issuer fits it",
}


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        raise AccessError(f"the token's subject is no plain text of 1 to {_LONGEST_SUBJECT} characters")
    return subject


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """The scopes of a token: `scope` of RFC 8693 (words in one text), or `scp` (list or text) of Entra and Okta."""
    found: set[str] = set()
    for claim in (claims.get("scope"), claims.get("scp")):
        words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
        found.update(word for word in words if isinstance(word, str))
    return frozenset(found)
