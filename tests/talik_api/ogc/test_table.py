"""docs/ogc-conformance.md says which test carries out which abstract test; here it is held to that."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from talik_api.conformance import conformance_classes

from .suites import SUITES

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parents[1] / "docs" / "ogc-conformance.md"
HERE = ("test_core", "test_crs", "test_filtering", "test_cql2")
LEFT_OUT = "Not carried out"
Row = tuple[str, str]
"""Specification and id."""


@cache
def rows() -> dict[str, dict[Row, list[str]]]:
    """Heading -> (specification, id) -> what the second column says: tests, or the reason why there is none."""
    found: dict[str, dict[Row, list[str]]] = {}
    heading = specification = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line[3:]
        elif line.startswith("### "):
            (specification,) = re.findall(r"`(.+?)`", line)
        elif match := re.match(r"\| `(/conf/\S+)` \| (.+) \|$", line):
            row = (specification, match[1])
            assert row not in found.setdefault(heading, {}), row
            found[heading][row] = re.findall(r"`(\S+::\w+)`", match[2]) or [match[2]]
    return found


def carried_out() -> dict[Row, list[str]]:
    return {row: tests for name, each in rows().items() if name != LEFT_OUT for row, tests in each.items()}


@cache
def functions_of(path: str) -> set[str]:
    """The tests that a file defines."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def said() -> dict[Row, set[str]]:
    """(specification, id) -> the tests of this folder that say they carry it out."""
    found: dict[Row, set[str]] = {}
    for name in HERE:
        for test in vars(importlib.import_module(f".{name}", __package__)).values():
            for row in getattr(test, "abstract_ids", ()):
                found.setdefault(row, set()).add(f"ogc/{name}.py::{test.__name__}")
    return found


def test_the_table_lists_what_the_tests_say() -> None:
    listed = {row: {test for test in tests if test.startswith("ogc/")} for row, tests in carried_out().items()}
    assert {row: tests for row, tests in listed.items() if tests} == said()


def test_every_test_of_the_page_exists() -> None:
    named = re.findall(r"`(\S+\.py)::(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 100
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(path)] == []
    assert all("::" in test for tests in carried_out().values() for test in tests)


@pytest.mark.parametrize("uri", conformance_classes())
def test_every_class_that_we_name_is_tested(uri: str) -> None:
    classes = {f"http://www.opengis.net/spec/{spec}/{id_.rpartition('/')[0][1:]}" for spec, id_ in carried_out()}
    assert uri in classes


def test_every_row_is_of_a_class_that_we_name() -> None:
    every = {*carried_out(), *rows()[LEFT_OUT]}
    classes = {f"http://www.opengis.net/spec/{spec}/{id_.rpartition('/')[0][1:]}" for spec, id_ in every}
    assert classes - set(conformance_classes()) == set()


@pytest.mark.parametrize("specification", SUITES)
def test_every_abstract_test_is_carried_out_or_the_page_says_why_not(specification: str) -> None:
    done = {id_ for spec, id_ in carried_out() if spec == specification}
    left = {id_ for spec, id_ in rows()[LEFT_OUT] if spec == specification}
    assert not done & left
    assert done | left == set(SUITES[specification])
