"""The pages for browsers: well-formed, escaped, without other hosts, bounded; every link leads somewhere."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from base64 import b64encode
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import httpx
import numpy as np
import pyproj
import pytest
import shapely
from starlette.requests import Request
from starlette.testclient import TestClient

from editing import publish_polygons, table_of
from talik_api.app import create_app
from talik_api.pages import features, portal
from talik_api.pages.projection import EARTH_KM, EqualArea, path_of
from talik_api.pages.render import size, square_km
from talik_api.pages.sketch import sketch
from talik_api.pages.world import Spot, world_map
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
VOID = {"area", "br", "circle", "col", "hr", "img", "input", "link", "meta", "path", "rect"}
NEWEST = "water-delta-2021-v1"
HOSTILE = "<script>alert(1)</script>\"'&"
PAGES = ("/", "/collections", "/collections/water", f"/collections/{NEWEST}", f"/collections/{NEWEST}/items",
         f"/editions/{NEWEST}", "/api.html")  # fmt: skip


@dataclass
class Element:
    """A start tag; `text` is what stands right after it."""

    name: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Every element of a page; tags must close in order."""

    elements: list[Element] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says something twice: {names}"
        self.elements.append(Element(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.elements:
            self.elements[-1].text += data

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def all(self, name: str, **attributes: str) -> list[Element]:
        found = [each for each in self.elements if each.name == name]
        return [each for each in found if all(each.attributes.get(k) == v for k, v in attributes.items())]


def read(answer: httpx.Response) -> Page:
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page()
    page.feed(answer.text)
    page.close()
    assert page.open == []
    return page


def lakes(count: int) -> list[shapely.Geometry]:
    return [shapely.Point(0.1 + 0.02 * (n % 10), 0.1 + 0.02 * (n // 10)).buffer(0.003 + n * 1e-5) for n in range(count)]


def client_of(root: Path, **settings: Any) -> TestClient:
    return TestClient(create_app(ApiSettings(store=str(root), local_jobs=0, **settings)), headers=HTML)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two areas of 12 to 16 objects; one has three seasons, of which 2020 has two versions."""
    folder = tmp_path_factory.mktemp("pages")
    store = open_store(str(folder / "store"))
    for number, (area, year) in enumerate(
        [("delta", 2019), ("delta", 2020), ("delta", 2020), ("delta", 2021), ("coast", 2021)]
    ):
        publish_polygons(
            store, folder / f"work-{number}", lakes(12 + number), year=year, area=area, configuration=f"c{number}"
        )
    return folder / "store"


@pytest.fixture
def client(root: Path) -> TestClient:
    return client_of(root)


@pytest.fixture
def own(root: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(root, tmp_path / "store"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("address", PAGES)
def test_every_page_is_well_formed_and_says_its_language_and_title(client: TestClient, address: str) -> None:
    page = read(client.get(address))
    assert page.all("html", lang="en")
    assert len(page.all("h1")) == 1
    assert page.all("title")[0].text.strip()
    assert page.all("main", id="content")
    ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    for drawing in page.all("svg"):
        assert drawing.attributes.get("aria-label") or drawing.attributes.get("aria-labelledby") in ids
    assert all(cell.attributes.get("scope") in ("col", "row") for cell in page.all("th"))
    assert all(image.attributes.get("alt") for image in page.all("img"))


@pytest.mark.parametrize("address", PAGES)
def test_a_page_runs_nothing_and_loads_only_what_is_ours(client: TestClient, address: str) -> None:
    answer = client.get(address)
    page = read(answer)
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    expected = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{expected}'"
    assert "script-src" not in policy
    assert [
        each.attributes for each in page.all("script") if each.attributes.get("type") != "application/ld+json"
    ] == []
    assert not [n for each in page.elements for n in each.attributes if n == "style" or n.startswith("on")]
    assert all(
        urlsplit(str(each.attributes.get("src", "//testserver"))).netloc == "testserver" for each in page.elements
    )
    assert str(page.all("link", rel="icon")[0].attributes["href"]).startswith("data:image/svg+xml,")
    assert not re.search(r"url\(|@import", answer.text)
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Vary"].startswith("Accept")


@pytest.mark.parametrize("address", PAGES)
def test_every_link_leads_to_an_answer(client: TestClient, address: str) -> None:
    served = client.get("/api").json()["paths"]
    page = read(client.get(address))
    ids = {each.attributes.get("id") for each in page.elements}
    targets = {str(each.attributes["href"]) for each in page.all("a")}
    for target in sorted(targets):
        where, fragment = urldefrag(target)
        path = urlsplit(where).path
        if not where:
            assert fragment in ids, f"{address} has no #{fragment}"
        elif urlsplit(where).netloc == "testserver" and any(p.split("/")[1] == path.split("/")[1] for p in served):
            answer = client.get(where, headers={"Range": "bytes=0-9"} if "/files/" in path else {})
            assert answer.status_code in (200, 206), f"{address} -> {where}: {answer.status_code} {answer.text[:200]}"


def test_the_portal_shows_each_season_once_with_its_last_version(client: TestClient, root: Path) -> None:
    page = read(client.get("/"))
    stored = (root / f"inventories/water/{NEWEST}/inventory.parquet").stat().st_size
    assert f"GeoParquet {size(stored)}" in page.text
    seasons = [each.text.strip() for each in page.all("a") if re.fullmatch(r"\d{4}\s*", each.text)]
    assert seasons == ["2021", "2021", "2020", "2019"]  # coast, then delta
    assert (
        "5 editions; the last version of each area and season, together, 57 objects." in page.text
    )  # 12 + 14 + 15 + 16 less the first 2020
    for form in ("GeoParquet", "FlatGeobuf", "GeoPackage", "Shapefile", "GeoJSON", "CSV"):
        assert page.text.count(form) >= 4
    assert len(page.all("path", **{"class": "objects"})) == 2
    assert "http://testserver/stac" in page.text
    assert "since 2020 v2" in page.text


def test_nothing_is_published_yet(tmp_path: Path) -> None:
    client = client_of(tmp_path / "empty")
    assert "Nothing is published yet" in read(client.get("/")).text
    assert "store is empty" in read(client.get("/collections")).text
    read(client.get("/api.html"))


@pytest.mark.parametrize("address", PAGES)
def test_hostile_text_stays_text(own: Path, address: str) -> None:
    item = own / f"inventories/water/{NEWEST}/item.json"
    properties = json.loads(item.read_text())["properties"]
    edit_json(item, properties={**properties, "title": HOSTILE, "talik:model": HOSTILE, "license": HOSTILE})
    edit_json(item.with_name("run.json"), recipe={"title": HOSTILE}, model={"title": HOSTILE, "limits": HOSTILE})
    answer = client_of(own, title=HOSTILE).get(address)
    page = read(answer)
    assert "<script>alert" not in answer.text
    assert HOSTILE in "".join(page.texts)
    assert all(each.attributes.get("type") == "application/ld+json" for each in page.all("script"))


@pytest.mark.parametrize("told", ["by its settings", "by the server"])
def test_links_keep_to_the_address_that_clients_see(root: Path, told: str) -> None:
    base = "https://talik.example/v1"
    client = client_of(root, base_url=base if told == "by its settings" else None)
    if told == "by the server":
        client = TestClient(client.app, base_url="https://talik.example", root_path="/v1", headers=HTML)
    for address in PAGES:
        answer = client.get(address)
        links = [str(each.attributes["href"]) for each in read(answer).all("a")]
        ours = [each for each in links if not each.startswith(("#", "https://creativecommons.org/"))]
        assert ours
        assert all(each.startswith(f"{base}/") for each in ours), address
        assert base.rsplit("/", 1)[0] in answer.headers["Content-Security-Policy"]


def test_a_simulated_inventory_is_called_so(own: Path) -> None:
    edit_json(own / f"inventories/water/{NEWEST}/run.json", simulated=True)
    client = client_of(own)
    assert "delta simulated" in read(client.get("/")).text
    assert "coast simulated" not in read(client.get("/")).text
    assert read(client.get(f"/editions/{NEWEST}")).all("h1")[0].text.startswith("Simulated: ")
    assert read(client.get(f"/collections/{NEWEST}/items")).all("span", **{"class": "badge"})
    assert "Simulated" not in read(client.get("/editions/water-coast-2021-v1")).text


def test_a_damaged_inventory_costs_the_portal_its_drawing_only(own: Path) -> None:
    (own / f"inventories/water/{NEWEST}/inventory.parquet").write_bytes(b"no parquet")
    (own / f"inventories/water/{NEWEST}/run.json").write_bytes(b"{")
    page = read(client_of(own).get("/"))
    assert len(page.all("path", **{"class": "objects"})) == 1
    assert "delta" in page.text


def test_the_page_of_an_edition_holds_its_citation_and_the_metadata_that_are_served(client: TestClient) -> None:
    answer = client.get(f"/editions/{NEWEST}")
    page = read(answer)
    embedded = re.search(r'<script type="application/ld\+json">(.*?)</script>', answer.text, re.DOTALL)
    assert embedded is not None
    assert json.loads(embedded[1]) == client.get(f"/editions/{NEWEST}/metadata/schema.org").json()
    assert client.get(f"/editions/{NEWEST}/metadata/citation").text.strip() in page.text
    bibtex = client.get(f"/editions/{NEWEST}/metadata/bibtex").text
    assert " ".join(bibtex.split()) in page.text
    for file in client.get(f"/editions/{NEWEST}?f=json").json()["files"]:
        assert file["sha256"] in page.text


@pytest.mark.parametrize("indexed", [True, False])
def test_pictures_are_shown_where_the_imagery_is_in_the_store(own: Path, indexed: bool) -> None:
    edit_json(own / f"inventories/water/{NEWEST}/run.json", imagery={"collection": "x", "catalog": None})
    if indexed:
        open_store(str(own)).put("imagery/x/items.parquet", b"")
    client = client_of(own)
    feature = client.get(f"/collections/{NEWEST}/items?f=geojson&limit=1").json()["features"][0]["id"]
    sources = [each.attributes["src"] for each in read(client.get(f"/editions/{NEWEST}")).all("img")]
    assert len(sources) == (3 if indexed else 0)
    shown = [each.attributes["src"] for each in read(client.get(f"/collections/{NEWEST}/items/{feature}")).all("img")]
    assert shown == [f"http://testserver/collections/{NEWEST}/items/{feature}/chip.png"][: len(sources)]


def test_the_table_of_features_is_the_answer(client: TestClient) -> None:
    found = client.get(f"/collections/{NEWEST}/items?f=geojson&limit=10").json()
    page = read(client.get(f"/collections/{NEWEST}/items?limit=10"))
    for each in found["features"]:
        assert each["id"] in page.text
        assert features.shown(each["properties"]["area_m2"]) in page.text
    following = page.all("a", rel="next")[0].attributes["href"]
    assert "5 on this page" in read(client.get(str(following))).text


def test_a_table_too_long_for_a_browser_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "ROWS_SHOWN", 5)
    page = read(client.get(f"/collections/{NEWEST}/items"))
    assert "15 match; 15 on this page. Only the first 5 are shown" in page.text
    assert len(page.all("th", scope="row")) == 5


@pytest.mark.parametrize("collection", ["water", NEWEST])
def test_a_feature_has_a_page(client: TestClient, collection: str) -> None:
    feature = client.get(f"/collections/{collection}/items?f=geojson&limit=1").json()["features"][0]
    page = read(client.get(f"/collections/{collection}/items/{feature['id']}"))
    assert page.all("h1")[0].text.strip() == feature["id"]
    assert len(page.all("path", **{"class": "objects"})) == 1
    mercator = "http://www.opengis.net/def/crs/EPSG/0/3857"
    projected = read(client.get(f"/collections/{collection}/items/{feature['id']}", params={"crs": mercator}))
    assert not projected.all("path", **{"class": "objects"})  # its coordinates are no degrees


def test_the_page_of_the_api_names_every_path(client: TestClient) -> None:
    assert set(client.get("/api").json()["paths"]) <= set(read(client.get("/api.html")).text.split())


def many(root: Path, count: int) -> None:
    """Editions beside the first: areas of ten years each."""
    first = root / "inventories/water/water-delta-2021-v1"
    document = json.loads((first / "item.json").read_text())
    for number in range(count):
        area, year = f"a{number // 10:03}", 2000 + number % 10
        name = f"water-{area}-{year}-v1"
        folder = Path(shutil.copytree(first, root / f"inventories/water/{name}", copy_function=shutil.copy))
        times = {"start_datetime": f"{year}-06-01T00:00:00Z", "end_datetime": f"{year}-09-30T23:59:59Z"}
        properties = {**document["properties"], **times, "talik:area": area, "talik:configuration": name}
        (folder / "item.json").write_text(json.dumps({**document, "id": name, "properties": properties}))


def test_three_hundred_editions_are_pages_of_bounded_size(own: Path) -> None:
    many(own, 300)
    client = client_of(own)
    answer = client.get("/")
    page = read(answer)
    assert "305 editions" in page.text
    assert len(answer.content) < 250_000
    assert page.all("a", rel="next")
    seen: list[str] = []
    for number in range(1, 7):
        query = {"type": "http", "query_string": f"page={number}".encode(), "app": client.app, "headers": []}
        scope = {**query, "method": "GET", "path": "/", "server": ("testserver", 80), "scheme": "http", "root_path": ""}
        one = portal(client.app.state.service, Request(scope))  # type: ignore[attr-defined]
        assert len(one.body) < 250_000
        seen += re.findall(rb'<h3 id="water-([a-z0-9]+)"', one.body)
    assert sorted(seen) == sorted([b"delta", b"coast", *(f"a{n:03}".encode() for n in range(30))])


@pytest.mark.parametrize(("lon", "lat"), [(0.0, 90.0), (-150.0, 70.0), (179.9, 65.0)])
def test_equal_area_is_what_proj_says_of_the_sphere(lon: float, lat: float) -> None:
    points = np.array([[10.0, 75.0], [-170.0, 66.0], [100.0, 50.0], [179.0, 80.0]])
    proj = pyproj.Proj(proj="laea", lon_0=lon, lat_0=lat, R=EARTH_KM * 1000)
    expected = np.column_stack(proj(points[:, 0], points[:, 1])) / 1000
    np.testing.assert_allclose(EqualArea(lon=lon, lat=lat)(points), expected, atol=1e-6)


def test_the_arctic_map_has_the_pole_in_its_middle_and_greenwich_below() -> None:
    spots = [
        Spot(title="x", href="#", geometry={"type": "Point", "coordinates": c}) for c in ([0, 90], [0, 60], [90, 60])
    ]
    pole, greenwich, east = world_map(spots).spots
    assert (pole.x, pole.y) == (500, 500)
    assert greenwich.y - 500 == east.x - 500 > 100
    assert (greenwich.x, east.y) == (500, 500)


def test_an_edition_in_the_south_is_shown_on_the_whole_world() -> None:
    world = world_map([Spot(title="x", href="#", geometry={"type": "Point", "coordinates": [90, -45]})])
    assert not world.polar
    assert (world.spots[0].x, world.spots[0].y) == (750, 375)


def test_objects_on_both_sides_of_the_antimeridian_are_drawn_together() -> None:
    drawn = sketch(table_of([shapely.box(179.9, 70, 179.95, 70.02), shapely.box(-179.95, 70, -179.9, 70.02)]))
    assert drawn is not None
    assert drawn.bar_text == "1 km"  # 0.2 degrees at 70 N are 7.6 km
    numbers = [int(each) for each in re.findall(r"M(\d+) ", drawn.path)]
    assert max(numbers) - min(numbers) > drawn.width / 2


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    drawn = sketch(table_of([shapely.box(0, 0, 0.1, 0.01)]))
    assert drawn is not None
    width_km = pyproj.Geod(ellps="WGS84").inv(0, 0, 0.1, 0)[2] / 1000
    assert drawn.bar_text == "2 km"
    assert drawn.bar * width_km / (drawn.width - 24) == pytest.approx(2, rel=0.01)


def test_a_path_returns_to_its_points_and_a_tiny_ring_is_a_dot() -> None:
    assert path_of(shapely.Polygon([(1, 2), (11, 2), (11, 7), (1, 7)])) == "M1 2l10 0 0 5-10 0z"
    assert path_of(shapely.box(5, 5, 5.1, 5.1)) == "M5 5h2v2h-2z"


def test_sizes_and_areas_read_as_people_write_them() -> None:
    sizes = {None: "", 999: "999 B", 1000: "1 kB", 999_600: "1 MB", 1_449_973_232: "1.45 GB"}
    assert {count: size(count) for count in sizes} == sizes
    areas = {12_345.0: "0.0123", 7.21e6: "7.21", 104_167_382_550.7: "104,167"}
    assert {area_m2: square_km(area_m2) for area_m2 in areas} == areas
