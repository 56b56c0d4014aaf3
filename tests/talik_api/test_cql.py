"""CQL2 filters: three-valued logic against sqlite, functions, pruning, and what is refused."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from filtering import QUERYABLES, matches, parse, refused, with_shapes
from talik_api.cql import CONFORMANCE, FilterError, Queryable, all_of, parse_filter

# --- three-valued logic, comparisons, arithmetic and LIKE against sqlite -------------------------------------------

Pair = tuple[Any, str]  # CQL2-JSON, SQL
numbers = st.integers(-3, 3)
texts = st.text(alphabet="aB%_é\n", max_size=3)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def binary(op: str, sql: str, left: Pair, right: Pair) -> Pair:
    return {"op": op, "args": [left[0], right[0]]}, f"({left[1]} {sql} {right[1]})"


number_leaves = st.one_of(
    st.sampled_from([({"property": "a"}, "a"), ({"property": "b"}, "b")]), numbers.map(lambda n: (n, f"{float(n)}"))
)
number_values = st.recursive(
    st.one_of(number_leaves, st.builds(lambda x, y: binary("%", "%", x, y), number_leaves, number_leaves)),
    lambda inner: st.builds(lambda op, x, y: binary(op, op, x, y), st.sampled_from("+-*/"), inner, inner),
    max_leaves=3,
)
text_values = st.one_of(
    st.sampled_from([({"property": "t"}, "t"), ({"property": "u"}, "u")]), texts.map(lambda text: (text, quoted(text)))
)
signs = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
truths = st.sampled_from([({"property": "k"}, "k"), (True, "TRUE"), (False, "FALSE")])


def between(x: Pair, low: Pair, high: Pair) -> Pair:
    return {"op": "between", "args": [x[0], low[0], high[0]]}, f"({x[1]} BETWEEN {low[1]} AND {high[1]})"


def among(x: Pair, members: list[Pair]) -> Pair:
    return {"op": "in", "args": [x[0], [m[0] for m in members]]}, f"({x[1]} IN ({', '.join(m[1] for m in members)}))"


def is_like(x: Pair, pattern: list[str]) -> Pair:
    text = "".join(pattern)
    return {"op": "like", "args": [x[0], text]}, f"({x[1]} LIKE {quoted(text)} ESCAPE '\\')"


def null(x: Pair) -> Pair:
    return {"op": "isNull", "args": [x[0]]}, f"({x[1]} IS NULL)"


predicates = st.one_of(
    truths,
    st.builds(lambda op, x, y: binary(op, op, x, y), signs, number_values, number_values),
    st.builds(lambda op, x, y: binary(op, op, x, y), signs, text_values, text_values),
    st.builds(lambda op, x, y: binary(op, op, x, y), signs, truths, truths),
    st.builds(between, number_values, number_values, number_values),
    st.builds(between, text_values, text_values, text_values),
    st.builds(among, number_values, st.lists(number_values, min_size=1, max_size=3)),
    st.builds(among, text_values, st.lists(text_values, min_size=1, max_size=3)),
    st.builds(
        is_like, text_values, st.lists(st.sampled_from(["a", "B", "%", "_", "é", "\\%", "\\_", "\\\\"]), max_size=4)
    ),
    st.builds(null, st.one_of(number_values, text_values, truths)),
)


def joined(op: str, parts: list[Pair]) -> Pair:
    return {"op": op, "args": [part[0] for part in parts]}, "(" + f" {op} ".join(part[1] for part in parts) + ")"


trees = st.recursive(
    predicates,
    lambda inner: st.one_of(
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3)),
        inner.map(lambda part: ({"op": "not", "args": [part[0]]}, f"(NOT {part[1]})")),
    ),
    max_leaves=6,
)
rows = st.lists(
    st.tuples(
        st.none() | numbers.map(float),
        st.none() | numbers,
        st.none() | texts,
        st.none() | texts,
        st.none() | st.booleans(),
    ),
    max_size=6,
)


def by_sqlite(sql: str, data: list[tuple[Any, ...]]) -> list[bool]:
    with sqlite3.connect(":memory:") as base:
        base.execute("PRAGMA case_sensitive_like = ON")
        base.execute("CREATE TABLE rows (a REAL, b REAL, t TEXT, u TEXT, k BOOLEAN)")
        base.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", data)
        found = [bool(row[0]) for row in base.execute(f"SELECT {sql} IS TRUE FROM rows ORDER BY rowid")]
    base.close()
    return found


def table_of(data: list[tuple[Any, ...]]) -> pa.Table:
    types = [pa.float64(), pa.int64(), pa.string(), pa.string(), pa.bool_()]
    columns = list(zip(*data, strict=True)) or [()] * 5
    return pa.table({name: pa.array(column, kind) for name, column, kind in zip("abtuk", columns, types, strict=True)})


@settings(max_examples=400, deadline=None)
@given(trees, rows)
def test_random_filters_agree_with_sqlite(tree: Pair, data: list[tuple[Any, ...]]) -> None:
    found = parse_filter(tree[0], language="cql2-json", queryables=QUERYABLES)
    table = table_of(data)
    expected = by_sqlite(tree[1], data)
    assert found.mask(table).tolist() == expected, tree[1]
    assert parse(found.text()).mask(table).tolist() == expected, found.text()
    for column, (low, high) in found.ranges().items():
        kept = table.filter(pa.array(expected, pa.bool_()))[column].to_pylist()
        assert all((low is None or value >= low) and (high is None or value <= high) for value in kept)
    assert found.columns >= {name for name in "abtuk" if f"'property': '{name}'" in str(tree[0])}


@settings(max_examples=100, deadline=None)
@given(predicates, rows)
def test_a_filter_and_its_not_part_the_rows_where_it_is_known(tree: Pair, data: list[tuple[Any, ...]]) -> None:
    table = table_of(data)
    yes = parse_filter(tree[0], language="cql2-json", queryables=QUERYABLES).mask(table)
    no = parse_filter({"op": "not", "args": [tree[0]]}, language="cql2-json", queryables=QUERYABLES).mask(table)
    unknown = by_sqlite(f"({tree[1]} IS NULL)", data)
    assert (yes.astype(int) + no + np.array(unknown, dtype=bool) == 1).all()


# --- named cases ----------------------------------------------------------------------------------------------------


def test_arithmetic_has_the_values_of_the_standards_test_table() -> None:
    values = {"a": [1038287.0, 1038288.0, 1038289.0, None]}
    assert matches("a = 1038280+8", **values) == [1]
    assert matches("a >= 1038290-2*2^0", **values) == [1, 2]
    assert matches("a > 1038290-20/10", **values) == [2]
    assert matches("a > 1038290-21 div 10", **values) == [2]
    assert matches("a > 1038290-5%2", **values) == []
    assert matches("a <> 1038290-2^1", **values) == [0, 2]
    assert matches("1038280+8 = a", **values) == [1]
    assert matches("a in (1000000+38288, 3*1000000)", **values) == [1]


def test_what_cannot_be_computed_is_unknown() -> None:
    assert matches("1 / a > 0 or not 1 / a > 0", a=[0.0, 2.0]) == [1]
    assert matches("a ^ 0.5 is null", a=[-1.0, 4.0, None, float("nan")]) == [0, 2, 3]
    zeros = {"a": [0.0, -0.0], "codes": [[-0.0], [0.0]]}
    assert matches("a in (-0.0) and a * -1 in (0) and a_contains(codes, (0))", **zeros) == [0, 1]
    assert matches("-7 div 2 = a and -7 % 2 = -1", a=[-3.0, -4.0]) == [0]


def test_properties_are_compared_with_each_other_and_null_stays_unknown() -> None:
    assert matches("a >= b", a=[1.0, 2.0, None], b=[1, 3, 1]) == [0]
    assert matches("not a >= b", a=[1.0, 2.0, None], b=[1, 3, 1]) == [1]
    assert matches("t < u", t=["a", "é", None], u=["b", "z", "z"]) == [0]


def test_like_takes_wildcards_and_escapes_whole_texts() -> None:
    values = {"t": ["lake", "Lake", "a%b", "a_b", "axb", None, "", "a\nb"]}
    assert matches("t like 'l%'", **values) == [0]
    assert matches("t like 'a\\%b'", **values) == [2]
    assert matches("t like 'a\\_b'", **values) == [3]
    assert matches("t like 'a_b'", **values) == [2, 3, 4, 7]
    assert matches("t like '_%'", **values) == [0, 1, 2, 3, 4, 7]
    assert matches("t like ''", **values) == [6]
    assert matches("t like '%%'", **values) == matches("t like '%'", **values)
    assert matches("casei(t) like casei('LA%')", **values) == [0, 1]


def test_a_hostile_like_pattern_is_matched_in_linear_time() -> None:
    begun = time.monotonic()
    assert matches("t like '" + "%a" * 400 + "b'", t=["a" * 20_000]) == []
    assert time.monotonic() - begun < 5
    refused(f"t like '{'%a' * 600}'", "1200 characters", "1000")


def test_case_and_accents_are_folded_as_unicode_has_it() -> None:
    values = {"t": ["Straße", "STRASSE", "Οδος", "débárquér", "debarquer", None]}
    assert matches("casei(t) in (casei('ΟΔΟΣ'), casei('straße'))", **values) == [0, 1, 2]
    assert matches("accenti(t) = accenti('débárquér')", **values) == [3, 4]
    assert matches("casei(accenti(t)) = casei(accenti('DÉBARQUER'))", **values) == [3, 4]
    assert matches("t = 'débárquér'", **values) == [3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("contains", [0, 1, 4]), ("containedby", [0, 2, 3, 4]), ("equals", [0, 4]), ("overlaps", [0, 1, 2, 4])],
)
def test_lists_are_compared_as_sets(name: str, expected: list[int]) -> None:
    names = [["x", "y"], ["x", "y", "z"], ["x"], [], ["y", "x", "y"], None, ["z"]]
    assert matches(f"a_{name}(names, ('y', 'x'))", names=names) == expected
    swapped = {"contains": "containedby", "containedby": "contains"}.get(name, name)
    assert matches(f"a_{swapped}(('x', 'y'), names)", names=names) == expected
    wanted = pa.array([["x", "y"]] * 7)
    assert matches(f"a_{name}(names, codes)", names=names, codes=wanted) == expected
    assert matches(f"not a_{name}(names, ('y', 'x'))", names=names) == sorted({0, 1, 2, 3, 4, 6} - set(expected))


def test_lists_of_numbers_and_times_hold_literals_of_their_kind_alone() -> None:
    codes = pa.array([[1, 2], [3]], pa.list_(pa.int32()))
    assert matches("a_contains(codes, (1, 2))", codes=codes) == [0]
    assert matches("a_contains(codes, ('1'))", codes=codes) == []
    days = pa.array([[datetime(2020, 1, 1, tzinfo=UTC)]], pa.list_(pa.timestamp("ms", "UTC")))
    assert matches("a_overlaps(codes, (date('2020-01-01')))", codes=days) == [0]


def test_columns_that_are_coded_absent_or_inside_structs_are_read() -> None:
    coded = pa.array(["x", None, "y"]).dictionary_encode()
    assert matches("t = 'x' or t is null", t=coded) == [0, 1]
    assert matches("u is null and not u = 'x'", t=coded) == []
    assert matches("s_intersects(geom, POINT(1 1)) or geom is null", t=coded) == [0, 1, 2]
    nested = {"x": Queryable(name="x", kind="number", column="p.x")}
    found = parse_filter("x > 1", language="cql2-text", queryables=nested)
    assert found.mask(pa.table({"p": pa.array([{"x": 1}, {"x": 2}, None])})).tolist() == [False, True, False]
    assert matches('"proj:epsg" = 3413 and proj:epsg > 1', **{"proj:epsg": [3413, 4326]}) == [0]


def test_truth_values_stand_alone_and_compare() -> None:
    values = {"k": [True, False, None]}
    assert matches("k", **values) == matches("k = true", **values) == matches("k in (true)", **values) == [0]
    assert matches("(k = true) = false", **values) == [1]
    assert matches("true", **values) == [0, 1, 2]
    assert matches("not true or false", **values) == []


# --- pruning, joining and spelling ----------------------------------------------------------------------------------


def test_ranges_come_from_anded_comparisons_alone() -> None:
    assert parse("a > 1 and 5 >= a and a < 9 and t in ('x', 'b')").ranges() == {"a": (1, 5), "t": ("b", "x")}
    assert parse("a between 1+1 and 3 and not b = 1").ranges() == {"a": (2, 3)}
    assert parse("a > 1 or b > 2").ranges() == parse("casei(t) = 'x'").ranges() == parse("a <> 1").ranges() == {}
    day = datetime(2020, 1, 1, tzinfo=UTC)
    within = "t_intersects(interval(start, end), interval('2020-01-01T00:00:00Z', '..'))"
    assert parse(within).ranges() == {"end": (day, None)}


def test_filters_join_and_ask_for_the_columns_they_read() -> None:
    both = all_of(parse("a = 1 or a = 2"), None, parse("s_intersects(geom, BBOX(0, 0, 1, 1))"))
    assert both is not None
    assert both.columns == {"a", "geom", "bbox"}
    assert both.bounds() == ((0, 0, 1, 1),)
    assert both.text() == "(a = 1 OR a = 2) AND (s_intersects(geom, BBOX(0, 0, 1, 1)))"
    assert parse(both.text()).columns == both.columns
    assert all_of(None) is None


def test_json_and_text_say_the_same() -> None:
    tree = {"op": "and", "args": [{"op": "in", "args": [{"property": "t"}, ["x"]]}, {"op": "not", "args": [True]}]}
    assert parse(tree).text() == parse("t in ('x') and not true").text()
    as_text = parse_filter('{"op": "isNull", "args": [{"property": "t"}]}', language="cql2-json", queryables=QUERYABLES)
    assert as_text.text() == "t IS NULL"


def test_any_four_predicates_combine() -> None:
    parts = ["a > 1", "t like 'x%'", "t_after(start, date('2022-04-16'))", "s_intersects(geom, BBOX(0, 0, 1, 1))"]
    start = pa.array([datetime(year, 4, 16) for year in (2021, 2022, 2023)])
    columns = {
        "start": start,
        "a": [1.0, 2.0, None],
        "t": ["x", None, "y"],
        **with_shapes([shapely.Point(0, 0), None, None]),
    }
    p1, p2, p3, p4 = parts
    assert matches(f"((NOT {p1} AND {p2}) OR ({p3} and NOT {p4}) or not ({p1} AND {p4}))", **columns) == [0]


# --- what is refused ------------------------------------------------------------------------------------------------


def test_refusals_say_what_was_found_and_expected() -> None:
    refused("x = 1", "'x'", "queryables are: a, b, codes")
    refused("a = 'x'", "number", "text")
    refused("a = ", "line 1, column 5")
    refused("nearby(a, 1)", "'nearby'", "s_intersects")
    refused("a", "takes boolean", "'a'")
    refused("a = null", "IS NULL")
    refused("a = 1e400", "")
    refused("t_during(when, interval('2020-01-01', '..'))", "T_DURING takes two intervals")
    refused("t_after(when, interval('2021-01-01', '2020-01-01'))", "ends before it starts")
    refused("when > '2020-13-01'", "2020-13-01")
    refused("t_equals(t, date('2020-01-01'))", "takes time, not text")
    refused("casei(a) = 'x'", "casei takes text, not number")
    refused("t like u", "pattern")
    refused("names = ('x')", "list")
    refused({"op": "in", "args": [{"property": "a"}, []]}, "list")
    refused({"op": "=", "args": [{"property": "a"}]}, "1 arguments; expected 2")
    refused({"no": 1}, "")


@pytest.mark.parametrize(
    "source",
    [
        "(" * 101 + "k" + ")" * 101,
        "(" * 200_000 + "k" + ")" * 200_000,
        "(" * 900_000,
        "not " * 200_000 + "k",
        "not(" * 150_000 + "k" + ")" * 150_000,
        "a=" + "- " * 300_000 + "b",
        "a=" + "+".join("b" * 400_000),
        "a=" + "^".join("b" * 101),
        "=".join("a" * 300_000),
        "a" + " in (1)" * 100_000,
        "a between 1 and " * 50_000 + "1",
        "a" + " between 1 and 2" * 50_000,
        "a_contains(names," + "(" * 300_000 + "1" + ")" * 300_000 + ")",
        "casei(" * 100_000 + "t" + ")" * 100_000 + "='x'",
        " or ".join(["not (not " * 90 + "k" + ")" * 90] * 2),
        "a in (" + "(1, " * 90 + "0 0" + ")" * 91,
        "s_intersects(geom, POLYGON" + "(" * 90 + "0 0" + ")" * 91,
    ],
)
def test_deep_filters_are_refused_before_they_overflow_a_stack(source: str) -> None:
    refused(source, "")


@pytest.mark.parametrize(
    "start", ["", "not ", "1+", "-", "a in ", "a between 1 and ", "s_intersects(geom,POLYGON", "f"]
)
def test_mistakes_deep_in_parentheses_take_no_exponential_time(start: str) -> None:
    begun = time.monotonic()
    refused(start + "(" * 60 + "0 0" + ")" * 60)
    refused(start + "(" * 60)
    refused("(" * 60 + "k) and " * 60 + "a = ")
    assert time.monotonic() - begun < 5


def test_parentheses_keep_their_meaning() -> None:
    values = {"a": [1.0, 2.0, 3.0], "b": [3, 2, 1], "k": [True, False, True]}
    assert matches("((a + (b)) * (2)) = (8) and not (k and (a = 1))", **values) == [1, 2]
    assert matches("(((k) and (a > 1)) or (b = 2)) and (not (k))", **values) == [1]
    assert matches("a in ((1), (1 + 1)) and ((a) between (2) and (5 - (1)))", **values) == [1]
    assert parse("(k and (a = 1)) or (b = (2))").text() == "k AND a = 1 OR b = 2"
    refused('"(0)" = 1 or (a = 1)', '"(0)"')
    refused("(a = 1)) and (k", "character 8")


def test_large_filters_are_refused_and_wide_ones_taken() -> None:
    refused("t = '" + "x" * 1_000_000 + "'", "characters")
    refused(" or ".join(["a = 1"] * 3000), "operations")
    nested: Any = True
    for _ in range(101):
        nested = {"op": "not", "args": [nested]}
    refused(nested, "deep")
    with pytest.raises(FilterError):
        parse_filter("[" * 400_000, language="cql2-json", queryables=QUERYABLES)
    ids = ", ".join(f"'lake-{n}'" for n in range(50_000))
    assert matches(f"t in ({ids}) and not t in ('(((', ')')", t=["lake-7", "lake-50000", "((("]) == [0]
    assert matches(" and ".join(f"a <> {n}" for n in range(1, 900)), a=[0.0, 7.0]) == [0]
    assert matches("(" * 90 + "k" + ")" * 90, k=[True]) == [0]


def test_every_class_of_the_standard_that_holds_is_named_once() -> None:
    assert len(set(CONFORMANCE)) == len(CONFORMANCE) == 13
    assert all(uri.startswith("http://www.opengis.net/spec/cql2/1.0/conf/") for uri in CONFORMANCE)
