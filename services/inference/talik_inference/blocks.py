"""One block of a run: read, predict, vectorise, write; done once its manifest lies in the store."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from numpy.typing import NDArray

from talik_inference.composite import composite
from talik_inference.despeckle import reader_for
from talik_inference.fragments import Part
from talik_inference.grid import Lattice, Rect
from talik_inference.model import Model, Predictor, open_predictor
from talik_inference.plan import Block, Plan
from talik_inference.predict import predict_block
from talik_inference.region import pixels_inside, touches
from talik_inference.vectorize import NO_DATA, vectorize
from talik_inference.zones import SEAM_SOURCE, Zone
from talik_stac.errors import MissingKeyError
from talik_stac.landforms import Recipe
from talik_stac.store import Store, open_store

_opening = threading.Lock()
_sessions: dict[tuple[str, int], Predictor] = {}
"""Open sessions of this process by model sha256 and threads."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker must know to map any block of a run. Picklable."""

    configuration: str
    """The hash of everything that decides the result."""
    store_root: str
    plan: Plan
    recipe: Recipe
    model: Model
    above: int
    """uint8 probability above which a pixel is landform."""
    threads: int
    """Threads of one inference."""

    @property
    def prefix(self) -> str:
        """The folder of this run's blocks in the store."""
        return f"runs/{self.configuration}/blocks"


@dataclass(frozen=True, kw_only=True)
class BlockDone:
    """The manifest of a finished block."""

    id: str
    inside_px: int
    """Pixels inside the area."""
    valid_px: int
    """Of these, with clear data."""
    polygons: int


def run_block(job: Job, block: Block) -> BlockDone:
    """Map one block and write its probability, polygons and manifest. Raises TalikError.

    The outputs are whole before the manifest appears, and the manifest appears once.
    """
    store = open_store(job.store_root)
    zone = job.plan.zones[block.zone]
    inside = pixels_inside(zone.lattice, block.core, zone.mapped)
    probability, sources = _probability(job, block, zone, inside)
    polygons = 0
    if (probability != NO_DATA).any():
        part = vectorize(
            probability,
            above=job.above,
            origin=(block.core.col, block.core.row),
            inside=inside,
            seam=_beyond(zone, block.core),
            sources=sources,
        )
        polygons = len(part.fragments)
        store.put(f"{job.prefix}/{block.id}.tif", _tif_bytes(probability, zone.lattice, block.core))
        store.put(f"{job.prefix}/{block.id}.parquet", _parquet_bytes(part.to_arrow()))
    done = BlockDone(
        id=block.id,
        inside_px=int(inside.sum()),
        valid_px=int((probability != NO_DATA).sum()),
        polygons=polygons,
    )
    store.put_if_absent(manifest_key(job, block), _manifest(job, done))
    return done


def finished(job: Job, store: Store, block: Block) -> BlockDone | None:
    """The block's manifest, None where it is absent or of another configuration."""
    try:
        manifest = json.loads(store.get(manifest_key(job, block)))
    except (MissingKeyError, json.JSONDecodeError):
        return None
    if manifest.pop("configuration", None) != job.configuration:
        return None
    return BlockDone(**manifest)


def manifest_key(job: Job, block: Block) -> str:
    """Where the block's manifest lies."""
    return f"{job.prefix}/{block.id}.json"


def read_part(job: Job, store: Store, block: Block) -> Part:
    """Read the polygons of a finished block."""
    data = store.get(f"{job.prefix}/{block.id}.parquet")
    return Part.from_arrow(pq.read_table(pa.BufferReader(data)))


def _probability(
    job: Job, block: Block, zone: Zone, inside: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.uint64] | np.uint64]:
    """Read the season and run the model: uint8 (y, x) of the block, 255 where not valid or outside, and sources."""
    windows, card = job.plan.windows, job.model.card
    probability = np.full(block.core.shape, NO_DATA, np.uint8)
    if not inside.any():
        return probability, np.uint64(0)
    core = _needed(block.core, inside, windows.core_px)
    here, outer = core.within(block.core), core.expand(windows.halo_px)
    seen = composite(
        reader_for(job.recipe),
        [(zone.scenes[i], zone.bits[i]) for i in block.scenes],
        list(card.bands),
        zone.lattice,
        outer,
        job.recipe.composite,
    )
    predictor = _predictor(job.model, job.threads)
    probability[here] = predict_block(predictor, card, windows, seen.data, seen.valid, inside[here], core)
    sources = read = seen.sources
    if isinstance(read, np.ndarray):
        sources = np.zeros(block.core.shape, np.uint64)
        sources[here] = read[core.within(outer)]
    if zone.seam is not None and touches(zone.lattice, block.core, zone.seam):
        on_seam = pixels_inside(zone.lattice, block.core, zone.seam)
        sources = np.where(on_seam, sources | SEAM_SOURCE, sources)
    return probability, sources


def _needed(block: Rect, inside: NDArray[np.bool_], core_px: int) -> Rect:
    """The smallest rectangle of whole window cores that holds all pixels of a block inside the area (there are some).

    What lies beyond is not read: of a small area in a large block that is most of it.
    """
    rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return Rect(
        col=block.col + int(cols[0]) // core_px * core_px,
        row=block.row + int(rows[0]) // core_px * core_px,
        col_end=min(block.col_end, block.col + (int(cols[-1]) // core_px + 1) * core_px),
        row_end=min(block.row_end, block.row + (int(rows[-1]) // core_px + 1) * core_px),
    )


def _beyond(zone: Zone, rect: Rect) -> NDArray[np.bool_] | None:
    if zone.beyond is None or zone.beyond.is_empty:
        return None
    return pixels_inside(zone.lattice, rect, zone.beyond)


def _predictor(model: Model, threads: int) -> Predictor:
    """The process's session for a model, opened once."""
    with _opening:
        key = (model.card.sha256, threads)
        if key not in _sessions:
            _sessions[key] = open_predictor(model, threads=threads)
        return _sessions[key]


def _manifest(job: Job, done: BlockDone) -> bytes:
    return json.dumps({"configuration": job.configuration, **done.__dict__}, sort_keys=True).encode()


def _tif_bytes(probability: NDArray[np.uint8], lattice: Lattice, core: Rect) -> bytes:
    """Write uint8 (y, x) as a tiled GeoTIFF: read back once, so light compression."""
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "height": core.height,
        "width": core.width,
        "crs": lattice.crs,
        "transform": lattice.geobox(core).affine,
        "nodata": NO_DATA,
        "compress": "deflate",
        "zlevel": 1,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
    }
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as target:
            target.write(probability, 1)
        return bytes(memory.read())


def _parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())
