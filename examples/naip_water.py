"""Water on ten dates of real aerial imagery by the learned model and by NDWI: a table and a picture.

    python examples/naip_water.py ../shared/data/timeseries_naip_landsat/naip --out naip-water

Each date is mapped twice by the main path (`talik map`), once with each model. There is no hand-drawn truth. What both
are compared with is what is darkest in the near infrared by a threshold of each date's own (Otsu 1979): a reference,
not a truth. Only the east half of the images counts: the west half helped to train the model.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import geopandas
import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from talik_inference.executors import executor
from talik_inference.indexing import IndexOptions, index_files
from talik_inference.picture import Panel, draw
from talik_inference.pipeline import MapRequest, map_landform
from talik_inference.search import Imagery
from talik_inference.season import parse_season
from talik_inference.sidecar import Said
from talik_stac.areas import area_of_collection
from talik_stac.editions import Edition
from talik_stac.landforms import recipe_for
from talik_stac.store import Store, open_store
from talik_training.sources.otsu_ndwi import otsu

MODELS = ("ndwi@1", "water@1")
SHOWN = ("2014", "2017")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One date and model, over the east half."""

    date: str
    model: str
    objects: int
    area_km2: float
    iou: float
    """With the reference."""


def main() -> None:
    """Map, measure, draw."""
    given = _arguments()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        index_files(store, [given.folder], IndexOptions(collection="naip", said=Said(bands=("R", "G", "B", "NIR"))))
        rows, panels = [], []
        for path in sorted(given.folder.glob("*.tif")):
            date = re.sub(r".*_(\d{4})(\d\d)(\d\d)$", r"\1-\2-\3", path.stem)
            for model in MODELS:
                outlines = _mapped(store, date, model, given.workers)
                rows.append(_row(path, date, model, outlines))
                if date[:4] in SHOWN:
                    panels.append(_panel(path, rows[-1], outlines))
    text = _table(rows)
    (given.out / "naip-water.md").write_text(text)
    draw(given.out / "naip-water.png", panels, caption="NAIP (public domain), Cottonwood Lake, North Dakota; NIR, R, G")
    print(text)


def _mapped(store: Store, date: str, model: str, workers: int) -> geopandas.GeoDataFrame:
    recipe = recipe_for("water").model_copy(update={"model": model, "resolution_m": None})
    request = MapRequest(
        store_root=store.root,
        aoi=area_of_collection(store, "naip", name=f"naip-{model.split('@', maxsplit=1)[0]}"),
        recipe=recipe,
        season=parse_season(f"{date}/{date}", recipe),
        imagery=Imagery(collection="naip", catalog=None),
        executor=executor("threads", workers=workers),
    )
    edition: Edition = map_landform(request).edition
    return geopandas.read_parquet(Path(store.root) / edition.prefix / "inventory.parquet")


def _row(path: Path, date: str, model: str, outlines: geopandas.GeoDataFrame) -> Row:
    with rasterio.open(path) as source:
        green, nir = (source.read(band).astype(np.float32) for band in (2, 4))
        grid = GeoBox(source.shape, source.transform, source.crs)
    east = np.zeros(green.shape, bool)
    east[:, green.shape[1] // 2 :] = True
    east &= (green > 0) | (nir > 0)
    reference = (nir < otsu(nir[(green > 0) | (nir > 0)])) & east
    found = _burnt(outlines, grid) & east
    pixel_km2 = abs(grid.resolution.x * grid.resolution.y) / 1e6
    inside = (
        outlines.to_crs(str(grid.crs)).representative_point().x
        > grid.boundingbox.left + (grid.boundingbox.right - grid.boundingbox.left) / 2
    )
    return Row(
        date=date,
        model=model,
        objects=int(inside.sum()),
        area_km2=float(found.sum()) * pixel_km2,
        iou=float((found & reference).sum() / max((found | reference).sum(), 1)),
    )


def _burnt(outlines: geopandas.GeoDataFrame, grid: GeoBox) -> NDArray[np.bool_]:
    shapes = [(shape, 1) for shape in outlines.to_crs(str(grid.crs)).geometry]
    if not shapes:
        return np.zeros(grid.shape, bool)
    return np.asarray(rasterize(shapes, out_shape=tuple(grid.shape), transform=grid.affine, dtype=np.uint8) == 1)


def _panel(path: Path, row: Row, outlines: geopandas.GeoDataFrame) -> Panel:
    with rasterio.open(path) as source:
        shown = source.read((4, 1, 2)).astype(np.float32) / 255 * 0.35
        grid = GeoBox(source.shape, source.transform, source.crs)
    title = f"{row.date}, {row.model}: {row.area_km2:.2f} km2"
    return Panel(title=title, reflectance=shown, grid=grid, outlines=outlines)


def _table(rows: list[Row]) -> str:
    lines = [
        "| date | NDWI > 0: objects | km2 | IoU with reference | U-Net: objects | km2 | IoU with reference |",
        "|---|---|---|---|---|---|---|",
    ]
    for index, learned in zip(rows[::2], rows[1::2], strict=True):
        cells = [f"{r.objects} | {r.area_km2:.2f} | {r.iou:.2f}" for r in (index, learned)]
        lines.append(f"| {index.date} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder naip of the development data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
