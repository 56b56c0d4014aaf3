"""Range headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talik_api.downloads.ranges import Part, RangeError, part_of


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=0-3", b"0123"),
        ("bytes=5-", b"56789"),
        ("bytes=8-99", b"89"),
        ("bytes=-3", b"789"),
        ("bytes=-99", b"0123456789"),
        (" bytes=2-4 ", b"234"),
        ("Bytes=2-4", b"234"),
    ],
)
def test_one_range_names_its_bytes(header: str, expected: bytes) -> None:
    data = b"0123456789"
    part = part_of(header, len(data))
    assert part is not None
    assert data[part.start : part.start + part.length] == expected


@pytest.mark.parametrize(
    "header",
    [None, "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=3-2", "bytes=0-1,4-5", "lines=0-1", "bytes=١-٢",
     "bytes=0-" + "9" * 5000, "bytes=--1", "bytes=0x1-2", "bytes=0-1-2"],
)  # fmt: skip
def test_what_is_no_single_range_means_the_whole_file(header: str | None) -> None:
    assert part_of(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=999999999999-", "bytes=-0"])
def test_a_range_past_the_end_tells_the_length(header: str) -> None:
    with pytest.raises(RangeError, match="has 10 bytes") as caught:
        part_of(header, 10)
    assert caught.value.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5", "bytes=0-0"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RangeError):
        part_of(header, 0)


@given(size=st.integers(1, 200), first=st.integers(0, 250), last=st.integers(0, 250) | st.none())
def test_a_range_is_what_slicing_gives(size: int, first: int, last: int | None) -> None:
    data = bytes(range(size % 256)) or b"\0" * size
    header = f"bytes={first}-{'' if last is None else last}"
    expected = data[first:] if last is None else data[first : last + 1]
    try:
        part = part_of(header, len(data))
    except RangeError:
        assert first >= len(data)
        return
    if last is not None and last < first:
        assert part is None
        return
    assert part is not None
    assert data[part.start : part.start + part.length] == expected
    assert part.content_range == f"bytes {first}-{first + len(expected) - 1}/{len(data)}"


@given(st.text(max_size=40))
def test_no_header_breaks_the_reader(text: str) -> None:
    for header in (text, f"bytes={text}"):
        try:
            part = part_of(header, 10)
        except RangeError:
            continue
        assert part is None or (part.start >= 0 and 0 < part.length <= 10 - part.start)


def test_a_part_can_be_cut_short() -> None:
    assert Part(start=5, length=100, size=1000).at_most(10).content_range == "bytes 5-14/1000"
