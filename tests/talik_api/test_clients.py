"""The clients that people use, untouched, against the service on a real port."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import geopandas
import pyogrio
import pytest
import shapely
from openapi_spec_validator import validate as validate_openapi
from owslib.ogcapi.features import Features
from owslib.ogcapi.processes import Processes

from serving import serving_process

EDITION = "water-test-2020-v1"


@pytest.fixture(scope="module")
def address(lakes_root: str) -> Iterator[str]:
    """The service's address."""
    with serving_process(lakes_root) as url:
        yield url


def inside(lakes: geopandas.GeoDataFrame, box: tuple[float, float, float, float]) -> set[str]:
    return set(lakes["id"][shapely.intersects(shapely.box(*box), lakes.geometry.to_numpy())])


def test_gdal_reads_all_pages_as_an_oapif_layer(address: str, lakes: geopandas.GeoDataFrame) -> None:
    frame = pyogrio.read_dataframe(f"OAPIF:{address}", layer=EDITION)
    assert len(frame) == len(lakes)
    assert frame["area_m2"].sum() == pytest.approx(lakes["area_m2"].sum())
    assert "CRS84" in str(frame.crs)


def test_gdal_hands_bbox_and_filter_to_the_service(address: str, lakes: geopandas.GeoDataFrame) -> None:
    box = (0.0, 55.0, 10.0, 60.0)
    frame = pyogrio.read_dataframe(f"OAPIF:{address}", layer=EDITION, bbox=box, where="area_m2 > 1000000")
    large = set(lakes["id"][lakes["area_m2"] > 1e6])
    assert len(frame) == len(inside(lakes, box) & large) > 100


@pytest.mark.skipif(shutil.which("ogrinfo") is None, reason="gdal-bin is not installed (apt-get install gdal-bin)")
def test_debians_ogrinfo_and_ogr2ogr_read_the_collection(address: str, tmp_path: Path) -> None:
    said = subprocess.run(
        ["ogrinfo", "-ro", "-so", f"OAPIF:{address}", EDITION], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "Feature Count: 12005" in said
    assert "area_m2: Real" in said
    out = tmp_path / "a.gpkg"
    subprocess.run(
        ["ogr2ogr", "-spat", "0", "55", "10", "60", str(out), f"OAPIF:{address}", EDITION],
        check=True, timeout=120, capture_output=True,
    )  # fmt: skip
    assert len(pyogrio.read_dataframe(out)) > 100


def test_owslib_reads_the_features(address: str, lakes: geopandas.GeoDataFrame) -> None:
    service = Features(f"{address}/")
    assert service.links
    assert "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core" in service.conformance()["conformsTo"]
    assert set(service.feature_collections()) == {"water", "water-test-2020-v1", "water-test-2021-v1"}
    assert service.collection(EDITION)["extent"]["temporal"]["interval"]
    assert "area_m2" in service.collection_queryables(EDITION)["properties"]
    page = service.collection_items(EDITION, bbox=[0, 55, 10, 60], limit=5000, filter="area_m2 > 1000000")
    expected = inside(lakes, (0, 55, 10, 60)) & set(lakes["id"][lakes["area_m2"] > 1e6])
    assert {feature["id"] for feature in page["features"]} == expected
    name = page["features"][0]["id"]
    assert service.collection_item(EDITION, name)["id"] == name
    assert service.api()["openapi"] == "3.0.3"


def test_owslib_runs_a_process(address: str, lakes: geopandas.GeoDataFrame) -> None:
    service = Processes(f"{address}/")
    assert [each["id"] for each in service.processes()] == ["summarise", "compare"]
    assert "collection" in service.process("summarise")["inputs"]
    found = service.execute("summarise", {"collection": EDITION, "area": [0, 55, 10, 60]})
    assert found["summary"]["count"] == len(inside(lakes, (0, 55, 10, 60)))


def test_the_description_is_valid_openapi_3_0(address: str) -> None:
    with urllib.request.urlopen(f"{address}/api") as answer:
        document = json.load(answer)
        assert answer.headers["content-type"] == "application/vnd.oai.openapi+json;version=3.0"
    validate_openapi(document)
    assert document["openapi"] == "3.0.3"


QGIS = shutil.which("qgis") is not None or Path("/usr/lib/python3/dist-packages/qgis").exists()


@pytest.mark.skipif(not QGIS, reason="QGIS is not installed (apt-get install python3-qgis)")
def test_qgis_shows_the_collection_as_a_layer(address: str, lakes: geopandas.GeoDataFrame, tmp_path: Path) -> None:
    script = tmp_path / "layer.py"
    script.write_text(
        f"""
from qgis.core import QgsApplication, QgsFeatureRequest, QgsRectangle, QgsVectorLayer
app = QgsApplication([], False)
app.initQgis()
uri = "typename='{EDITION}' url='{address}' version='OGC_API_FEATURES' restrictToRequestBBOX='1' pagingEnabled='true'"
layer = QgsVectorLayer(uri, "lakes", "OAPIF")
assert layer.isValid(), layer.error().summary()
request = QgsFeatureRequest().setFilterRect(QgsRectangle(0, 55, 10, 60))
features = list(layer.getFeatures(request))
print("FOUND", len(features), sorted(f.name() for f in layer.fields())[:2], layer.crs().authid())
"""
    )
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    env.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["/usr/bin/python3", str(script)], capture_output=True, text=True, timeout=180, check=False, env=env
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert found, done.stderr[-2000:]
    assert int(found[0].split()[1]) == len(inside(lakes, (0, 55, 10, 60))) > 100
    assert "OGC:CRS84" in found[0] or "EPSG:4326" in found[0]


def test_geopandas_reads_a_download_by_its_address(address: str, lakes: geopandas.GeoDataFrame) -> None:
    frame = geopandas.read_file(f"{address}/collections/{EDITION}/items?bbox=0,55,10,60&limit=5000&f=geojson")
    assert len(frame) == len(inside(lakes, (0, 55, 10, 60)))


def test_the_service_imports_nothing_that_maps() -> None:
    code = (
        "import sys, talik_api.app; print([m for m in ('torch','onnxruntime','dask','rasterio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
