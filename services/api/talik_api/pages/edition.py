"""The page of an edition: what a data centre calls its landing page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from talik_api.metadata import METADATA, Record, embedded
from talik_api.pages.chips import has_pictures
from talik_api.pages.glance import is_simulated, read_run, sketches_of
from talik_api.pages.home import MADE, before, downloads_of, record_for
from talik_api.pages.render import part, render, season
from talik_api.pages.world import Spot, world_map
from talik_api.service import Service
from talik_api.stac.names import editions_id
from talik_stac.editions import Edition

_FILES_LISTED = 200
_SKETCH_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Chip:
    """A picture of an object."""

    object_id: str
    href: str
    src: str


def edition_page(service: Service, request: Request, edition: Edition) -> Response:
    """Files with sizes and checksums, citation, metadata, limits, a map, pictures of some objects."""
    base = service.base_url(request)
    run = read_run(service, edition)
    record = record_for(service, base, edition, run)
    sketch = sketches_of(service, request, [edition], timeout_s=_SKETCH_S).get(edition.id)
    area = [e for e in service.shelf.all() if (e.landform, e.area) == (edition.landform, edition.area)]
    with_pictures = sketch is not None and has_pictures(service, request, edition)
    return render(
        service,
        request,
        "edition.html",
        edition=edition,
        record=record,
        run=run,
        simulated=is_simulated(edition, run),
        season=season(edition.season_start, edition.season_end),
        others=[(e, season(e.season_start, e.season_end)) for e in reversed(area) if e.id != edition.id],
        compared=before(edition, area),
        files=record.files[:_FILES_LISTED],
        made=[each for each in downloads_of(base, edition) if each.size_bytes is None],
        formats=len(MADE),
        metadata=METADATA,
        stac_item=f"{base}/stac/collections/{part(editions_id(edition.landform))}/items/{part(edition.id)}",
        citation=METADATA["citation"].write(record).decode().strip(),
        bibtex=METADATA["bibtex"].write(record).decode().strip(),
        # The text is made safe for inside <script>; a JSON-LD block is data, which a policy for scripts lets stand.
        linked=Markup(embedded(METADATA["schema.org"].write(record))),
        world=world_map([Spot(title=record.title, href="#files", geometry=edition.item["geometry"])]),
        sketch=sketch,
        chips=_chips(base, edition, sketch.largest) if sketch is not None and with_pictures else [],
        file_name=_file_name,
        record_title=_title(record, simulated=is_simulated(edition, run)),
    )


def _chips(base: str, edition: Edition, ids: tuple[str, ...]) -> list[Chip]:
    here = f"{base}/collections/{part(edition.id)}/items"
    return [Chip(object_id=name, href=f"{here}/{part(name)}", src=f"{here}/{part(name)}/chip.png") for name in ids]


def _title(record: Record, *, simulated: bool) -> str:
    return f"Simulated: {record.title}" if simulated else record.title


def _file_name(name: str) -> str:
    return PurePosixPath(name).name
