"""Models: an ONNX file with its card, and the ONNX Runtime session that answers for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from talik_stac.errors import MissingKeyError, ModelError
from talik_stac.store import Store


class Scaling(BaseModel):
    """How reflectance becomes what the model was trained on: (reflectance - mean) / std, per band."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)


class Score(BaseModel):
    """One measured figure, its 95 % interval over places, and the command that measured it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    metric: str
    """Such as "pixel IoU"; metres where it says so."""
    value: float
    low: float | None = None
    high: float | None = None
    """None where the places are too few for an interval."""
    data: str
    """What it was measured on, none of which the model learned from."""
    places: int | None = Field(default=None, ge=1)
    """How many, of which the interval speaks."""
    command: str
    of: str = ""
    """name@version of the model measured; left out where it is the card's own."""

    def __str__(self) -> str:
        """Such as 0.812 (0.790 to 0.833)."""
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


class Source(BaseModel):
    """One data set that a model learned from or was tested on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    licence: str
    citation: str = ""
    samples: int | None = Field(default=None, ge=0)
    places: int | None = Field(default=None, ge=0)
    dates: str = ""
    """When the images were taken, such as "2009 to 2020"."""


class PartCount(BaseModel):
    """How much of the data is in one part of the split."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    places: int = Field(ge=0)
    samples: int = Field(ge=0)
    with_landform: int = Field(ge=0)
    """Samples in which there is any."""


class Calibrated(BaseModel):
    """What the graph does to its logit, probability = sigmoid(slope x logit + shift), and how well it then holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    slope: float
    shift: float
    expected_calibration_error: float | None = Field(default=None, ge=0, le=1)
    """Over ten equal bins (Guo et al. 2017), on the part that the scores of training are of."""


Precision = Literal["float32", "float16", "int8"]


class ModelCard(BaseModel):
    """What a model needs and what it was measured to do; card.json beside model.onnx.

    The ONNX graph takes float32 (1, band, y, x), bands in the card's order, and gives float32
    (1, 1, y, x) probabilities 0..1. Fields with a default came later: cards without them are read as ever.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    version: str = Field(pattern=r"^[0-9][0-9A-Za-z.-]*$")
    title: str
    landform: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of model.onnx."""
    bands: dict[str, Scaling] = Field(min_length=1)
    """By common name, in the order of the model's input."""
    resolution_min_m: float = Field(gt=0)
    resolution_max_m: float = Field(gt=0)
    """Pixel sizes that the model is meant for."""
    core_px: int = Field(gt=0)
    """Side of the kept part of a window."""
    halo_px: int = Field(ge=0)
    """Context on each side of the core."""
    threshold: float = Field(ge=0, le=1)
    """A pixel is landform where its probability is above this."""
    licence: str
    training_data: str
    """In a sentence; `sources` has the parts."""
    scores: tuple[Score, ...] = ()
    limits: str
    """What it must not be used for."""
    baseline: tuple[Score, ...] = ()
    """Other models on the same data, each naming its model."""
    sources: tuple[Source, ...] = ()
    split: dict[str, PartCount] = Field(default_factory=dict)
    """By part: train, validation, test. No place is in two."""
    calibration: Calibrated | None = None
    """None where the answer is an index and not a probability, or nothing is known of it."""
    architecture: str = ""
    encoder: str = ""
    """What its weights started from."""
    precision: Precision = "float32"
    """How the weights are stored."""
    command: str = ""
    """What makes the model again from the data."""
    seconds: float | None = Field(default=None, ge=0)
    device: str = ""
    """How long training took, and on what."""
    made: date | None = None

    @property
    def reference(self) -> str:
        """name@version."""
        return f"{self.name}@{self.version}"

    @property
    def deciding(self) -> dict[str, Any]:
        """All of the card that decides the bytes of an edition, as JSON; the rest describes, and may be corrected."""
        return {
            "reference": self.reference,
            "landform": self.landform,  # it names the band of the tiles
            "sha256": self.sha256,
            "bands": [[name, scaling.mean, scaling.std] for name, scaling in self.bands.items()],
            "core_px": self.core_px,
            "halo_px": self.halo_px,
            "threshold": self.threshold,
        }

    def check_resolution(self, pixel_m: float) -> None:
        """Refuse imagery of other pixel sizes than the model is meant for. Raises ModelError."""
        if not 0.999 * self.resolution_min_m <= pixel_m <= 1.001 * self.resolution_max_m:
            raise ModelError(
                f"model {self.reference} is meant for pixels of {self.resolution_min_m:g} to "
                f"{self.resolution_max_m:g} m, the grid has {pixel_m:g} m; give --resolution or another model"
            )


