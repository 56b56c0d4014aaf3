"""Chips and time-lapses over HTTP, of an edition that was mapped from the same imagery."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

from making import grid_at
from talik_api import problems
from talik_api.routes import pictures, tiles
from talik_api.service import make_service
from talik_api.settings import ApiSettings
from world import World, around

GRID = grid_at(50_000, -650_000, 120, 120)
EDITION = "water-area-2021-v1"
BANDS = ("blue", "green", "red", "nir")


def landscape(green: int = 1000) -> np.ndarray:
    """A square lake of 40 pixels in the middle; uint16 (band, y, x)."""
    lake = np.zeros(GRID.shape, bool)
    lake[40:80, 40:80] = True
    wet, dry = (900, green, 600, 250), (500, 600, 700, 2400)
    return np.stack([np.where(lake, w, d) for w, d in zip(wet, dry, strict=True)]).astype(np.uint16)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three dates of 2021 and one of 2019; the edition is of summer 2021."""
    made = World(folder=tmp_path_factory.mktemp("world"))
    for name, cloud in (("a_20210705", 30.0), ("b_20210715", 1.0), ("c_20210801", 20.0), ("d_20190710", 0.0)):
        made.add(name, landscape(), GRID, bands=BANDS, cloud_cover=cloud)
    made.map(around(GRID))
    return made


def application(world: World, *, roots: tuple[str, ...] | None = None) -> FastAPI:
    """The picture routes alone."""
    folders = (str(world.folder / "imagery"),) if roots is None else roots
    app = FastAPI()
    app.state.service = make_service(ApiSettings(store=world.root, imagery_roots=folders))
    app.include_router(pictures.router)
    app.include_router(tiles.router)
    problems.install(app)
    return app


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    with TestClient(application(world), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def lake(world: World) -> str:
    """The address of the one lake."""
    import geopandas

    frame = geopandas.read_parquet(Path(world.root) / "inventories" / "water" / EDITION / "inventory.parquet")
    (name,) = frame["id"]
    return f"/collections/{EDITION}/items/{name}"


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_chip_is_the_clearest_date_of_the_season(client: TestClient, lake: str, kind: str) -> None:
    answer = client.get(f"{lake}/chip.{kind}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"image/{kind}"
    assert "2021-07-15" in answer.headers["content-disposition"]
    assert answer.headers["talik-bands"] == "red,green,blue"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == (kind.upper(), (256, 256))
        middle = image.convert("RGBA").getpixel((128, 128))
    expected = [round(value * 1e-4 / 0.3 * 255) for value in (600, 1000, 900)]
    assert np.abs(np.array(middle[:3]) - expected).max() <= (1 if kind == "png" else 6)


def test_a_chip_is_asked_for_again_by_its_tag(client: TestClient, lake: str) -> None:
    first = client.get(f"{lake}/chip.png")
    again = client.get(f"{lake}/chip.png", headers={"If-None-Match": first.headers["etag"]})
    other = client.get(f"{lake}/chip.png?size=64", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


def test_a_date_a_scene_and_bands_may_be_chosen(client: TestClient, lake: str) -> None:
    dated = client.get(f"{lake}/chip.png?datetime=2019-01-01/2019-12-31&bands=nir,red,green&size=64")
    named = client.get(f"{lake}/chip.png?scene=c_20210801&bands=nir&size=64&stretch=percentile&buffer_m=50")
    assert "2019-07-10" in dated.headers["content-disposition"]
    assert dated.headers["talik-bands"] == "nir,red,green"
    assert "2021-08-01" in named.headers["content-disposition"]


def test_a_feature_of_a_landform_has_a_chip_too(client: TestClient, lake: str) -> None:
    name = lake.rsplit("/", 1)[-1]
    answer = client.get(f"/collections/water/items/{EDITION}:{name}/chip.png")
    assert answer.content == client.get(f"{lake}/chip.png").content


@pytest.mark.parametrize("kind", ["webp", "gif"])
def test_a_time_lapse_shows_every_date(client: TestClient, lake: str, kind: str) -> None:
    answer = client.get(f"{lake}/timelapse.{kind}?size=128")
    assert answer.status_code == 200
    assert answer.headers["talik-dates"] == "2019-07-10,2021-07-05,2021-07-15,2021-08-01"
    assert (answer.headers["ogc-numbermatched"], answer.headers["ogc-numberreturned"]) == ("4", "4")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.n_frames == 4
    tag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(f"{lake}/timelapse.{kind}?size=128", headers=tag).status_code == 304
    assert client.get(f"{lake}/timelapse.{kind}?datetime=2021-07-01/..").headers["ogc-numbermatched"] == "3"


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ("chip.png?datetime=1999-01-01/2000-01-01", 404, "2021-07-05"),
        ("timelapse.webp?datetime=2030-01-01/..", 404, "2019-07-10"),
        ("chip.png?scene=nothing", 404, "nothing"),
        ("chip.png?bands=nir,red", 400, "three"),
        ("chip.png?bands=../etc", 400, "three"),
        ("chip.png?bands=swir16", 400, "there is"),
        ("chip.png?size=4096", 400, "size"),
        ("chip.png?size=8", 400, "size"),
        ("chip.png?buffer_m=nan", 400, "buffer"),
        ("chip.png?buffer_m=1e9", 400, "buffer"),
        ("chip.png?datetime=yesterday", 400, "datetime"),
        ("chip.png?collection=../..", 400, "collection"),
        ("chip.png?collection=other", 400, "other"),
        ("chip.tif", 400, "kind"),
        ("timelapse.png", 400, "kind"),
    ],
)
def test_what_cannot_be_shown_is_explained(client: TestClient, lake: str, asked: str, status: int, said: str) -> None:
    answer = client.get(f"{lake}/{asked}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_an_unknown_feature_is_not_found(client: TestClient) -> None:
    assert client.get(f"/collections/{EDITION}/items/nothing/chip.png").status_code == 404
    assert client.get("/collections/nothing/items/nothing/chip.png").status_code == 404


def test_imagery_outside_the_operators_folders_is_not_opened(world: World, lake: str) -> None:
    with TestClient(application(world, roots=()), raise_server_exceptions=False) as stranger:
        for address in (f"{lake}/chip.png", f"{lake}/timelapse.gif"):
            answer = stranger.get(address)
            assert answer.status_code == 403
            assert str(world.folder) not in answer.json()["detail"].replace(str(world.folder / "imagery"), "")


def test_a_file_that_is_gone_is_an_incident_without_its_path(
    tmp_path: Path, lake: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = World(folder=tmp_path)
    path = made.add("a_20210705", landscape(), GRID, bands=BANDS)
    result = made.map(around(GRID))
    (name,) = made.inventory(result)["id"]
    path.unlink()
    with TestClient(application(made), raise_server_exceptions=False) as client:
        answer = client.get(f"/collections/{EDITION}/items/{name}/chip.png")
    assert answer.status_code == 502
    assert str(tmp_path) not in answer.text
    assert "incident" in caplog.text


def test_where_too_much_is_asked_at_once_the_client_is_told_to_wait(world: World, lake: str) -> None:
    from talik_api.pictures import desk

    app = application(world)
    busy = app.state.pictures = desk.Desk(pictures=1)
    with busy.turn("picture"), pytest.raises(problems.Problem, match="too many"), busy.turn("picture", wait_s=0.01):
        pass
    with TestClient(app) as client:
        assert client.get(f"{lake}/chip.png?size=64").status_code == 200
