"""The door for outgoing requests: tables of evil addresses, and real servers for redirects, sizes and drips."""

from __future__ import annotations

import gzip
import http.server
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from talik_stac.outgoing import (
    Door,
    Host,
    Limits,
    OutgoingError,
    check_href,
    check_url,
    door,
    host_name,
    href_allowed,
    is_literal,
    is_public,
    session,
    split_url,
)

HOSTS = ("earth-search.aws.element84.com", "*.example.org", "example.org:8443", "bücher.example")


def public(host: str, port: int) -> Sequence[str]:
    """A resolver by which each name lies in the open internet."""
    return ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]


def only(*addresses: str) -> Callable[[str, int], Sequence[str]]:
    return lambda host, port: addresses


GOOD = [
    "https://earth-search.aws.element84.com/v1",
    "https://earth-search.aws.element84.com",
    "https://EARTH-Search.AWS.Element84.com/v1?x=https://evil.test/#@evil.test",
    "https://earth-search.aws.element84.com./v1",
    "https://earth-search.aws.element84.com:443/v1",
    "HTTPS://a.example.org/x",
    "https://a.b.example.org/x",
    "https://example.org:8443/",
    "https://bücher.example/",
    "https://BÜCHER.example/",
    "https://xn--bcher-kva.example/",
]


@pytest.mark.parametrize("url", GOOD)
def test_a_listed_host_is_asked_however_its_name_is_spelled(url: str) -> None:
    check_url(url, HOSTS, resolve=public)


EVIL = [
    "http://earth-search.aws.element84.com/v1",  # no http unless listed so
    "https://evil.test/",
    "https://example.org/",  # listed with another port; *. is what lies below
    "https://example.org:443/",
    "https://a.example.org:8443/",
    "https://a.example.org:22/",
    "https://a.example.org:0/",
    "https://a.example.org:65536/",
    "https://a.example.org:99999999999999999/",
    "https://evilexample.org/",
    "https://a.example.org.evil.test/",
    "https://earth-search.aws.element84.com.evil.test/",
    "https://earth-search.aws.element84.com@evil.test/",
    "https://user@a.example.org/",
    "https://user:password@a.example.org/",
    "https://@a.example.org/",
    "https://evil.test\\@a.example.org/",
    "https://evil.test\\.example.org/",
    "https://a.example.org\\evil.test",
    "https://evil.test#@a.example.org/",
    "https://evil.test?@a.example.org/",
    "https:///a.example.org/",
    "https:a.example.org",
    "https:/a.example.org",
    "//a.example.org/",
    "a.example.org",
    "",
    " https://a.example.org/",
    "https://a.example.org/ ",
    "https://a.example.org /",
    "https://a.example.org\t/",
    "https://a.example.org/\r\nHost: evil.test",
    "https://a.example.org\x00.evil.test/",
    "https://a%2eexample.org/",
    "https://%61.example.org/",
    "https://.example.org/",
    "https://a..example.org/",
    "https://a.example.org../",
    "https://-.example.org/",
    "https://a.example.org:443:80/",
    "https://a.example.org:４43/",
    "https://*.example.org/",
    "ftp://a.example.org/",
    "file:///etc/passwd",
    "gopher://a.example.org/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "s3://a.example.org/x",
    "/vsicurl/https://a.example.org/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.0.1./",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://１２７.０.０.１/",
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[fe80::1%25eth0]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[::1]evil.test/",
    "https://[::1/",
    "https://::1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://a.example.org.127.0.0.1/",
    "https://localhost/",
    "https://metadata.google.internal/",
    "https://" + "a" * 64 + ".example.org/",
    "https://" + "a." * 130 + "example.org/",
    "https://a.example.org/" + "x" * 5000,
    "https://ex\u00adample.org.evil.test/",
]


