"""CQL2 (OGC 21-065r2), Annex A, over HTTP, in both encodings.

The predicates are the standard's, over the queryables of a collection; what they find is compared as the standard
asks. That the values are right is for tests/talik_api/test_cql*.py, which ask SQLite, shapely and the standard's table.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import cql2
import pytest
from starlette.testclient import TestClient

from editing import publish_polygons
from lakes import outlines
from talik_api.app import create_app
from talik_api.settings import ApiSettings
from talik_stac.store import open_store

from .abstract import CQL2

SEARCH = "/collections/water-test-2021-v1/search"
VALUES = {
    "text": "'foo'",
    "boolean": "true",
    "number": "3.14",
    "integer": "1",
    "time": "TIMESTAMP('2022-04-14T14:48:46Z')",
}
COMPARISONS = ("=", "<>", ">", "<", ">=", "<=")
COUNT = 125
"""Lakes, five of them over the antimeridian; few, since hundreds of filters are asked."""
Found = Callable[[str], frozenset[str]]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    """A service of one small edition."""
    folder = tmp_path_factory.mktemp("few")
    root = str(folder / "store")
    publish_polygons(open_store(root), folder / "draft", outlines(COUNT - 5), year=2021)
    return TestClient(create_app(ApiSettings(store=root, local_jobs=0)), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def found(client: TestClient) -> Found:
    """What a filter finds, the same as text and as JSON; each filter is asked once."""
    known: dict[str, frozenset[str]] = {}

    def ask(filter_: Any, language: str) -> frozenset[str]:
        body = {"filter": filter_, "filter-lang": language, "limit": 5000, "properties": ["status"]}
        answer = client.post(SEARCH, json=body)
        assert answer.status_code == 200, f"{filter_}: {answer.text}"
        return frozenset(feature["id"] for feature in answer.json()["features"])

    def both(text: str) -> frozenset[str]:
        if text not in known:
            known[text] = ask(text, "cql2-text")
            assert ask(cql2.parse_text(text).to_json(), "cql2-json") == known[text], text
        return known[text]

    return both


@pytest.fixture(scope="module")
def kinds(client: TestClient) -> dict[str, list[str]]:
    """Kind of data -> queryables, from the schema."""
    properties = client.get("/collections/water-test-2021-v1/queryables").json()["properties"]
    grouped: dict[str, list[str]] = {}
    for name, schema in properties.items():
        kind = "time" if schema.get("format") == "date-time" else schema.get("type", "geometry")
        grouped.setdefault("text" if kind == "string" else kind, []).append(name)
    return grouped


def scalars(kinds: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """(queryable, a value of its kind)."""
    return ((name, value) for kind, value in VALUES.items() for name in kinds[kind])


def refused(client: TestClient, filter_: str) -> bool:
    answer = client.post(SEARCH, json={"filter": filter_, "filter-lang": "cql2-text"})
    return bool(answer.status_code == 400)


@CQL2("/conf/basic-cql2/basic-test")
def test_the_schema_says_the_type_of_each_queryable(kinds: dict[str, list[str]]) -> None:
    assert set(kinds) == {*VALUES, "array", "geometry"}


@CQL2("/conf/basic-cql2/comparison")
def test_comparisons_exclude_their_opposites(found: Found, kinds: dict[str, list[str]]) -> None:
    for name, value in scalars(kinds):
        sets = {sign: found(f"{name} {sign} {value}") for sign in COMPARISONS}
        assert not sets["="] & sets["<>"]
        assert not sets[">"] & sets["<="]
        assert not sets["<"] & sets[">="]
        assert sets["="] | sets["<"] == sets["<="]
        assert sets["="] | sets[">"] == sets[">="]


@CQL2("/conf/basic-cql2/is-null")
def test_a_value_is_null_or_not(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in itertools.chain(*kinds.values()):
        null, known = found(f"{name} IS NULL"), found(f"{name} is not null")
        assert not null & known
        assert null | known == found("true")
    assert found("confidence IS NULL") == found("true")


@CQL2("/conf/basic-cql2/boolean")
def test_true_is_all_and_false_nothing(found: Found) -> None:
    assert len(found("true")) == COUNT
    assert found("false") == frozenset()


@CQL2("/conf/advanced-comparison-operators/like")
def test_like_takes_wildcards(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in kinds["text"]:
        assert not found(f"{name} like '_%'") & found(f"{name} like ''")
        assert found(f"{name} LIKE '%'") == found(f"{name} like '%%'") == found("true")
        assert found(f"{name} like '\\%\\_'") == frozenset()
    assert found("id like 'water-a%'") == {each for each in found("true") if each.startswith("water-a")}


@CQL2("/conf/advanced-comparison-operators/between")
def test_between_holds_both_ends(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in (*kinds["number"], *kinds["integer"]):
        assert found(f"{name} BETWEEN 0 AND 100") == found(f"{name} >= 0 AND {name} <= 100")
        assert found(f"{name} between 100.0 and 1.0") == frozenset()


@CQL2("/conf/advanced-comparison-operators/in")
def test_in_is_any_of_a_list(found: Found, kinds: dict[str, list[str]]) -> None:
    lists = {
        "number": ("1", "2", "3"),
        "integer": ("1", "2", "7"),
        "text": ("'foo'", "'water'"),
        "boolean": ("true",),
        "time": ("TIMESTAMP('2022-04-14T14:52:56Z')", "TIMESTAMP('2021-07-15T10:00:00Z')"),
    }
    for kind, values in lists.items():
        for name in kinds[kind]:
            single = [found(f"{name} = {value}") for value in values]
            assert found(f"{name} in ({', '.join(values)})") == frozenset().union(*single)
    assert found("landform in ('foo', 'water')") == found("true")


@CQL2("/conf/case-insensitive-comparison/casei", "/conf/case-insensitive-comparison/casei-like")
def test_case_does_not_count_in_casei(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in kinds["text"]:
        assert not found(f"CASEI({name}) = casei('foo')") & found(f"CASEI({name}) <> casei('FOO')")
        assert found(f"CASEI({name}) LIKE casei('foo%')") == found(f"CASEI({name}) LIKE casei('FOO%')")
    assert found("CASEI(landform) = casei('WATER')") == found("true")
    assert found("CASEI(landform) LIKE casei('WAT%')") == found("true")


@CQL2(
    "/conf/accent-insensitive-comparison/accenti",
    "/conf/accent-insensitive-comparison/accenti-like",
    "/conf/accent-insensitive-comparison/accenti-casei",
    "/conf/accent-insensitive-comparison/accenti-casei-like",
)
def test_accents_do_not_count_in_accenti(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in kinds["text"]:
        assert not found(f"ACCENTI({name}) = accenti('äöüéáí')") & found(f"ACCENTI({name}) <> accenti('aoueai')")
        assert found(f"ACCENTI({name}) LIKE accenti('Ä%')") == found(f"ACCENTI({name}) LIKE accenti('A%')")
        both = f"ACCENTI(CASEI({name}))"
        assert found(f"{both} = accenti(casei('ÄÉ'))") == found(f"{both} = accenti(casei('ae'))")
        assert found(f"{both} LIKE accenti(casei('Ä%'))") == found(f"{both} LIKE accenti(casei('a%'))")
    assert found("ACCENTI(CASEI(landform)) = accenti(casei('WÄTÉR'))") == found("true")


POLYGON = "POLYGON((-180 -90,180 -90,180 90,-180 90,-180 -90))"
HOLED = "(-180 -90, -90 -90, -90 90, -180 90, -180 -90), (-120 -50, -100 -50, -100 -40, -120 -40, -120 -50)"


@CQL2("/conf/basic-spatial-functions/s_intersects", "/conf/spatial-functions/s_intersects")
def test_s_intersects_takes_boxes_points_and_outlines(client: TestClient, found: Found) -> None:
    assert found("S_INTERSECTS(geometry,BBOX(-180,-90,180,90))") == found("true")
    assert found(f"S_INTERSECTS(geometry,{POLYGON})") == found("true")
    assert found("S_INTERSECTS(geometry,LINESTRING(7 50, 10 51))") <= found("true")
    assert found("S_INTERSECTS(geometry,POINT(179.95 60.05))") != found("S_INTERSECTS(geometry,POINT(7.02 49.92))")
    assert refused(client, "S_INTERSECTS(geometry,POINT(90 180))")
    over = found("S_INTERSECTS(geometry,BBOX(-180,-90,-90,90)) AND S_INTERSECTS(geometry,BBOX(90,-90,180,90))")
    assert len(over) == 5  # the lakes over the antimeridian


@CQL2("/conf/basic-spatial-functions-plus/s_intersects")
def test_s_intersects_takes_every_kind_of_geometry(client: TestClient, found: Found) -> None:
    assert refused(client, "S_INTERSECTS(geometry,MULTIPOINT(7.02 49.92, 90 180))")
    assert found("S_INTERSECTS(geometry,LINESTRING(-180 -45, 0 -45))") == frozenset()
    assert found("S_INTERSECTS(geometry,MULTILINESTRING((-180 -45, 0 -45), (100 60.05, 180 60.05)))")
    assert found(f"S_INTERSECTS(geometry,POLYGON({HOLED}))")
    many = found(f"S_INTERSECTS(geometry,MULTIPOLYGON(({HOLED}),((0 0, 10 0, 10 60, 0 60, 0 0))))")
    assert many == found(f"S_INTERSECTS(geometry,POLYGON({HOLED}))") | found("S_INTERSECTS(geometry,BBOX(0,0,10,60))")
    mixed = "GEOMETRYCOLLECTION(POINT(7.02 49.92), POLYGON((0 0, 10 0, 10 60, 0 60, 0 0)))"
    assert found(f"S_INTERSECTS(geometry,{mixed})") == found("S_INTERSECTS(geometry,BBOX(0,0,10,60))")


@CQL2("/conf/spatial-functions/s_disjoint")
def test_s_disjoint_is_the_rest(client: TestClient, found: Found) -> None:
    assert found("S_DISJOINT(geometry,BBOX(-180,-90,180,90))") == frozenset()
    assert found(f"S_DISJOINT(geometry,{POLYGON})") == frozenset()
    for shape in ("LINESTRING(7 50,10 51)", "POINT(7.02 49.92)", "BBOX(0,50,10,60)"):
        apart, touching = found(f"S_DISJOINT(geometry,{shape})"), found(f"S_INTERSECTS(geometry,{shape})")
        assert not apart & touching
        assert apart | touching == found("true")
    assert refused(client, "S_DISJOINT(geometry,POINT(90 180))")


@CQL2(
    "/conf/spatial-functions/s_equals",
    "/conf/spatial-functions/s_touches",
    "/conf/spatial-functions/s_crosses",
    "/conf/spatial-functions/s_overlaps",
)
def test_the_other_relations_are_taken(found: Found) -> None:
    for shape in (POLYGON, "LINESTRING(7 50,10 51)", "POINT(7.02 49.92)"):
        assert found(f"S_EQUALS(geometry,{shape})") == frozenset()
    for name in ("S_TOUCHES", "S_CROSSES", "S_OVERLAPS"):
        for shape in ("BBOX(-180,-90,180,90)", POLYGON, "LINESTRING(7 50,10 51)"):
            assert found(f"{name}(geometry,{shape})") <= found("true")
    place = "BBOX(0,50,10,60)"
    inside, touching = found(f"S_WITHIN(geometry,{place})"), found(f"S_INTERSECTS(geometry,{place})")
    assert found(f"S_OVERLAPS(geometry,{place})") == touching - inside


@CQL2("/conf/spatial-functions/s_within", "/conf/spatial-functions/s_contains")
def test_what_is_within_does_not_contain(found: Found) -> None:
    within, containing = "S_WITHIN(geometry,{})", "S_CONTAINS(geometry,{})"
    world = "BBOX(-180,-90,180,90)"
    assert found(within.format(world)) == found(within.format(POLYGON)) == found("true")
    assert found(containing.format(world)) == found(containing.format(POLYGON)) == frozenset()
    for shape in (world, POLYGON, "LINESTRING(7 50,10 51)", "MULTIPOINT(7 50,10 51)"):
        assert not found(within.format(shape)) & found(containing.format(shape))


MOMENT = "TIMESTAMP('2022-04-24T07:59:57Z')"
YEAR = "INTERVAL('2021-01-01T00:00:00Z','2021-12-31T23:59:59Z')"


@CQL2("/conf/temporal-functions/temporal-functions-1")
def test_moments_are_compared_with_moments_and_intervals(found: Found, kinds: dict[str, list[str]]) -> None:
    for name, other in itertools.product(kinds["time"], (MOMENT, YEAR)):
        before, meets, after = (found(f"{f}({name},{other})") for f in ("T_BEFORE", "T_INTERSECTS", "T_AFTER"))
        assert len(before) + len(meets) + len(after) == len(found("true"))
        assert before | meets | after == found("true")
        assert found(f"T_DISJOINT({name},{other})") == before | after
        assert found(f"T_EQUALS({name},{other})") == frozenset()
    assert found(f"T_INTERSECTS(observed_start,{YEAR})") == found("true")


@CQL2("/conf/temporal-functions/temporal-functions-2")
def test_intervals_of_two_properties_are_compared(found: Found) -> None:
    names = ("AFTER", "BEFORE", "DISJOINT", "EQUALS", "INTERSECTS", "CONTAINS", "DURING", "FINISHEDBY", "FINISHES",
             "MEETS", "METBY", "OVERLAPPEDBY", "OVERLAPS", "STARTEDBY", "STARTS")  # fmt: skip
    sets = {name: found(f"T_{name}(INTERVAL(observed_start,observed_end),{YEAR})") for name in names}
    assert sets["INTERSECTS"] == sets["DURING"] == found("true")
    assert {name for name, each in sets.items() if each} == {"INTERSECTS", "DURING"}


@CQL2("/conf/array-functions/array-predicates")
def test_lists_are_compared(found: Found, kinds: dict[str, list[str]]) -> None:
    functions = ("A_CONTAINS", "A_CONTAINEDBY", "A_EQUALS", "A_OVERLAPS")
    for name, function in itertools.product(kinds["array"], functions):
        assert found(f"{function}({name},('foo','bar'))") == frozenset()
        assert found(f"{function}({name},('scene-b','scene-a'))") == found("true")
    assert found("A_OVERLAPS(scenes,('scene-b','foo'))") == found("A_CONTAINS(scenes,('scene-b'))") == found("true")


@CQL2("/conf/property-property/comparison-value-property")
def test_a_value_may_stand_before_a_property(found: Found, kinds: dict[str, list[str]]) -> None:
    turned = {"=": "=", "<>": "<>", ">": "<", "<": ">", ">=": "<=", "<=": ">="}
    for name, value in scalars(kinds):
        for sign, other in turned.items():
            assert found(f"{value} {sign} {name}") == found(f"{name} {other} {value}")


@CQL2("/conf/property-property/comparison-property-property")
def test_a_property_equals_itself(found: Found, kinds: dict[str, list[str]]) -> None:
    for name, _ in scalars(kinds):
        sets = {sign: found(f"{name} {sign} {name}") for sign in COMPARISONS}
        assert sets["<>"] == sets["<"] == sets[">"] == frozenset()
        assert sets["="] == sets[">="] == sets["<="] == found(f"{name} IS NOT NULL")


@CQL2("/conf/property-property/comparison-value-value")
def test_values_are_compared_with_each_other(found: Found) -> None:
    for value in (*VALUES.values(), "DATE('2022-04-14')"):
        sets = {sign: found(f"{value} {sign} {value}") for sign in COMPARISONS}
        assert sets["<>"] == sets["<"] == sets[">"] == frozenset()
        assert sets["="] == sets[">="] == sets["<="] == found("true")


@CQL2("/conf/arithmetic/arithmetic")
def test_numbers_are_reckoned_with(found: Found, kinds: dict[str, list[str]]) -> None:
    for name in (*kinds["number"], *kinds["integer"]):
        known = found(f"{name} IS NOT NULL")
        assert found(f"{name} + 1 > {name}") == known
        assert found(f"{name} * 2 - {name} = {name}") == known
        assert found(f"2 ^ 3 - 1 - {name} = 7 - {name}") == known
    assert found("pixels % 4 = 3 AND pixels div 2 = 3 AND pixels / 2 = 3.5") == found("pixels = 7") == found("true")


PREDICATES = {
    "basic-cql2": ["pixels = 7", "lat > 60", "status <> 'confirmed'", "on_aoi_edge = true"],
    "advanced-comparison-operators": ["id LIKE 'water-a%'", "lon BETWEEN 0 AND 20", "pixels IN (7, 8)", "lat < 70"],
    "case-insensitive-comparison": ["CASEI(status) = casei('CANDIDATE')", "CASEI(id) LIKE casei('WATER-B%')",
                                    "lat > 65", "lon > 0"],
    "accent-insensitive-comparison": ["ACCENTI(status) = accenti('cändidate')", "ACCENTI(id) LIKE accenti('wäter-c%')",
                                      "lat > 65", "lon > 0"],
    "basic-spatial-functions": ["S_INTERSECTS(geometry,BBOX(0,55,30,65))", "S_INTERSECTS(geometry,BBOX(20,50,60,75))",
                                "S_INTERSECTS(geometry,POINT(179.95 60.05))", "lon > 10"],
    "spatial-functions": ["S_DISJOINT(geometry,BBOX(0,55,30,65))", "S_WITHIN(geometry,BBOX(20,50,60,75))",
                          "S_OVERLAPS(geometry,BBOX(0,50,10,60))", "lat > 60"],
    "temporal-functions": [f"T_BEFORE(observed_start,{MOMENT})", f"T_INTERSECTS(observed_end,{YEAR})", "lat > 60",
                           f"T_DURING(INTERVAL(observed_start,observed_end),{YEAR})"],
    "array-functions": ["A_CONTAINS(scenes,('scene-a'))", "A_OVERLAPS(scenes,('foo'))", "lat > 60", "lon > 0"],
    "property-property": ["lat > lon", "lon = lon", "60 < lat", "area_m2 > perimeter_m"],
    "arithmetic": ["lat + lon > 60", "lon * 2 > lat - 10", "pixels % 2 = 1", "area_m2 / perimeter_m > 100"],
}  # fmt: skip


@pytest.mark.parametrize("name", PREDICATES)
@CQL2(*(f"/conf/{name}/logical" for name in PREDICATES))
def test_predicates_join_as_sets_do(found: Found, name: str) -> None:
    every = found("true")
    draw = random.Random(name)
    for _ in range(10):
        p1, p2, p3, p4 = draw.sample(PREDICATES[name], 4)
        s1, s2, s3, s4 = (found(each) for each in (p1, p2, p3, p4))
        expected = ((every - s1) & s2) | (s3 - s4) | (every - (s1 & s4))
        assert found(f"((NOT {p1} AND {p2}) OR ({p3} and NOT {p4}) or not ({p1} AND {p4}))") == expected


@CQL2("/conf/cql2-text/validate", "/conf/cql2-json/validate")
def test_both_encodings_find_the_same(found: Found) -> None:
    # `found` asks in both and compares, for every test of this file; this one is a filter of many classes at once.
    joined = " AND ".join(f"({each[0]})" for each in PREDICATES.values())
    assert found(joined) == frozenset.intersection(*(found(each[0]) for each in PREDICATES.values()))


ESCAPES = {"it''s": "it's", r"it\'s": "it's", r"a\tb": "a\tb", r"a\nb": "a\nb", r"a\rb": "a\rb", r"a\fb": "a\fb",
           r"a\vb": "a\vb", r"a\bb": "a\bb", r"a\ab": "a\ab"}  # fmt: skip


@pytest.mark.parametrize("written", ESCAPES)
@CQL2("/conf/cql2-text/escaping")
def test_escapes_in_text_stand_for_their_characters(client: TestClient, written: str) -> None:
    # The same filter in JSON holds the character itself; `_` stands for one character, whichever it is.
    text = {"filter": f"'{written}' LIKE '__%'", "filter-lang": "cql2-text", "limit": 1}
    assert client.post(SEARCH, json=text).json()["numberMatched"] == COUNT
    meant = ESCAPES[written]
    pattern = "".join("_" for _ in meant)
    text["filter"] = f"'{written}' LIKE '{pattern}'"
    assert client.post(SEARCH, json=text).json()["numberMatched"] == COUNT
    text["filter"] = f"'{written}' LIKE '{pattern}_'"
    assert client.post(SEARCH, json=text).json()["numberMatched"] == 0
