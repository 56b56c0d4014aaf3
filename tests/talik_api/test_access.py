"""Keys and tokens: whoever is known comes in, and each way of being wrong is refused without telling anything."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from talik_api import access
from talik_api.access import (
    AccessError,
    AccessRules,
    AccessRulesError,
    ForbiddenError,
    JwtRules,
    KeysUnavailableError,
    Principal,
    authenticate,
    hash_key,
    load_keys,
    new_key,
    require,
)
from talik_api.issuer_keys import KeySet

ISSUER, AUDIENCE = "https://login.example.org/", "talik"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
KEY = new_key()
KEYS = AccessRules(keys={"field-lab": hash_key(KEY), "other": hash_key(new_key())})


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def jwk(key: Any, key_id: str | None = None, **more: str) -> dict[str, Any]:
    kinds: list[tuple[Any, Any]] = [
        (rsa.RSAPrivateKey, jwt.algorithms.RSAAlgorithm),
        (ec.EllipticCurvePrivateKey, jwt.algorithms.ECAlgorithm),
        (ed25519.Ed25519PrivateKey, jwt.algorithms.OKPAlgorithm),
    ]
    made = next(algorithm for kind, algorithm in kinds if isinstance(key, kind))
    known: dict[str, Any] = made.to_jwk(key.public_key(), as_dict=True)
    known.pop("key_ops", None)
    return {**known, **({"kid": key_id} if key_id else {}), **more}


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "exp": now + 600, "iat": now, "scope": "jobs read"}
    return {name: value for name, value in {**usual, **more}.items() if value is not None}


def token(key: Any = RSA, algorithm: str = "RS256", key_id: str | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm=algorithm, headers={"kid": key_id} if key_id else None)


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def rules(**more: Any) -> AccessRules:
    given_: dict[str, Any] = {"public_key": pem(RSA)} if not {"jwks", "jwks_url", "public_key"} & set(more) else {}
    return AccessRules(keys=KEYS.keys, jwt=JwtRules(issuer=ISSUER, audience=AUDIENCE, **given_, **more))


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


# ---- keys


def test_a_key_has_256_bits_behind_a_prefix_that_scanners_know() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"talik_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert hash_key(KEY) == "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"x-api-key": f" {KEY} "},
        bearer(KEY),
        {"authorization": f"bearer  {KEY}"},
        Headers(bearer(KEY)),
    ],
)
def test_a_known_key_says_who_asks(headers: Any) -> None:
    principal = authenticate(headers, KEYS)
    assert principal == Principal(name="field-lab", kind="key", scopes=frozenset({"jobs"}))
    assert principal.id == "key:field-lab"


def test_no_credential_is_anonymous() -> None:
    assert authenticate({}, KEYS) is None
    assert authenticate({"Accept": "text/html", "Cookie": f"key={KEY}"}, rules()) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": new_key()},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY.upper()},
        {"X-API-Key": hash_key(KEY)},
        {"X-API-Key": ""},
        {"X-API-Key": "talik_"},
        {"X-API-Key": KEY + "é"},
        {"X-API-Key": "x" * 10_000},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {KEY} {KEY}"},
        {"X-API-Key": KEY, "Authorization": f"Bearer {KEY}"},
        Headers(raw=[(b"x-api-key", KEY.encode()), (b"x-api-key", KEY.encode())]),
        bearer("a.b.c"),
    ],
)
def test_a_wrong_credential_is_refused_and_not_repeated(headers: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessError) as caught:
        authenticate(headers, KEYS)
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"] == 'Bearer realm="talik", error="invalid_token"'
    assert KEY[6:] not in str(caught.value) + caplog.text
    assert hash_key(KEY)[7:] not in str(caught.value) + caplog.text


def test_each_entry_is_compared_in_constant_time_wherever_the_key_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Spy:
        @staticmethod
        def compare_digest(a: str, b: str) -> bool:
            compared.append(b)
            return hmac.compare_digest(a, b)

    monkeypatch.setattr(access, "hmac", Spy)
    authenticate({"X-API-Key": KEY}, KEYS)
    assert compared == list(KEYS.keys.values())


def test_settings_show_no_hash_and_errors_quote_none() -> None:
    assert "sha256" not in repr(KEYS)
    with pytest.raises(AccessRulesError) as caught:
        AccessRules(keys={"lab": KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["{", "[]", '"x"', '{"a": 1}', '{"a": {"hash": "x"}}', '{"a": "sha256:xyz"}', '{"": "x"}']
)
def test_keys_that_are_no_map_of_hashes_are_refused(text: str) -> None:
    with pytest.raises(AccessRulesError):
        load_keys(text)


def test_keys_are_read_from_json() -> None:
    assert load_keys(json.dumps(dict(KEYS.keys))) == dict(KEYS.keys)
    assert load_keys("") == {}


@given(st.text(), st.sampled_from(["X-API-Key", "Authorization"]))
def test_no_text_comes_in_but_a_key(text: str, header: str) -> None:
    with pytest.raises(AccessError):
        authenticate({header: text}, rules())


def test_a_scope_is_required_of_somebody() -> None:
    anna = Principal(name="anna", kind="jwt", scopes=frozenset({"read"}))
    assert require(anna, "read") is anna
    with pytest.raises(ForbiddenError) as forbidden:
        require(anna, "jobs")
    assert forbidden.value.status == 403
    assert 'scope="jobs"' in forbidden.value.headers["WWW-Authenticate"]
    with pytest.raises(AccessError) as unknown:
        require(None, "jobs")
    assert unknown.value.headers["WWW-Authenticate"] == 'Bearer realm="talik"'


# ---- tokens


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")], ids=["RS256", "ES256", "EdDSA"]
)
def test_a_token_is_believed_by_its_signature(key: Any, algorithm: str) -> None:
    made = token(key, algorithm, key_id="k1")
    both = {"keys": [jwk(OTHER_RSA, "k0"), jwk(key, "k1")]}
    expected = Principal(name="anna", kind="jwt", scopes=frozenset({"jobs", "read"}))
    assert authenticate(bearer(made), rules(public_key=pem(key))) == expected
    assert authenticate(bearer(made), rules(jwks=both)) == expected
    assert authenticate({"X-API-Key": made}, rules(jwks=both)) == expected


def test_a_token_without_key_id_is_believed_where_one_key_can_be_meant() -> None:
    assert authenticate(bearer(token()), rules(jwks={"keys": [jwk(RSA, "a"), jwk(EC, "b")]})) is not None
    with pytest.raises(AccessError):
        authenticate(bearer(token()), rules(jwks={"keys": [jwk(RSA, "a"), jwk(OTHER_RSA, "b")]}))


def test_scopes_are_read_from_either_claim() -> None:
    found = authenticate(bearer(token(scope=None, scp=["jobs", 7, "x"])), rules())
    assert found is not None
    assert found.scopes == {"jobs", "x"}


def _secret_from_public_key() -> str:
    """The old trick: an HS256 token whose secret is the public key."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims())}"
    signature = hmac.digest(pem(RSA).encode(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _changed() -> str:
    head, _, signature = token().split(".")
    return f"{head}.{part(claims(sub='root'))}.{signature}"


NOW = int(time.time())
WRONG_TOKENS = {
    "expired": token(exp=NOW - 100),
    "without expiry": token(exp=None),
    "without issuer": token(iss=None),
    "without audience": token(aud=None),
    "without subject": token(sub=None),
    "subject empty": token(sub=""),
    "subject of control characters": token(sub="a\nb"),
    "subject long": token(sub="a" * 300),
    "other issuer": token(iss="https://evil.test/"),
    "issuer without slash": token(iss=ISSUER[:-1]),
    "other audience": token(aud="other"),
    "not yet valid": token(nbf=NOW + 1000),
    "issued in the future": token(iat=NOW + 1000),
    "other key": token(OTHER_RSA),
    "other kind of key": token(EC, "ES256"),
    "other algorithm": token(RSA, "RS512"),
    "another padding": token(RSA, "PS256"),
    "none": f"{part({'alg': 'none'})}.{part(claims())}.",
    "None": f"{part({'alg': 'None'})}.{part(claims())}.",
    "no algorithm": f"{part({'typ': 'JWT'})}.{part(claims())}.x",
    "algorithm no text": f"{part({'alg': ['RS256']})}.{part(claims())}.x",
    "HS256 of the public key": _secret_from_public_key(),
    "HS256": jwt.encode(claims(), "s" * 40, algorithm="HS256"),
    "changed": _changed(),
    "unsigned": ".".join([*token().split(".")[:2], ""]),
    "own key in its header": jwt.encode(claims(), OTHER_RSA, algorithm="RS256", headers={"jwk": jwk(OTHER_RSA)}),
    "address of a key in its header": jwt.encode(
        claims(), OTHER_RSA, algorithm="RS256", headers={"jku": "https://evil.test/jwks", "kid": "../../x"}
    ),
    "critical extension": jwt.encode(claims(), RSA, algorithm="RS256", headers={"crit": ["x"], "x": 1}),
    "no JSON": "a.b.c",
    "nested": f"{base64.urlsafe_b64encode(b'[' * 4000).decode()}.{part(claims())}.x",
    "key id no text": f"{part({'alg': 'RS256', 'kid': {}})}.{part(claims())}.x",
    "expiry without end": token(exp=float("inf")),
    "expiry a list": token(exp=None, nbf=[1]),
    "claims a list": f"{part({'alg': 'RS256'})}.{part([1])}.x",
    "expiry no number": f"{part({'alg': 'RS256'})}.{part({**claims(), 'exp': 'never'})}.x",
}


@pytest.mark.parametrize("source", ["pem", "jwks"])
@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_a_wrong_token_is_refused_and_not_repeated(name: str, source: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = WRONG_TOKENS[name]
    chosen = rules() if source == "pem" else rules(jwks={"keys": [jwk(RSA)]})
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessError) as caught:
        authenticate(bearer(wrong), chosen)
    said = str(caught.value) + caplog.text
    assert not any(piece in said for piece in wrong.split(".") if len(piece) > 10)
    assert caught.value.__cause__ is None


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    late = token(exp=NOW - 10)
    assert authenticate(bearer(token(exp=int(time.time()) - 10)), rules(leeway_s=60)) is not None
    with pytest.raises(AccessError, match="expired"):
        authenticate(bearer(late), rules(leeway_s=0))


def test_tokens_are_refused_where_none_are_accepted() -> None:
    with pytest.raises(AccessError):
        authenticate(bearer(token()), KEYS)


WEAK_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)
SECRET_PEM = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithms": ("HS256",)},
        {"algorithms": ("RS256", "none")},
        {"algorithms": ()},
        {"issuer": ""},
        {"audience": ""},
        {"leeway_s": 1e6},
        {"leeway_s": -1},
        {"public_key": None},
        {"jwks": {"keys": []}},
        {"public_key": None, "jwks": {"keys": []}},
        {"public_key": None, "jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}},
        {"public_key": None, "jwks": {"keys": [jwk(RSA, use="enc")]}},
        {"public_key": None, "jwks": {"nothing": 1}},
        {"public_key": "secret"},
        {"public_key": SECRET_PEM},
        {"public_key": pem(WEAK_RSA)},
        {"public_key": None, "jwks": {"keys": [jwk(WEAK_RSA), {"kty": "EC"}, {"kty": "RSA", "n": 1}, 7]}},
        {"public_key": None, "jwks_url": "http://login.example.org/jwks"},
        {"public_key": None, "jwks_url": "file:///etc/passwd"},
    ],
)
def test_rules_that_would_believe_anybody_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(AccessRulesError) as caught:
        JwtRules(**{"issuer": ISSUER, "audience": AUDIENCE, "public_key": pem(RSA), **wrong})
    assert "MII" not in str(caught.value)


