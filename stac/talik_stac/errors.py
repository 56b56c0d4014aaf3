"""The errors of Talik, one tree.

TalikError                     anything Talik says in one clear line; the command exits with 2
├── AoiError                   the area of interest cannot be used
├── ImageryError               a scene, band or file of imagery cannot be used
│   ├── NoScenesError          a search found nothing
│   └── ReadError              one file is corrupt, truncated or out of reach; carries `scene_id` and `href`
├── ModelError                 a model or its card cannot be used
├── RecipeError                a landform, season or setting cannot be used
├── EditionError               an edition is missing, malformed or cannot be compared
├── StoreError                 the store cannot be read or written
│   └── MissingKeyError        no object under this key
├── JobError, ReviewError, OutgoingError, FilterError, ...   beside what raises them: jobs, reviews, outgoing addresses
└── ExecutorError              workers are gone or out of reach; the same command resumes

A message holds the value, what was expected, and the next step.
"""

from __future__ import annotations


class TalikError(Exception):
    """The base of every error that a user may see; its text is one line for people."""


class AoiError(TalikError):
    """The area of interest cannot be used."""


class ImageryError(TalikError):
    """A scene, band or file of imagery cannot be used."""


class NoScenesError(ImageryError):
    """A search found no scene."""


class ReadError(ImageryError):
    """One file of a scene is corrupt, truncated or out of reach."""

    def __init__(self, *, scene_id: str, href: str, reason: str) -> None:
        super().__init__(
            f"scene {scene_id}: cannot read {href}: {reason}; "
            "restore the file, or give --skip-bad to go on without this scene"
        )
        self.scene_id, self.href, self.reason = scene_id, href, reason

    def __reduce__(self) -> tuple[object, ...]:
        return (_read_error, (self.scene_id, self.href, self.reason))


def _read_error(scene_id: str, href: str, reason: str) -> ReadError:
    """Rebuild a ReadError that crossed a process (exceptions with keywords do not pickle by themselves)."""
    return ReadError(scene_id=scene_id, href=href, reason=reason)


class ModelError(TalikError):
    """A model or its card cannot be used."""


class RecipeError(TalikError):
    """A landform, season or setting cannot be used."""


class EditionError(TalikError):
    """An edition is missing, malformed or cannot be compared."""


class StoreError(TalikError):
    """The store cannot be read or written."""


class MissingKeyError(StoreError):
    """No object lies under this key."""


class ExecutorError(TalikError):
    """Workers are gone or out of reach; the same command resumes."""