@pytest.mark.parametrize("url", EVIL)
def test_an_address_that_could_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(OutgoingError):
        check_url(url, HOSTS, resolve=public)


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://2130706433/", "https://[::ffff:127.0.0.1]/"])
def test_no_spelling_of_an_ip_address_is_listed_for_https(url: str) -> None:
    with pytest.raises(OutgoingError, match="allowed host"):
        check_url(url, [url.removeprefix("https://").strip("/")], resolve=public)


def test_no_ip_address_is_admitted_even_where_a_list_holds_one() -> None:
    place = Door(hosts=(Host(name="8.8.8.8", port=443),), resolve=public)
    with pytest.raises(OutgoingError, match="IP address"):
        place.admit("https", "8.8.8.8", 443)


@pytest.mark.parametrize("name", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "1.2.3.0x", "::1", "a.1"])
def test_each_disguise_of_an_ip_address_is_seen(name: str) -> None:
    assert is_literal(name)


@pytest.mark.parametrize("name", ["example.org", "1a.example", "0x.org", "127.0.0.1.org", "127.0.0.x1", "deadbeef"])
def test_a_name_with_digits_is_no_ip_address(name: str) -> None:
    assert not is_literal(name)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "224.0.1.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "::8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "fc00::1",
        "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "", "example.org",
    ],
)  # fmt: skip
def test_an_address_outside_the_open_internet_is_not_asked(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(OutgoingError, match="not public"):
        check_url("https://a.example.org/", HOSTS, resolve=only("93.184.216.34", address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"],
)
def test_an_address_in_the_open_internet_is(address: str) -> None:
    assert is_public(address)


def test_a_name_without_address_is_refused_and_its_address_is_not_told() -> None:
    def fails(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("no such name")

    for resolve in (fails, only()):
        with pytest.raises(OutgoingError):
            check_url("https://a.example.org/", HOSTS, resolve=resolve)
    with pytest.raises(OutgoingError) as caught:
        check_url("https://a.example.org/", HOSTS, resolve=only("10.1.2.3"))
    assert "10.1.2.3" not in str(caught.value)


def test_a_name_that_is_not_listed_is_never_resolved() -> None:
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34"]

    with pytest.raises(OutgoingError):
        check_url("https://secret.evil.test/", HOSTS, resolve=resolve)
    assert asked == []


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.org", "*.*", "a.*.org", "https://", "ftp://example.org", "http://*.example.org", "127.0.0.1", "0x7f.1",
     "example.org/path", "user@example.org", "example.org:0", "example.org:70000", "exa mple.org", "[::1]",
        "ex%61.org"],
)  # fmt: skip
def test_an_entry_of_the_list_that_is_too_wide_or_no_host_is_refused(entry: str) -> None:
    with pytest.raises(OutgoingError):
        door([entry])


def test_a_local_server_is_reached_only_where_it_is_listed_with_http_and_port() -> None:
    check_url("http://127.0.0.1:9000/x", ["http://127.0.0.1:9000"])
    check_url("http://[::1]:9000/x", ["http://[::1]:9000"])
    check_url("http://minio/x", ["http://minio"], resolve=only("10.0.0.7"))
    for url in ("http://127.0.0.1/", "http://127.0.0.1:9001/", "https://127.0.0.1:9000/", "http://127.1:9000/"):
        with pytest.raises(OutgoingError):
            check_url(url, ["http://127.0.0.1:9000"])


def test_a_message_holds_no_password_and_no_signature() -> None:
    with pytest.raises(OutgoingError) as caught:
        check_url("https://user:hunter2@a.example.org/x?X-Amz-Signature=abc", HOSTS)
    assert "hunter2" not in str(caught.value)
    assert "abc" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_plain_address_or_one_clear_error(text: str) -> None:
    for url in (text, f"https://{text}/", f"https://a.example.org{text}"):
        try:
            scheme, host, port = split_url(url)
            name = host_name(host)
        except OutgoingError:
            continue
        # what requests would connect to is what was checked
        try:
            prepared = requests.Request("GET", url).prepare().url
        except requests.RequestException:
            continue  # refused there
        assert prepared is not None
        again = split_url(prepared)
        assert (again[0], host_name(again[1]), again[2]) == (scheme, name, port)


# ---- real servers


class _Answers(http.server.BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("Host")))
        name, _, value = self.path.lstrip("/").partition("=")
        getattr(self, f"_{name}", self._plain)(value)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None: ...

    def _plain(self, _: str) -> None:
        self._send(200, b"hello")

    def _to(self, url: str) -> None:
        self._send(302, b"", Location=url)

    def _large(self, _: str) -> None:
        self._send(200, b"x" * 100_000)

    def _bomb(self, _: str) -> None:
        self._send(200, gzip.compress(b"\0" * 5_000_000), **{"Content-Encoding": "gzip"})

    def _chunked(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for _number in range(1000):
                self.wfile.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _drip(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self._slowly(b"x" * 1000)

    def _dripping_head(self, _: str) -> None:
        self._slowly(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 500)

    def _slowly(self, data: bytes) -> None:
        self.close_connection = True
        try:
            for number in range(100):
                self.wfile.write(data[number : number + 1])
                time.sleep(0.05)
        except OSError:
            pass

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True


Server = tuple[str, list[tuple[str, str | None]]]


@pytest.fixture
def start() -> Iterator[Callable[[], Server]]:
    """Starts servers on 127.0.0.1; each gives its address and the list of what it was asked."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def begin() -> Server:
        seen: list[tuple[str, str | None]] = []
        handler = type("Handler", (_Answers,), {"seen": seen})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}", seen

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_listed_server_answers_and_redirects_to_itself(start: Callable[[], Server]) -> None:
    url, _ = start()
    with session([url]) as client:
        assert client.get(f"{url}/plain").text == "hello"
        assert client.get(f"{url}/to=/plain").text == "hello"
        assert client.head(f"{url}/large").headers["Content-Length"] == "100000"


@pytest.mark.parametrize(
    "target",
    ["{other}/plain", "http://localhost:{port}/plain", "http://127.1:{port}/", "http://169.254.169.254/latest/",
     "http://2130706433:{port}/", "http://[::1]:{port}/", "http://x@127.0.0.1:{port}/", "//127.0.0.2:{port}/",
     "https://127.0.0.1:{port}/"],
)  # fmt: skip
def test_a_redirect_to_a_host_that_is_not_listed_is_not_followed(start: Callable[[], Server], target: str) -> None:
    (url, seen), (other, elsewhere) = start(), start()
    hop = target.format(other=other, port=url.rpartition(":")[2])
    with session([url]) as client, pytest.raises(OutgoingError):
        client.get(f"{url}/to={hop}")
    assert len(seen) == 1
    assert elsewhere == []


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_not_followed(start: Callable[[], Server], target: str) -> None:
    url, _ = start()
    with session([url]) as client, pytest.raises((OutgoingError, requests.exceptions.InvalidSchema)):
        client.get(f"{url}/to={target}")


def test_a_redirect_to_another_listed_host_is_followed_without_credentials(start: Callable[[], Server]) -> None:
    (url, _), (other, elsewhere) = start(), start()
    with session([url, other]) as client:
        answer = client.get(f"{url}/to={other}/plain", headers={"Authorization": "Bearer secret"})
    assert answer.text == "hello"
    assert "Authorization" not in answer.request.headers
    assert len(elsewhere) == 1


def test_redirects_in_a_circle_end(start: Callable[[], Server]) -> None:
    url, seen = start()
    with session([url], limits=Limits(redirects=3)) as client, pytest.raises(requests.TooManyRedirects):
        client.get(f"{url}/to=/to=/to=/to=/to=/plain")
    assert len(seen) == 4


def test_the_socket_goes_to_the_address_that_was_checked_and_the_host_header_keeps_the_name(
    start: Callable[[], Server],
) -> None:
    url, seen = start()
    port = url.rpartition(":")[2]
    with session([f"http://talik-lab.test:{port}"], resolve=only("127.0.0.1")) as client:
        assert client.get(f"http://talik-lab.test:{port}/plain").text == "hello"
    assert seen == [("/plain", f"talik-lab.test:{port}")]


def test_a_name_that_is_rebound_after_the_check_reaches_nothing() -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"], ["127.0.0.1"]])

    def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    with session(HOSTS, resolve=rebinding) as client, pytest.raises(OutgoingError, match="not public"):
        client.get("https://a.example.org/")


@pytest.mark.parametrize("path", ["large", "chunked", "bomb"])
def test_an_answer_larger_than_the_limit_is_cut(start: Callable[[], Server], path: str) -> None:
    url, _ = start()
    with session([url], limits=Limits(max_bytes=50_000)) as client, pytest.raises(OutgoingError, match="50000 bytes"):
        client.get(f"{url}/{path}")
    with session([url], limits=Limits(max_bytes=6_000_000)) as client:
        assert len(client.get(f"{url}/{path}").content) in (100_000, 1_000_000, 5_000_000)


@pytest.mark.parametrize("path", ["drip", "dripping_head"])
def test_a_server_that_drips_bytes_is_cut_at_the_deadline(start: Callable[[], Server], path: str) -> None:
    url, _ = start()
    begun = time.monotonic()
    limits = Limits(read_s=2, total_s=0.5)
    with session([url], limits=limits) as client, pytest.raises((OutgoingError, requests.RequestException)):
        client.get(f"{url}/{path}")
    assert time.monotonic() - begun < 3


def test_proxies_and_netrc_of_the_environment_are_left_aside(
    start: Callable[[], Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (url, seen), (proxy, asked) = start(), start()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    with session([url]) as client:
        answer = client.get(f"{url}/plain")
        assert "Authorization" not in answer.request.headers
        with pytest.raises(OutgoingError, match="proxy"):
            client.get(f"{url}/plain", proxies={"http": proxy})
        with pytest.raises(OutgoingError, match="verify"):
            client.get(f"{url}/plain", verify=False)
    assert asked == []
    assert len(seen) == 1


def test_no_adapter_that_does_not_check_can_be_mounted() -> None:
    client = session(HOSTS)
    with client, pytest.raises(OutgoingError, match="HTTPAdapter"):
        client.mount("https://", requests.adapters.HTTPAdapter())


# ---- assets of imagery


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A store with an image, and beside it what is nobody's business."""
    store, outside = tmp_path / "store", tmp_path / "outside"
    (store / "imagery").mkdir(parents=True)
    outside.mkdir()
    (store / "imagery" / "a.tif").write_bytes(b"II*\0")
    (outside / "secret.tif").write_bytes(b"II*\0")
    (store / "link.tif").symlink_to(outside / "secret.tif")
    (store / "circle.tif").symlink_to(store / "circle.tif")
    (tmp_path / "storehouse.tif").write_bytes(b"")
    return store, outside


def test_an_image_below_a_root_may_be_opened(folders: tuple[Path, Path]) -> None:
    store, outside = folders
    assert href_allowed(f"{store}/imagery/a.tif", store_root=str(store))
    assert href_allowed(f"{store}/imagery/../imagery/a.tif", store_root=str(store))
    assert href_allowed(f"{outside}/secret.tif", store_root=str(store), indexed_roots=[str(outside)])
    assert href_allowed(f"{store}/link.tif", store_root=str(store), indexed_roots=[str(outside)])
    assert href_allowed("s3://lake/imagery/a.tif", store_root="s3://lake/imagery")
    assert href_allowed("s3://other/a/b.tif", store_root=str(store), indexed_roots=["s3://other"])
    assert href_allowed("https://a.example.org/a.tif?sig=x", store_root=str(store), allowed_hosts=HOSTS, resolve=public)


@pytest.mark.parametrize(
    "href",
    [
        "{outside}/secret.tif", "{store}/../outside/secret.tif", "{store}/link.tif", "{store}/circle.tif", "{store}",
        "{store}house.tif", "/etc/passwd", "/proc/self/environ", "/dev/zero", "", ".", "imagery/a.tif",
        "../outside/secret.tif",
        "{store}/imagery/a.tif\x00.png", "{store}/x.vrt", "{store}/x.VRT", "{store}/x.xml",
        "/vsicurl/https://evil.test/a.tif", "/vsicurl/http://169.254.169.254/", "/vsizip/{store}/a.zip/a.tif",
        "/vsis3/lake/a.tif", "/vsitar/x", "/vsistdin/", "/vsimem/a.tif", "/vsisparse/{store}/x",
        "/vsisubfile/0_10,{store}/imagery/a.tif", "//vsicurl/http://evil.test/a.tif", "//host/share/a.tif",
        "vrt://{store}/imagery/a.tif", "vrt:///etc/passwd", "<VRTDataset/>", "GTIFF_DIR:1:{store}/imagery/a.tif",
        "NETCDF:{store}/imagery/a.nc:x", "HDF5:\"{store}/a.h5\"://x", "WMS:https://evil.test",
        "file://{store}/imagery/a.tif",
        "file:///etc/passwd", "zip+https://evil.test/x.zip", "ftp://a.example.org/a.tif", "gs://bucket/a.tif",
        "az://x/a.tif",
        "\\\\host\\share\\a.tif", "C:\\a.tif", "s3://lake/a.tif", "S3://bucket/imagery/a.tif",
        "s3://bucket/private/a.tif",
        "s3://bucket/imagery/../private/a.tif", "s3://bucket/imagery//a.tif", "s3://bucket/imagery/",
        "s3://bucket/imagery",
        "s3://bucket/imagery2/a.tif", "s3://bucket/imagery/%2e%2e/a.tif", "s3://bucket/imagery/a.tif?versionId=1",
        "s3://bucket.evil.test/imagery/a.tif", "s3://", "https://evil.test/a.tif", "http://a.example.org/a.tif",
        "https://127.0.0.1/a.tif", "https://a.example.org/a.vrt", "https://a.example.org/a.vrt?x=.tif",
        "HTTP://169.254.169.254/latest", "/vsicurl?url=https://a.example.org/a.tif",
    ],
)  # fmt: skip
def test_an_asset_outside_the_roots_or_of_gdals_magic_is_refused(folders: tuple[Path, Path], href: str) -> None:
    store, outside = folders
    with pytest.raises(OutgoingError):
        check_href(
            href.format(store=store, outside=outside),
            store_root=str(store),
            indexed_roots=["s3://bucket/imagery"],
            allowed_hosts=HOSTS,
            resolve=public,
        )


def test_tls_is_checked_against_the_name_although_the_socket_goes_to_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _certificate(tmp_path, "talik-lab.test")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Answers,), {"seen": []}))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("talik_stac.outgoing.is_public", lambda address: True)
    port = server.server_address[1]
    with session([f"talik-lab.test:{port}", f"other.test:{port}"], resolve=only("127.0.0.1")) as client:
        assert client.get(f"https://talik-lab.test:{port}/", verify=str(certificate)).text == "hello"
        with pytest.raises(requests.exceptions.SSLError):
            client.get(f"https://other.test:{port}/", verify=str(certificate))
        with pytest.raises(requests.exceptions.SSLError):
            client.get(f"https://talik-lab.test:{port}/")
    server.shutdown()
    server.server_close()


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, for one name."""
    private = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(who, who, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


def test_pystac_client_searches_through_the_door(start: Callable[[], Server]) -> None:
    """How a worker uses it: the session takes the place of the one that StacApiIO made."""
    (url, seen), (other, elsewhere) = start(), start()
    io = StacApiIO(timeout=5)
    io.session.close()
    io.session = session([url])
    assert io.read_text(f"{url}/plain") == "hello"
    with pytest.raises(APIError, match="not among the allowed hosts"):
        io.read_text(f"{url}/to={other}/plain")
    assert len(seen) == 2
    assert elsewhere == []