def test_a_key_of_another_curve_use_or_algorithm_does_not_fit() -> None:
    keys = KeySet(jwks={"keys": [jwk(EC384, "a"), jwk(RSA, "b", alg="RS512"), jwk(ED, "c")]})
    for key_id, algorithm in (("a", "ES256"), ("b", "RS256"), ("c", "RS256")):
        with pytest.raises(jwt.PyJWKSetError):
            keys.find(key_id, algorithm)
    assert keys.find("a", "ES384").algorithm_name == "ES384"


# ---- the issuer's address


class Issuer:
    """A real server that gives a JWKS and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk(RSA, "one")]
        self.status, self.asked = 200, 0
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps({"keys": issuer.keys}).encode()
                self.send_response(issuer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def keyset(self, clock: Callable[[], float]) -> KeySet:
        return KeySet(url=f"{self.root}/jwks", allowed_hosts=(self.root,), clock=clock)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    started = Issuer()
    yield started
    started.server.shutdown()
    started.server.server_close()


def test_keys_are_fetched_once_and_kept(issuer: Issuer) -> None:
    chosen = rules(jwks_url=f"{issuer.root}/jwks", allowed_hosts=(issuer.root,))
    assert issuer.asked == 0
    for _ in range(3):
        assert authenticate(bearer(token(key_id="one")), chosen) is not None
    assert issuer.asked == 1


def test_an_unknown_key_id_asks_anew_at_most_once_a_minute(issuer: Issuer) -> None:
    now = [0.0]
    keys = issuer.keyset(lambda: now[0])
    keys.find("one", "RS256")
    issuer.keys.append(jwk(OTHER_RSA, "two"))
    for _ in range(20):
        with pytest.raises(jwt.PyJWKSetError):
            keys.find("two", "RS256")
    assert issuer.asked == 1
    now[0] = 61
    assert keys.find("two", "RS256").key_id == "two"
    for number in range(20):
        with pytest.raises(jwt.PyJWKSetError):
            keys.find(f"made-up-{number}", "RS256")
    assert issuer.asked == 2


def test_a_withdrawn_key_ends_within_the_hour(issuer: Issuer) -> None:
    now = [0.0]
    keys = issuer.keyset(lambda: now[0])
    keys.find("one", "RS256")
    issuer.keys = [jwk(OTHER_RSA, "two")]
    now[0] = 3599
    keys.find("one", "RS256")
    now[0] = 3601
    with pytest.raises(jwt.PyJWKSetError):
        keys.find("one", "RS256")


def test_a_silent_issuer_is_not_the_tokens_fault_and_its_keys_last_a_day(issuer: Issuer) -> None:
    now = [0.0]
    keys = issuer.keyset(lambda: now[0])
    issuer.status = 500
    with pytest.raises(KeysUnavailableError) as caught:
        keys.find("one", "RS256")
    assert caught.value.status == 503
    issuer.status, now[0] = 200, 61
    keys.find("one", "RS256")
    issuer.status, now[0] = 500, 61 + 7200
    keys.find("one", "RS256")
    now[0] = 61 + 25 * 3600
    with pytest.raises(KeysUnavailableError):
        keys.find("one", "RS256")


def test_many_threads_fetch_once(issuer: Issuer) -> None:
    keys = issuer.keyset(time.monotonic)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(keys.find("one", "RS256"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert issuer.asked == 1


def test_the_jwks_goes_through_the_door_for_outgoing_requests(issuer: Issuer) -> None:
    keys = KeySet(url=f"{issuer.root}/jwks", allowed_hosts=("login.example.org",))
    with pytest.raises(KeysUnavailableError):
        keys.find("one", "RS256")
    assert issuer.asked == 0
