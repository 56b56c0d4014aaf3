"""The pages in a real browser: nothing is asked of other hosts, the console stays empty, nothing sticks out."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import shapely
import uvicorn
from starlette.responses import HTMLResponse

from editing import publish_polygons
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: the pages are not seen by a browser"),
]
EDITION = "water-delta-2021-v1"
PAGES = (
    "/",
    "/collections",
    "/collections/water",
    f"/collections/{EDITION}/items",
    f"/editions/{EDITION}",
    "/api.html",
)
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", "--remote-debugging-pipe")  # fmt: skip
BAD = '<img src="/nothing"><img src="http://localhost:9/x"><script>f()</script>'
PATIENCE_S = 30.0
COMPLAINTS = ("Network.loadingFailed", "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")


@dataclass
class Seen:
    """What a browser did to show one page."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Lines of the console, refused by policy, failed or answered with an error."""

    @property
    def hosts(self) -> set[str]:
        return {urlsplit(each).netloc for each in self.requests if not each.startswith("data:")}


class Browser:
    """Chromium over its debugging pipe: JSON messages that end with a zero byte."""

    def __init__(self, folder: Path) -> None:
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # The browser reads from file descriptor 3 and writes to 4.
        line = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", line, str(CHROMIUM), *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._events = b"", 0, list[dict[str, Any]]()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")

    _session = None

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Do one thing; what happens meanwhile is kept."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = json.dumps({"id": self._number, "method": method, "params": params, **session})
        os.write(self._out, message.encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])
            self._events.append(answer)

    def show(self, address: str, *, width: int = 1200, dark: bool = False, scripts: bool = True) -> Seen:
        """Open a page, wait until it has loaded what it loads."""
        self._events.clear()
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)
        while not any(each.get("method") == "Page.loadEventFired" for each in self._events):
            self._events.append(self._message())
        height = self.value("document.documentElement.scrollHeight")  # lazy pictures come into view
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        deadline = time.monotonic() + PATIENCE_S
        while self.value("[...document.images].some(image => !image.complete)") and time.monotonic() < deadline:
            time.sleep(0.05)
        return seen(self._events)

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], PATIENCE_S)
            part = os.read(self._in, 1 << 20) if ready else b""
            assert part, "the browser says nothing more"
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(line))


def seen(events: list[dict[str, Any]]) -> Seen:
    found = Seen()
    for each in events:
        method, params = each.get("method"), each.get("params", {})
        if method == "Network.requestWillBeSent":
            found.requests.append(params["request"]["url"])
        elif method == "Network.responseReceived" and params["response"]["status"] >= 400:
            found.complaints.append(f"{params['response']['status']} {params['response']['url']}")
        elif method in COMPLAINTS:
            found.complaints.append(f"{method}: {json.dumps(params)[:500]}")
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service on a port of its own; /bad is a page that does all that ours must not."""
    folder = tmp_path_factory.mktemp("browser")
    store = open_store(str(folder / "store"))
    lakes = [shapely.Point(0.1 + 0.05 * number, 0.5).buffer(0.01) for number in range(5)]
    for year in (2020, 2021):
        publish_polygons(store, folder / f"work-{year}", lakes, year=year, area="delta")
    item = folder / f"store/inventories/water/{EDITION}/item.json"
    document = json.loads(item.read_text())
    document["properties"]["talik:model"] = document["properties"]["title"] = "<script>console.log('run')</script>"
    item.write_text(json.dumps(document))
    app = create_app(ApiSettings(store=store.root, local_jobs=0))
    policy = {"Content-Security-Policy": "img-src *; script-src 'none'"}
    app.add_route("/bad", lambda _: HTMLResponse(BAD, headers=policy))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    started = Browser(tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


@pytest.mark.parametrize("address", PAGES)
def test_a_page_asks_this_host_alone_and_the_console_stays_empty(browser: Browser, base: str, address: str) -> None:
    found = browser.show(base + address)
    assert found.hosts == {urlsplit(base).netloc}
    assert found.requests[0] == base + address
    assert found.complaints == []


def test_this_browser_would_notice_other_hosts_and_errors(browser: Browser, base: str) -> None:
    found = browser.show(f"{base}/bad")
    assert found.hosts == {urlsplit(base).netloc, "localhost:9"}
    assert any(each.startswith("404 ") for each in found.complaints)
    assert any("script-src" in each for each in found.complaints)


@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("address", PAGES)
def test_nothing_sticks_out_of_the_window(browser: Browser, base: str, address: str, width: int) -> None:
    browser.show(base + address, width=width)
    assert browser.value("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("address", PAGES)
def test_a_page_reads_the_same_without_scripts(browser: Browser, base: str, address: str) -> None:
    browser.show(base + address)
    with_scripts = browser.value("document.body.innerText")
    browser.show(base + address, scripts=False)
    assert browser.value("document.body.innerText") == with_scripts
    assert len(with_scripts) > 100


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["body", ".soft", "a[href]", "summary", "caption", "code"])
def test_text_has_enough_contrast(browser: Browser, base: str, name: str, dark: bool) -> None:
    browser.show(f"{base}/", dark=dark)
    ink = browser.value(f"getComputedStyle(document.querySelector('main {name}') ?? document.body).color")
    paper = browser.value("getComputedStyle(document.body).backgroundColor")
    assert contrast(ink, paper) >= 4.5  # WCAG 2.2, 1.4.3, level AA


def test_the_style_is_applied(browser: Browser, base: str) -> None:
    browser.show(f"{base}/")
    assert browser.value("getComputedStyle(document.querySelector('.split')).display") == "grid"
    assert browser.value("document.querySelectorAll('svg .objects').length") == 1


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG of two colours such as rgb(1, 2, 3)."""
    lights = sorted(luminance([int(part) for part in each[4:-1].split(",")]) for each in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: list[int]) -> float:
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
