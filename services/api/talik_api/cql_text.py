"""CQL2 text and JSON into the library's tree, with the work and the stack bounded before the library is called.

`cql2` is a PEG parser. It recurses on a stack that can overflow (3,000 parentheses end the process), and tries each
pair of parentheses twice, as an expression and as a list: n open ones before a mistake take 2^n steps (18: a second).
So each parenthesised expression is parsed by itself here, from the inside out, and takes the place of a name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cql2

from talik_api.cql_expressions import FilterError

MAX_CHARACTERS = 1_000_000
MAX_PARENTHESES = 100
MAX_DEPTH = 60
"""Operations inside each other; the library's JSON reader takes 128 brackets, which are two for each operation."""
_TOKEN = re.compile(r"""'[^']*'|"[^"]*"|[A-Za-z_][\w.:]*|<>|<=|>=|!=|[-+*/%^=<>(),]""", re.ASCII)
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.|'')*+(?:'|\\?\Z)|"[^"]*\"""", re.DOTALL)
"""A text, which may lack its end, or a name. Possessive: a mistake costs one pass."""
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"'": "''", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
"""Requirement /req/cql2-text/escaping, of which the library knows '' alone; other backslashes are left for LIKE."""
_OPERATOR_WORDS = frozenset(["not", "in", "is", "like", "between", "div"])
_GEOMETRY_WORDS = frozenset(
    ["point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection"]
)
_DIMENSIONS = frozenset(["z", "m", "zm"])


@dataclass(kw_only=True)
class _Frame:
    """What was read since a parenthesis opened."""

    kind: str = "expression"
    """`expression` in bare parentheses; `list` after IN; `call` after a name; `geometry`."""
    parts: list[str] = field(default_factory=list)
    has_comma: bool = False
    kept: int = 0
    """Lists or parts of a geometry inside each other that this frame hands to the library."""
    pending: int = 0
    """Operators since the last comma, AND or OR, and those before in the frames around: each may be a level."""
    pending_around: int = 0
    in_between: bool = False


def parse_text(text: str) -> Any:
    """Parse CQL2 text into a CQL2-JSON tree; raises FilterError where it is malformed, too long or too deep."""
    check_length(text)
    text = _QUOTED.sub(_without_escapes, text)
    frames, trees, position, before = [_Frame()], dict[str, Any](), 0, ("", "")
    for match in _TOKEN.finditer(text):
        frames[-1].parts.append(text[position : match.start()])
        token, position = match[0], match.end()
        if token == "(":
            pending = frames[-1].pending
            frames.append(_Frame(kind=_kind(before, frames[-1]), pending=pending, pending_around=pending))
        elif token == ")":
            _close(frames, trees, match.start())
        else:
            _take(frames[-1], token)
        if len(frames) > MAX_PARENTHESES + 1 or frames[-1].pending > 3 * MAX_DEPTH:
            raise FilterError(f"the filter is nested more than {MAX_DEPTH} deep; write it flatter")
        before = (before[1], token.lower())
    frames[-1].parts.append(text[position:])
    if len(frames) > 1:
        raise FilterError(f"the filter opens {len(frames) - 1} parentheses that it does not close; close them")
    tree = _tree_of(frames[0], trees)
    check_depth(tree)
    return tree


def parse_json(source: str | dict[str, Any]) -> Any:
    """Read CQL2-JSON; the library is handed a tree whose depth is known."""
    if isinstance(source, str):
        check_length(source)
        try:
            source = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise FilterError(f"the filter is no JSON: {error}"[:300]) from error
    check_depth(source)
    text = json.dumps(source)
    check_length(text)
    tree = _parsed(cql2.parse_json, text)
    check_depth(tree)
    return tree


def canonical_text(tree: Any) -> str:
    """Write a tree as CQL2 text, spelled in one way."""
    try:
        return str(cql2.parse_json(json.dumps(tree)).to_text())
    except Exception as error:  # the library raises plain Exception too
        raise FilterError(f"the filter cannot be written as CQL2 text: {' '.join(str(error).split())}"[:300]) from error


def check_length(text: str) -> None:
    """Raise FilterError where a filter is too long."""
    if len(text) > MAX_CHARACTERS:
        raise FilterError(f"the filter has {len(text)} characters; at most {MAX_CHARACTERS} are taken")


def check_depth(tree: Any) -> None:
    """Measure a tree without recursion: an operation or a list in a list is one level."""
    level: list[Any] = [tree]
    for _ in range(MAX_DEPTH + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise FilterError(f"the filter is nested more than {MAX_DEPTH} deep; write it flatter")


def _without_escapes(quoted: re.Match[str]) -> str:
    """Put the characters that a text means by backslashes into it."""
    if quoted[0].startswith('"'):
        return quoted[0]
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), quoted[0])


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [child for value in node.values() for child in (value if isinstance(value, list) else [value])]
    return node if isinstance(node, list) else []


