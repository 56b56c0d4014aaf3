"""Quotas: however many book at once, the limit holds and no capacity is lost."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from talik_api import quotas
from talik_api.access import Principal
from talik_api.quotas import Booking, QuotaError, book, check_running, release, used_km2
from talik_stac.errors import StoreError
from talik_stac.store import FolderStore, Store, open_store

ANNA = Principal(name="anna", kind="key")
NOON = datetime(2026, 7, 14, 12, tzinfo=UTC)


def test_a_booking_counts_until_the_limit_and_the_refusal_says_used_asked_and_limit(any_store: Store) -> None:
    book(any_store, ANNA, 60, limit_km2=100, now=NOON)
    book(any_store, ANNA, 40, limit_km2=100, now=NOON)
    assert used_km2(any_store, ANNA, NOON.date()) == 100
    with pytest.raises(QuotaError, match=r"100 km2 used today and 0\.5 km2 asked; the limit is 100 km2") as caught:
        book(any_store, ANNA, 0.5, limit_km2=100, now=NOON)
    assert caught.value.status == 429
    assert caught.value.headers == {"Retry-After": "43200"}


def test_another_day_and_another_principal_have_their_own(folder_store: Store) -> None:
    book(folder_store, ANNA, 100, limit_km2=100, now=NOON)
    book(folder_store, ANNA, 100, limit_km2=100, now=NOON + timedelta(days=1))
    book(folder_store, Principal(name="anna", kind="jwt"), 100, limit_km2=100, now=NOON)
    book(folder_store, Principal(name="../../x", kind="jwt"), 100, limit_km2=100, now=NOON)


def test_the_day_is_that_of_utc(folder_store: Store) -> None:
    evening = datetime(2026, 7, 14, 20, tzinfo=timezone(timedelta(hours=-8)))
    book(folder_store, ANNA, 7, limit_km2=100, now=evening)
    assert used_km2(folder_store, ANNA, (NOON + timedelta(days=1)).date()) == 7
    with pytest.raises(TypeError, match="zone"):
        book(folder_store, ANNA, 7, limit_km2=100, now=NOON.replace(tzinfo=None))


def test_a_released_booking_gives_its_km2_back_once(any_store: Store) -> None:
    first = book(any_store, ANNA, 60, limit_km2=100, now=NOON)
    book(any_store, ANNA, 30, limit_km2=100, now=NOON)
    release(any_store, first)
    release(any_store, first)
    assert used_km2(any_store, ANNA, NOON.date()) == 30
    book(any_store, ANNA, 70, limit_km2=100, now=NOON)
    with pytest.raises(QuotaError):
        book(any_store, ANNA, 1, limit_km2=100, now=NOON)


@pytest.mark.parametrize("km2", [-1.0, math.nan, math.inf])
def test_an_area_that_is_none_is_refused(folder_store: Store, km2: float) -> None:
    with pytest.raises(QuotaError):
        book(folder_store, ANNA, km2, limit_km2=math.inf, now=NOON)


def test_ten_tenths_make_one(folder_store: Store) -> None:
    for _ in range(10):
        book(folder_store, ANNA, 0.1, limit_km2=1, now=NOON)
    with pytest.raises(QuotaError):
        book(folder_store, ANNA, 0.1, limit_km2=1, now=NOON)


def test_more_bookings_than_can_be_read_are_refused(folder_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "MOST_BOOKINGS", 3)
    for _ in range(3):
        book(folder_store, ANNA, 1, limit_km2=100, now=NOON)
    with pytest.raises(QuotaError, match="3 jobs today"):
        book(folder_store, ANNA, 1, limit_km2=100, now=NOON)


def test_a_broken_booking_is_said_and_never_counts_as_nothing(folder_store: Store) -> None:
    made = book(folder_store, ANNA, 1, limit_km2=100, now=NOON)
    for broken in (b"{", b"[]", b"{}", b'{"km2": "x"}', b'{"km2": -50}', b'{"km2": NaN}'):
        folder_store.put(made.key, broken)
        with pytest.raises(StoreError, match="000001"):
            book(folder_store, ANNA, 1, limit_km2=100, now=NOON)


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_bookings_at_once_fill_the_limit_exactly(where: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """24 ask for 1 km2 of 10 at once: 10 get it, whoever they are."""
    if where == "s3":
        request.getfixturevalue("s3_environment")
        root = f"s3://talik-test/{tmp_path.name}-quota"
    else:
        root = str(tmp_path)
    begin = threading.Barrier(12)

    def one(number: int) -> bool:
        store = open_store(root)  # each as a server of its own
        begin.wait()
        try:
            book(store, ANNA, 1, limit_km2=10, now=NOON)
        except QuotaError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = list(pool.map(one, range(24)))
    assert sum(won) == 10
    assert used_km2(open_store(root), ANNA, NOON.date()) == 10


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=10), st.integers(0, 30))
def test_bookings_of_any_sizes_at_once_never_pass_the_limit_and_lose_no_capacity(sizes: list[int], limit: int) -> None:
    with TemporaryDirectory() as folder:
        begin = threading.Barrier(len(sizes))

        def one(km2: int) -> int | None:
            begin.wait()
            try:
                return int(book(open_store(folder), ANNA, km2, limit_km2=limit, now=NOON).km2)
            except QuotaError:
                return None

        with ThreadPoolExecutor(len(sizes)) as pool:
            got = list(pool.map(one, sizes))
        used = sum(km2 for km2 in got if km2 is not None)
        assert used == used_km2(open_store(folder), ANNA, NOON.date()) <= limit
        # refused only what did not fit any more
        assert all(used + size > limit for size, km2 in zip(sizes, got, strict=True) if km2 is None)


class Bookings(RuleBasedStateMachine):
    """Any order of bookings and releases keeps the sum that a plain list has."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = open_store(self.folder.name)
        self.held: list[Booking] = []

    @rule(km2=st.integers(0, 50))
    def ask(self, km2: int) -> None:
        fits = sum(booking.km2 for booking in self.held) + km2 <= 100
        try:
            self.held.append(book(self.store, ANNA, km2, limit_km2=100, now=NOON))
        except QuotaError:
            assert not fits
        else:
            assert fits

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.held:
            release(self.store, self.held.pop(data.draw(st.integers(0, len(self.held) - 1))))

    @invariant()
    def the_sum_is_that_of_what_is_held(self) -> None:
        assert used_km2(self.store, ANNA, NOON.date()) == sum(booking.km2 for booking in self.held)

    def teardown(self) -> None:
        self.folder.cleanup()


def test_any_order_of_bookings_and_releases_keeps_the_sum() -> None:
    run_state_machine_as_test(Bookings, settings=settings(max_examples=20, stateful_step_count=15, deadline=None))


def test_jobs_at_once_are_limited() -> None:
    check_running(1, limit=2)
    with pytest.raises(QuotaError, match="2 jobs are running or wait, and 1 more is asked; the limit is 2") as caught:
        check_running(2, limit=2)
    assert int(caught.value.headers["Retry-After"]) > 0


def test_a_put_that_was_repeated_after_a_lost_answer_is_booked_once(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))

    class Forgetful(FolderStore):
        """Writes, and then says that somebody else was first, as a repeated conditional put does."""

        def put_if_absent(self, key: str, data: bytes) -> bool:
            super().put_if_absent(key, data)
            return False

    book(Forgetful(root=store.root), ANNA, 7, limit_km2=100, now=NOON)
    assert used_km2(store, ANNA, NOON.date()) == 7
