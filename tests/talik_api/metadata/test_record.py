"""The record: what an edition, its run and its publisher say, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import shapely

from editing import publish_polygons
from talik_api.metadata import METADATA, Creator, Publisher, Record, embedded, record_of
from talik_api.metadata.record import licence_of
from talik_stac.editions import Edition
from talik_stac.errors import EditionError
from talik_stac.inventory import INVENTORY_SCHEMA
from talik_stac.store import open_store


def test_the_record_says_what_the_edition_says(record: Record, edition: Edition) -> None:
    assert record.identifier == edition.id == "water-test-2021-v2"
    assert record.url == "https://talik.example/editions/water-test-2021-v2"
    assert (record.object_count, record.area_m2) == (edition.count, edition.area_m2)
    assert (str(record.start), str(record.end)) == ("2021-06-01", "2021-09-30")
    assert record.bbox == (0, 0, 1, 1)
    assert record.published == datetime.fromisoformat(edition.item["properties"]["created"]).astimezone(UTC).date()
    assert record.doi == "10.12345/water-test-2021-v2"
    assert record.predecessor is not None
    assert record.predecessor.id == "water-test-2021-v1"
    assert record.predecessor.doi == "10.12345/water-test-2021-v1"
    assert record.ids_from is not None
    assert record.ids_from.id == "water-test-2020-v1"


def test_the_lineage_names_model_scenes_and_software(record: Record) -> None:
    for said in ("ndwi@1", "ab" * 32, "2021-07-01 to 2021-08-01", "scene-a", "naip", "talik 0.1.0", "Python 3.11.7"):
        assert said in record.lineage


def test_many_scenes_are_counted_and_the_first_named(edition: Edition) -> None:
    scenes = [{"id": f"scene-{number}", "datetime": "2021-07-01T00:00:00Z"} for number in range(500)]
    record = record_of(edition, {"scenes": scenes}, base_url="https://x.example", publisher=Publisher(name="Us"))
    assert "500, taken" in record.lineage
    assert "and 480 more" in record.lineage
    assert "scene-20" not in record.lineage


def test_sizes_and_sums_of_files_are_those_of_their_bytes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    edition = publish_polygons(store, tmp_path / "a", [shapely.box(0, 0, 1, 1)], year=2021)
    files = record_of(edition, {}, base_url="https://x.example/", publisher=Publisher(name="Us")).files
    assert {file.name for file in files} == {"inventory.parquet", "inventory.fgb", "observed.parquet", "run.json"}
    for file in files:
        data = store.get(f"{edition.prefix}/{file.name}")
        assert (file.size_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert file.url == f"https://x.example/editions/{edition.id}/files/{file.name}"


def test_columns_are_those_of_the_inventory_with_their_units(record: Record) -> None:
    assert [column.name for column in record.columns] == [*INVENTORY_SCHEMA.names, "bbox"]
    units = {column.name: column.unit for column in record.columns}
    assert (units["area_m2"], units["perimeter_m"], units["lon"], units["pixels"]) == ("m2", "m", "degree", None)


def test_what_is_unknown_stays_unknown(bare: Record) -> None:
    nothing = (bare.published, bare.doi, bare.predecessor, bare.ids_from, bare.licence.spdx, bare.licence.url)
    assert nothing == (None,) * 6
    file = bare.files[0]
    assert (file.media_type, file.size_bytes, file.sha256) == (None, None, None)
    assert "Scenes" not in bare.lineage
    assert [creator.name for creator in bare.creators] == ["Us"]


def test_the_bbox_goes_over_the_antimeridian_and_not_round_the_globe(across: Record) -> None:
    assert across.bbox == (177, 65, -175.5, 68)
    assert across.boxes == ((177, 65, 180, 68), (-180, 65, -175.5, 68))


def test_the_edition_before_is_told_once(edition: Edition) -> None:
    run = {"previous_edition": "water-test-2021-v1"}  # the version before also gave the ids
    record = record_of(edition, run, base_url="https://x.example", publisher=Publisher(name="Us"))
    assert record.predecessor is not None
    assert record.ids_from is None


@pytest.mark.parametrize(("name", "spdx"), [("CC0-1.0", "CC0-1.0"), ("MIT", "MIT"), ("proprietary", None)])
def test_a_licence_has_a_page_where_it_has_an_spdx_id(name: str, spdx: str | None) -> None:
    licence = licence_of(name)
    assert licence.spdx == spdx
    assert (licence.url is None) == (spdx is None)


def test_names_that_are_none_are_refused() -> None:
    with pytest.raises(EditionError, match="no ORCID"):
        Creator(name="A", orcid="https://orcid.org/0000-0002-1825-0097")
    with pytest.raises(EditionError, match="no name"):
        Creator(name="")
    with pytest.raises(EditionError, match="no DOI prefix"):
        Publisher(name="A", doi_prefix="10.1234/")
    with pytest.raises(EditionError, match="no name"):
        Publisher(name=" ")


def test_embedded_json_says_the_same_and_ends_no_script(record: Record) -> None:
    evil = replace(record, title="</script><!--<script>&amp;\u2028")
    data = METADATA["schema.org"].write(evil)
    text = embedded(data)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == json.loads(data)
