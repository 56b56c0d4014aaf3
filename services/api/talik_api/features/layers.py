"""The collections of features: one for each landform, one for each edition."""

from __future__ import annotations

from dataclasses import dataclass

from talik_api.problems import Problem
from talik_stac.editions import Edition
from talik_stac.inventory import ATTRIBUTES


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A collection of features."""

    id: str
    title: str
    description: str
    editions: tuple[Edition, ...]
    """Where its features lie, in the order in which they are listed."""
    qualified: bool
    """Feature ids are '<edition>:<object>', since an object keeps its id from edition to edition."""

    @property
    def attributes(self) -> tuple[str, ...]:
        """Columns that some of the editions have beyond those of all, in the order of the table."""
        held = {name for edition in self.editions for name in edition.attributes}
        return tuple(name for name in ATTRIBUTES.names if name in held)

    def feature_id(self, edition: Edition, object_id: str) -> str:
        """The id of an object in this collection."""
        return f"{edition.id}:{object_id}" if self.qualified else object_id


def layers(editions: list[Edition]) -> list[Layer]:
    """All collections: landforms first."""
    landforms = sorted({edition.landform for edition in editions})
    return [_landform(name, editions) for name in landforms] + [_edition(edition) for edition in editions]


def find_layer(editions: list[Edition], name: str, found: Edition | None, *, at: str | None = None) -> Layer:
    """The collection of that id as it was at a moment; `found` is the edition of that id. Raises Problem 404."""
    if at is not None:
        editions = [edition for edition in editions if _created(edition) <= at]
    if any(edition.landform == name for edition in editions):
        return _landform(name, editions)
    if found is not None:
        return _edition(found)
    known = [*sorted({e.landform for e in editions}), *(e.id for e in editions)]
    said = f"there is: {', '.join(known[:5])}" + (" and others, see /collections" if len(known) > 5 else "")
    raise Problem(404, "Not found", f"there is no collection '{name[:100]}'; {said if known else 'the store is empty'}")


def newest(editions: list[Edition]) -> list[Edition]:
    """The last version of each area and season, by area and season.

    The order does not depend on versions.
    """
    last: dict[tuple[str, str, str], Edition] = {}
    for edition in editions:
        place = (edition.landform, edition.area, group_of(edition))
        if place not in last or last[place].version < edition.version:
            last[place] = edition
    return [last[place] for place in sorted(last)]


def last_published(layer: Layer) -> str:
    """When the newest of a collection's editions was published: what is published later is newer than a page of now."""
    return max((_created(edition) for edition in layer.editions), default="")


def group_of(edition: Edition) -> str:
    """Season first and last day: what versions of one inventory share."""
    return f"{edition.season_start.isoformat()}/{edition.season_end.isoformat()}"


def _created(edition: Edition) -> str:
    return str(edition.item["properties"].get("created", ""))


def _landform(name: str, editions: list[Edition]) -> Layer:
    return Layer(
        id=name,
        title=f"{name.replace('_', ' ').capitalize()}, all areas and seasons",
        description=f"Every mapped object of {name.replace('_', ' ')}: the last version of the inventory of each area "
        "and season.",
        editions=tuple(newest([edition for edition in editions if edition.landform == name])),
        qualified=True,
    )


def _edition(edition: Edition) -> Layer:
    title = str(edition.item["properties"].get("title") or edition.id)
    return Layer(
        id=edition.id,
        title=title,
        description=f"{edition.count} objects of {edition.landform.replace('_', ' ')}, mapped by "
        f"{edition.item['properties'].get('talik:model', 'an unknown model')}.",
        editions=(edition,),
        qualified=False,
    )