@dataclass(frozen=True, kw_only=True)
class Model:
    """A card and the bytes it vouches for. Picklable; a session is opened where it is used."""

    card: ModelCard
    onnx: bytes

    def __post_init__(self) -> None:
        found = hashlib.sha256(self.onnx).hexdigest()
        if found != self.card.sha256:
            raise ModelError(
                f"model {self.card.reference}: model.onnx has sha256 {found}, its card says "
                f"{self.card.sha256}; fetch the model again or correct the card"
            )


class Predictor(Protocol):
    """The seam where a model answers."""

    def __call__(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (band, y, x), scaled -> float32 (y, x) probability 0..1."""


def load_model(reference: str, store: Store) -> Model:
    """Find a model: a folder with model.onnx and card.json, or name@version shipped with Talik or in the store.

    Raises ModelError where it is missing, its card is malformed or its sha256 does not match.
    """
    folder = Path(reference)
    if "@" not in reference and folder.is_dir():
        return _model(reference, _read_bytes(folder / "card.json"), _read_bytes(folder / "model.onnx"))
    name, at, version = reference.partition("@")
    if not at:
        raise ModelError(f"model '{reference}' is neither a folder nor name@version such as ndwi@1")
    shipped = resources.files("talik_inference") / "models" / name / version
    if (shipped / "card.json").is_file():
        return _model(reference, (shipped / "card.json").read_bytes(), (shipped / "model.onnx").read_bytes())
    key = f"models/{name}/{version}"
    try:
        return _model(reference, store.get(f"{key}/card.json"), store.get(f"{key}/model.onnx"))
    except MissingKeyError as error:
        raise ModelError(
            f"model '{reference}' is not shipped with Talik and not in {store.url(key)}; "
            "put model.onnx and card.json there, or give a folder"
        ) from error


def read_card(reference: str, card: bytes) -> ModelCard:
    """Parse a card.json. Raises ModelError, naming the reference and what is wrong."""
    try:
        return ModelCard.model_validate_json(card)
    except ValidationError as error:
        first = json.loads(error.json(include_url=False))[0]
        where = ".".join(str(part) for part in first["loc"]) or "card.json"
        raise ModelError(f"model '{reference}': card.json, {where}: {first['msg']}") from error


def keep_model(model: Model, store: Store) -> None:
    """Put the model into the store, so that an edition can be made again from the store alone.

    A card that is there and decides the same stays, whatever it describes otherwise: an earlier Talik may have
    written it. Raises ModelError where it is of another model.
    """
    key = f"models/{model.card.name}/{model.card.version}"
    card = model.card.model_dump_json(indent=1).encode()
    if not store.put_if_absent(f"{key}/card.json", card):
        kept = read_card(store.url(f"{key}/card.json"), store.get(f"{key}/card.json"))
        if kept.deciding != model.card.deciding:
            raise ModelError(
                f"{store.url(key)} already holds another model {model.card.reference}; raise the version in the card"
            )
    store.put_if_absent(f"{key}/model.onnx", model.onnx)


def open_predictor(model: Model, *, threads: int) -> Predictor:
    """Open an ONNX Runtime session; GPU where onnxruntime-gpu offers one. Raises ModelError."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # The arena keeps the peak of every window shape: 40 % more memory and no speed (docs/benchmarks.md).
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in ort.get_available_providers()]
    try:
        session = ort.InferenceSession(model.onnx, options, providers=providers)
    except Exception as error:  # onnxruntime raises its own classes without a public base
        raise ModelError(f"model {model.card.reference}: ONNX Runtime cannot load it: {error}") from error
    return _OnnxPredictor(session=session, card=model.card)


class _OnnxPredictor:
    """One session; safe to call from several threads."""

    def __init__(self, *, session: Any, card: ModelCard) -> None:
        self._session = session
        self._card = card
        self._input = session.get_inputs()[0].name
        bands = session.get_inputs()[0].shape[1]
        if isinstance(bands, int) and bands != len(card.bands):
            raise ModelError(
                f"model {card.reference} takes {bands} bands but its card names {len(card.bands)}: "
                f"{', '.join(card.bands)}"
            )

    def __call__(self, window: NDArray[np.float32]) -> NDArray[np.float32]:
        (answer,) = self._session.run(None, {self._input: window[np.newaxis]})
        if answer.shape != (1, 1, *window.shape[1:]):
            raise ModelError(
                f"model {self._card.reference} answered shape {answer.shape} to a window of {window.shape}; "
                "expected (1, 1, y, x)"
            )
        probability: NDArray[np.float32] = answer[0, 0]  # (1, 1, y, x) -> (y, x)
        return probability


def _model(reference: str, card: bytes, onnx: bytes) -> Model:
    return Model(card=read_card(reference, card), onnx=onnx)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror}; a model folder holds model.onnx and card.json"
        ) from error
