"""Parameters that nobody declared are refused (OGC API Common: a typing error must not widen an answer)."""

from __future__ import annotations

import difflib

from fastapi import Request

from talik_api.problems import Problem


def only_known(request: Request) -> None:
    """A dependency of every route. Raises Problem 400 that names the unknown parameter and those that exist."""
    route = request.scope.get("route")
    dependant = getattr(route, "dependant", None)
    if dependant is None:
        return
    known = _names(dependant)
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            said = f"; did you mean {near[0]}?" if near else f"; there is: {', '.join(sorted(known)) or 'none'}"
            raise Problem(400, "There is no such parameter", f"parameter '{name[:100]}'{said}")
    for name in known:
        if len(request.query_params.getlist(name)) > 1:
            raise Problem(
                400, "A parameter is given twice", f"parameter '{name}' is given more than once; join values by commas"
            )


def _names(dependant: object) -> set[str]:
    names = {field.alias for field in dependant.query_params}  # type: ignore[attr-defined]
    for inner in dependant.dependencies:  # type: ignore[attr-defined]
        names |= _names(inner)
    return names
