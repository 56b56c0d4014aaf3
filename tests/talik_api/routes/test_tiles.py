"""Tiles over HTTP: what the documents promise is what the tiles hold."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import geopandas
import mapbox_vector_tile
import morecantile
import numpy as np
import pytest
import rasterio
from fastapi import FastAPI
from PIL import Image
from rasterio.vrt import WarpedVRT
from starlette.testclient import TestClient

from making import grid_at
from talik_api import problems
from talik_api.routes import tiles
from talik_api.service import make_service
from talik_api.settings import ApiSettings
from world import World, around, paint

GRID = grid_at(50_000, -650_000, 120, 160)
EDITION = "water-area-2021-v1"
TMS = morecantile.tms.get("WebMercatorQuad")
WEB = "tiles/WebMercatorQuad"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """One scene with three lakes, mapped."""
    water = np.zeros(GRID.shape, bool)
    water[20:60, 20:70], water[80:110, 30:50], water[90:93, 120:124] = True, True, True
    made = World(folder=tmp_path_factory.mktemp("world"))
    made.add("a_20210705", paint(water), GRID)
    made.map(around(GRID))
    return made


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient]:
    app = FastAPI()
    app.state.service = make_service(ApiSettings(store=world.root, imagery_roots=(str(world.folder / "imagery"),)))
    app.include_router(tiles.router)
    problems.install(app)
    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def tile_of(zoom: int) -> morecantile.Tile:
    lon, lat = GRID.extent.to_crs("EPSG:4326").centroid.coords[0]
    return TMS.tile(lon, lat, zoom)


def rgba(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA"))


def test_a_client_finds_the_tiles_from_the_collection(client: TestClient, world: World) -> None:
    listed = client.get(f"/collections/{EDITION}/tiles?f=json").json()
    (item,) = listed["tilesets"]
    assert item["dataType"] == "vector"
    metadata = client.get(next(each["href"] for each in item["links"] if each["rel"] == "self")).json()
    scheme = next(each["href"] for each in metadata["links"] if each["rel"].endswith("/tiling-scheme"))
    assert client.get(scheme).json()["id"] == "WebMercatorQuad"
    template = next(each for each in metadata["links"] if each["rel"] == "item")
    assert template["templated"] is True
    limits = {each["tileMatrix"]: each for each in metadata["tileMatrixSetLimits"]}
    expected = geopandas.read_parquet(Path(world.root) / "inventories" / "water" / EDITION / "inventory.parquet")
    found = set()
    limit = limits["14"]
    for row in range(limit["minTileRow"], limit["maxTileRow"] + 1):
        for column in range(limit["minTileCol"], limit["maxTileCol"] + 1):
            href = template["href"].format(tileMatrix=14, tileRow=row, tileCol=column)
            answer = client.get(href)
            assert answer.headers["content-type"] == template["type"] == "application/vnd.mapbox-vector-tile"
            features = mapbox_vector_tile.decode(answer.content).get("water", {"features": []})["features"]
            found |= {each["properties"]["id"] for each in features}
    assert found == set(expected["id"])
    assert len(found) == 3


def test_a_vector_tile_carries_the_inventorys_numbers(client: TestClient, world: World) -> None:
    tile = tile_of(12)
    answer = client.get(f"/collections/{EDITION}/{WEB}/12/{tile.y}/{tile.x}")
    layer = mapbox_vector_tile.decode(answer.content)["water"]
    frame = geopandas.read_parquet(Path(world.root) / "inventories" / "water" / EDITION / "inventory.parquet")
    rows = frame.set_index("id")
    for feature in layer["features"]:
        properties = feature["properties"]
        assert properties["area_m2"] == rows.loc[properties["id"], "area_m2"]
        assert properties["probability"] == rows.loc[properties["id"], "probability"]
        assert properties["status"] == "candidate"
    assert answer.headers["ogc-numberreturned"] == str(len(layer["features"]))
    assert answer.headers["talik-limited"] == "false"
    assert "immutable" in answer.headers["cache-control"]
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_landforms_tiles_name_features_as_its_items_do(client: TestClient) -> None:
    tile = tile_of(12)
    answer = client.get(f"/collections/water/{WEB}/12/{tile.y}/{tile.x}?f=mvt")
    features = mapbox_vector_tile.decode(answer.content)["water"]["features"]
    assert features
    assert all(each["properties"]["id"].startswith(f"{EDITION}:water-") for each in features)
    assert answer.headers["cache-control"] == "no-cache"


def test_a_tile_beside_the_edition_is_empty(client: TestClient) -> None:
    answer = client.get(f"/collections/{EDITION}/{WEB}/10/0/0")
    assert answer.status_code == 200
    assert not mapbox_vector_tile.decode(answer.content).get("water", {"features": []})["features"]


@pytest.mark.parametrize("address", ["30/0/0", "2/4/0", "2/0/4", "-1/0/0", "17/0/0", "99999999999/0/0"])
def test_tiles_that_are_not_there_are_not_found(client: TestClient, address: str) -> None:
    answers = [
        client.get(f"/collections/{EDITION}/{WEB}/{address}"),
        client.get(f"/editions/{EDITION}/map/{WEB}/{address}.png"),
        client.get(f"/imagery/test/a_20210705/{WEB}/{address}.png"),
    ]
    assert [each.status_code for each in answers] == [404, 404, 404] or address == "17/0/0"
    assert answers[0].status_code == 404
    assert all(each.headers["content-type"] == "application/problem+json" for each in answers if each.is_error)


@pytest.mark.parametrize("zoom", [9, 13, 15])
def test_a_probability_tile_is_the_published_raster(client: TestClient, world: World, zoom: int) -> None:
    from talik_api.pictures.raster_tiles import ramp_colours

    tile = tile_of(zoom)
    answer = client.get(f"/editions/{EDITION}/map/{WEB}/{zoom}/{tile.y}/{tile.x}.png")
    assert answer.headers["content-type"] == "image/png"
    (path,) = (Path(world.root) / "inventories" / "water" / EDITION / "probability").glob("*.tif")
    transform = rasterio.transform.from_bounds(*TMS.xy_bounds(tile), 256, 256)
    with (
        rasterio.open(path) as source,
        WarpedVRT(source, crs="EPSG:3857", transform=transform, width=256, height=256, nodata=255) as vrt,
    ):
        expected = ramp_colours(vrt.read(1))
    shown = rgba(answer.content)
    assert shown[..., 3].any()
    np.testing.assert_array_equal(shown, expected)
    again = client.get(answer.url, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_scene_is_shown_on_tiles(client: TestClient) -> None:
    document = client.get(f"/imagery/test/a_20210705/{WEB}/tilejson.json").json()
    tile = tile_of(14)
    address = document["tiles"][0].replace("{z}", "14").replace("{y}", str(tile.y)).replace("{x}", str(tile.x))
    shown = rgba(client.get(address).content)
    levels = {round(value * 1e-4 / 0.3 * 255) for value in (250, 2400)}  # nir alone: grey
    assert set(np.unique(shown[shown[..., 3] > 0][:, 0])) == levels
    green = rgba(client.get(f"{address}?bands=green").content)
    assert set(np.unique(green[green[..., 3] > 0][:, 0])) == {round(value * 1e-4 / 0.3 * 255) for value in (600, 1000)}
    assert client.get(f"/imagery/test/{'x' * 40}/{WEB}/tilejson.json").status_code == 404
    assert client.get(f"/imagery/nothing/a_20210705/{WEB}/tilejson.json").status_code == 404
    assert client.get(f"{address}?bands=red").status_code == 400


@pytest.mark.parametrize(
    "address", [f"/collections/{EDITION}/{WEB}", f"/editions/{EDITION}/map/{WEB}", f"/imagery/test/a_20210705/{WEB}"]
)
def test_tilejson_and_tileset_agree(client: TestClient, address: str) -> None:
    tileset, tilejson = client.get(f"{address}?f=json").json(), client.get(f"{address}/tilejson.json").json()
    assert tilejson["tilejson"] == "3.0.0"
    left, right = tileset["boundingBox"]["lowerLeft"], tileset["boundingBox"]["upperRight"]
    assert tilejson["bounds"] == [*left, *right]
    zooms = [int(each["tileMatrix"]) for each in tileset["tileMatrixSetLimits"]]
    assert (zooms[0], zooms[-1]) == (tilejson["minzoom"], tilejson["maxzoom"])
    assert morecantile.Tile(*tile_of(9)).z == 9
    limit = tileset["tileMatrixSetLimits"][9]
    assert limit["minTileRow"] <= tile_of(9).y <= limit["maxTileRow"]
    assert limit["minTileCol"] <= tile_of(9).x <= limit["maxTileCol"]
    assert all("{z}" in each and "{y}" in each and "{x}" in each for each in tilejson["tiles"])


def test_an_edition_without_probability_says_so(client: TestClient, tmp_path: Path) -> None:
    import shapely

    from editing import publish_polygons
    from talik_stac.store import open_store

    publish_polygons(
        open_store(str(tmp_path / "store")), tmp_path / "work", [shapely.box(20, 69, 20.1, 69.1)], year=2021
    )
    app = FastAPI()
    app.state.service = make_service(ApiSettings(store=str(tmp_path / "store")))
    app.include_router(tiles.router)
    problems.install(app)
    with TestClient(app) as other:
        answer = other.get(f"/editions/water-test-2021-v1/map/{WEB}")
        assert answer.status_code == 404
        assert "no probability" in answer.json()["detail"]
        assert other.get("/editions/nothing/map/tiles").status_code == 404
    assert client.get("/tileMatrixSets").json()["tileMatrixSets"][0]["id"] == "WebMercatorQuad"


@pytest.mark.usefixtures("s3_environment")
def test_a_store_in_s3_gives_the_same_tiles(client: TestClient, world: World) -> None:
    from talik_stac.store import open_store

    here, there = open_store(world.root), open_store(f"s3://talik-test/tiles of {world.folder.name}")
    for key in here.list(""):
        there.put(key, here.get(key))
    app = FastAPI()
    app.state.service = make_service(ApiSettings(store=there.root))
    app.include_router(tiles.router)
    problems.install(app)
    tile = tile_of(13)
    with TestClient(app) as other:
        for address in (
            f"/editions/{EDITION}/map/{WEB}/13/{tile.y}/{tile.x}.png",
            f"/collections/{EDITION}/{WEB}/13/{tile.y}/{tile.x}",
        ):
            answer = other.get(address)
            assert answer.status_code == 200
            assert answer.content == client.get(address).content
