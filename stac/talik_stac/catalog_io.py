"""How a STAC API is spoken with where a user chose the address: each request through the door for outgoing ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pystac_client.stac_api_io import StacApiIO
from urllib3 import Retry

from talik_stac.errors import ImageryError
from talik_stac.outgoing import OutgoingError, session


class GuardedIO(StacApiIO):
    """pystac-client's reader, kept to the allowed hosts: redirects, next links and links to other documents too."""

    def __init__(self, hosts: Sequence[str], *, timeout_s: float, retries: Retry) -> None:
        super().__init__(timeout=timeout_s, max_retries=None)
        self.session.close()
        self.session = session(hosts, retries=retries)  # no parameter takes one

    def read_text(self, source: Any, *args: Any, **kwargs: Any) -> str:
        """Read what an http(s) address answers; pystac-client would open local files. Raises OutgoingError."""
        address = str(getattr(source, "href", source))
        if not address.lower().startswith(("http://", "https://")):
            raise OutgoingError(f"the catalogue links to {address[:200]!r}; expected an http(s) address")
        return super().read_text(source, *args, **kwargs)

    def stac_object_from_dict(self, d: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Make catalogues and collections; for items of before STAC 1.0 pystac fetches more past this reader."""
        if d.get("type") == "Feature":
            raise ImageryError("the catalogue links to single items; expected the address of a STAC API")
        return super().stac_object_from_dict(d, *args, **kwargs)


def refusal(error: BaseException) -> OutgoingError | None:
    """Find our refusal inside what the libraries wrapped around it."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        if isinstance(found, OutgoingError):
            return found
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return None