def _kind(before: tuple[str, str], around: _Frame) -> str:
    """Tell what a parenthesis opens from the two tokens before it."""
    earlier, last = before
    named = last in _GEOMETRY_WORDS or (last in _DIMENSIONS and earlier in _GEOMETRY_WORDS)
    if named or around.kind == "geometry":
        return "geometry"
    if last == "in":
        return "list"
    is_name = last[:1].isalpha() or last[:1] in {"_", '"'}
    return "call" if is_name and last not in _OPERATOR_WORDS | {"and", "or"} else "expression"


def _take(frame: _Frame, token: str) -> None:
    """Note a token that is no parenthesis; the AND of a BETWEEN does not begin anew."""
    word = token.lower()
    if token.startswith('"('):  # such names stand for trees here
        raise FilterError(f"property {token[:60]} is not known; no name begins with a parenthesis")
    frame.parts.append(token)
    frame.has_comma = frame.has_comma or word == ","
    if word == "and" and frame.in_between:
        frame.in_between = False
    elif word in {",", "and", "or"}:
        frame.pending = frame.pending_around
    elif word in _OPERATOR_WORDS or not (word[0].isalpha() or word[0] in "_'\""):
        frame.pending, frame.in_between = frame.pending + 1, frame.in_between or word == "between"


def _close(frames: list[_Frame], trees: dict[str, Any], position: int) -> None:
    """End the innermost parenthesis: an expression becomes a name for its tree, all else stays as it is."""
    if len(frames) == 1:
        raise FilterError(f"the filter closes a parenthesis at character {position + 1} that it did not open")
    frame = frames.pop()
    if frame.kind == "expression" and not frame.has_comma:
        name = f"({len(trees)})"
        trees[name] = _tree_of(frame, trees)
        frames[-1].parts.append(f' "{name}" ')
        return
    kept = frame.kept + (frame.kind != "call")
    # GEOMETRYCOLLECTION(MULTIPOLYGON(((0 0,... is the deepest geometry; lists in lists have no use here.
    if kept > (2 if frame.kind in {"list", "expression"} else 4):
        raise FilterError(
            f"lists or geometries are nested too deep before character {position + 1}; write them flatter"
        )
    frames[-1].kept = max(frames[-1].kept, kept)
    frames[-1].parts.append(f"({''.join(frame.parts)})")


def _tree_of(frame: _Frame, trees: dict[str, Any]) -> Any:
    """Parse what a frame holds and put trees for the names that stand for them."""
    tree = _parsed(cql2.parse_text, "".join(frame.parts))
    check_depth(tree)
    return _filled(tree, trees) if trees else tree


def _filled(tree: Any, trees: dict[str, Any]) -> Any:
    if isinstance(tree, list):
        return [_filled(each, trees) for each in tree]
    if not isinstance(tree, dict):
        return tree
    if "property" in tree:
        return trees.get(tree["property"], tree)
    return {key: _filled(value, trees) for key, value in tree.items()}


def _parsed(parse: Callable[[str], Any], text: str) -> Any:
    """Parse, and tell where it failed."""
    try:
        return parse(text).to_json()
    except Exception as error:  # the library raises plain Exception too, such as for POINT EMPTY
        raise FilterError(_where(str(error), text)) from error


def _where(message: str, text: str) -> str:
    """Say in one line what the parser draws in five."""
    place = re.search(r"--> (\d+):(\d+)", message)
    expected = re.search(r"expected (.*)", message)
    if place is None:
        return f"the filter is no CQL2: {' '.join(message.split())}"[:300]
    what = f": expected {expected[1]}" if expected else ""
    shown = " ".join(text.split())[:60]
    return f"the filter cannot be parsed at line {place[1]}, column {place[2]} of {shown!r}{what}"[:300]
