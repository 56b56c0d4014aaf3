"""How much a principal may ask for: km2 in a UTC day, and jobs at once.

What is used lies in the store as usage/<principal>/<day>/<number>.json, one document for each booking. A booking
takes the number after the last one that it has read, and `put_if_absent` gives a number to one booking only:
whoever loses reads on and decides anew, so servers that book at once never pass a limit together. A released
booking keeps its number and counts nothing; to remove it would let its number be taken by a booking that another
server, which read the first one, does not count.

QuotaError        429: over a limit; says used, asked and limit
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from talik_api.access import Principal
from talik_stac.errors import MissingKeyError, StoreError, TalikError
from talik_stac.store import Store

MOST_BOOKINGS = 1000
"""Of one principal in one day: each booking reads those before it."""
_ATTEMPTS = 1000
_LONGEST_WAIT_S = 0.05
_RETRY_JOBS_S = 60


class QuotaError(TalikError):
    """More is asked than is left."""

    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.headers = {"Retry-After": str(retry_after_s)}


@dataclass(frozen=True, kw_only=True)
class Booking:
    """km2 set aside for one job."""

    key: str
    """Where the booking lies in the store."""
    km2: float


def book(store: Store, principal: Principal, km2: float, *, limit_km2: float, now: datetime) -> Booking:
    """Set km2 aside for a job that is about to be submitted. Raises QuotaError and StoreError."""
    if not (math.isfinite(km2) and km2 >= 0):
        raise QuotaError(f"an area of {km2} km2 cannot be booked; expected 0 or more", retry_after_s=0)
    prefix, mark = _prefix(principal, _utc(now).date()), secrets.token_hex(8)
    for attempt in range(_ATTEMPTS):
        # Again from the start: a booking may have been released meanwhile.
        booked = list(_booked(store, prefix))
        last, used = len(booked), math.fsum(booked)
        _check_km2(used, km2, limit_km2, now)
        if last >= MOST_BOOKINGS:
            raise QuotaError(
                f"{last} jobs today, the most of one day; go on tomorrow (UTC)", retry_after_s=_rest_s(now)
            )
        booking = Booking(key=f"{prefix}/{last + 1:06d}.json", km2=km2)
        document = _document(km2, mark)
        # A put that was repeated after a lost answer finds its own document.
        if store.put_if_absent(booking.key, document) or store.get(booking.key) == document:
            return booking
        if attempt:  # a second loss in a row: step out of the others' way
            time.sleep(random.uniform(0, _LONGEST_WAIT_S))
    raise QuotaError(f"{_ATTEMPTS} other bookings came first; try again", retry_after_s=1)


def release(store: Store, booking: Booking) -> None:
    """Give back what was booked for a job that was not submitted; twice changes nothing."""
    store.put(booking.key, _document(0.0, "released"))


def used_km2(store: Store, principal: Principal, day: date) -> float:
    """Return the km2 booked in a UTC day."""
    return math.fsum(_booked(store, _prefix(principal, day)))


def check_running(running: int, *, limit: int) -> None:
    """Refuse one more job where `running` of the principal's are not finished. Raises QuotaError."""
    if running >= limit:
        raise QuotaError(
            f"{running} jobs are running or wait, and 1 more is asked; the limit is {limit} at once: wait for an end",
            retry_after_s=_RETRY_JOBS_S,
        )


def _booked(store: Store, prefix: str) -> Iterator[float]:
    """Yield the km2 of bookings 1, 2, ... to the first number that is free; a list might lag on network mounts."""
    for number in range(1, MOST_BOOKINGS + 1):
        key = f"{prefix}/{number:06d}.json"
        try:
            data = store.get(key)
        except MissingKeyError:
            return
        yield _km2(store, key, data)


def _km2(store: Store, key: str, data: bytes) -> float:
    try:
        km2 = float(json.loads(data)["km2"])
    except (ValueError, TypeError, KeyError) as error:
        raise _broken(store, key) from error
    if not (math.isfinite(km2) and km2 >= 0):
        raise _broken(store, key)
    return km2


def _broken(store: Store, key: str) -> StoreError:
    return StoreError(f'store {store.root}: {key} is no booking; expected {{"km2": 0 or more}}: mend it')


def _check_km2(used: float, km2: float, limit_km2: float, now: datetime) -> None:
    # Sums of decimals such as 0.1 must not fail a limit by their last bit.
    if used + km2 > limit_km2 + 1e-6:
        raise QuotaError(
            f"{used:.10g} km2 used today and {km2:.10g} km2 asked; the limit is {limit_km2:.10g} km2 in a day (UTC): "
            "ask for a smaller area, or wait until midnight UTC",
            retry_after_s=_rest_s(now),
        )


def _document(km2: float, mark: str) -> bytes:
    """`mark` tells two bookings of the same size apart."""
    return json.dumps({"km2": km2, "mark": mark}).encode()


def _prefix(principal: Principal, day: date) -> str:
    """The folder of a principal's day; a hash, as a token's subject may hold any sign, or a person's address."""
    return f"usage/{hashlib.sha256(principal.id.encode()).hexdigest()[:32]}/{day.isoformat()}"


def _rest_s(now: datetime) -> int:
    """Whole seconds until midnight UTC, at least 1."""
    here = _utc(now)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1, math.ceil((midnight - here).total_seconds()))


def _utc(now: datetime) -> datetime:
    if now.tzinfo is None:
        raise TypeError("a time without a zone has no UTC day; give datetime.now(UTC)")
    return now.astimezone(UTC)
