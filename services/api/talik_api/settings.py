"""What an operator sets for the service, read once from TALIK_* and handed down."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_settings import NoDecode

from talik_api.metadata.record import Creator, Publisher
from talik_stac.settings import Settings


class Jwt(BaseModel):
    """Tokens of an issuer that this service trusts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    audience: str
    jwks_url: str | None = None
    """https address of the issuer's keys; its host must be the issuer's own."""
    public_key: str | None = None
    """PEM, where there is no address."""


class ApiSettings(Settings):
    """The settings of `talik serve` and of the Lambda; structured values are JSON."""

    title: str = "Talik"
    base_url: str | None = None
    """TALIK_BASE_URL: the address that clients see, such as https://talik.example/v1; None: taken from the request."""
    publisher: Publisher = Publisher(name="Talik")
    """TALIK_PUBLISHER: {"name": ..., "url": ..., "creators": [{"name": "Doe, Jane", "orcid": ...}], "doi_prefix": ...},
    named in citations and in every metadata standard."""
    api_keys: dict[str, str] = Field(default_factory=dict, repr=False)
    """TALIK_API_KEYS: {"name": "sha256:..."}, made by `talik key new`."""
    jwt: Jwt | None = None
    """TALIK_JWT: tokens of this issuer are keys too."""
    km2_per_day: float = Field(default=100_000.0, gt=0, allow_inf_nan=False)
    """TALIK_KM2_PER_DAY: area that one key may have mapped in a UTC day."""
    running_jobs: int = Field(default=5, ge=1)
    """TALIK_RUNNING_JOBS: unfinished jobs that one key may have."""
    catalogue_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """TALIK_CATALOGUE_HOSTS: hosts of STAC APIs and imagery that jobs and chips may read, comma-separated. Other hosts
    are refused. 'http://127.0.0.1:8000' allows one plain or private address by name."""
    imagery_roots: Annotated[tuple[str, ...], NoDecode] = ()
    """TALIK_IMAGERY_ROOTS: folders and s3:// buckets, beside the store, whose indexed imagery chips and tiles read."""
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ("*",)
    """TALIK_CORS_ORIGINS: origins whose pages may read; credentials are never shared."""
    local_jobs: int = Field(default=1, ge=0)
    """TALIK_LOCAL_JOBS: jobs that this server runs at once; 0: none, and `map-landform` is not offered."""
    lambda_inline_bytes: int = Field(default=5_000_000, ge=10_000, le=6_000_000)
    """TALIK_LAMBDA_INLINE_BYTES: on Lambda a larger answer becomes a stored export and a redirect."""
    max_body_bytes: int = Field(default=5_000_000, ge=1_000)
    """TALIK_MAX_BODY_BYTES: larger requests are refused."""
    presigned_seconds: int = Field(default=3600, ge=60, le=604_800)
    """TALIK_PRESIGNED_SECONDS: how long a redirect to a file in S3 is good for."""

    @field_validator("publisher", mode="before")
    @classmethod
    def _known_members(cls, value: Any) -> Any:
        """Refuse members that a dataclass would silently leave out, such as a misspelt one."""
        if isinstance(value, dict):
            creators = value.get("creators", ())
            _refuse_unknown(value, Publisher)
            for creator in creators if isinstance(creators, list | tuple) else ():
                _refuse_unknown(creator, Creator)
        return value

    @field_validator("catalogue_hosts", "imagery_roots", "cors_origins", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Read a comma-separated list."""
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value


def _refuse_unknown(given: Any, kind: type) -> None:
    known = {field.name for field in fields(kind)}
    if unknown := set(given if isinstance(given, dict) else ()) - known:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; expected {', '.join(sorted(known))}")
