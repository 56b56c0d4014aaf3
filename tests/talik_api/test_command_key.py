"""`talik key`: what it prints is a key that the service then knows, and nothing is kept."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from talik_api.access import AccessRules, AccessRulesError, authenticate, load_keys
from talik_api.commands.key import app


def test_a_new_key_is_known_to_a_service_with_the_printed_setting() -> None:
    shown = CliRunner().invoke(app, ["new", "field-lab"], catch_exceptions=False)
    assert shown.exit_code == 0
    keys = re.findall(r"talik_[A-Za-z0-9_-]{43}", shown.output)
    setting = re.search(r"TALIK_API_KEYS='(.*)'", shown.output)
    assert len(keys) == 1
    assert setting is not None
    assert keys[0] not in setting[1]
    principal = authenticate({"X-API-Key": keys[0]}, AccessRules(keys=load_keys(setting[1])))
    assert principal is not None
    assert principal.name == "field-lab"


def test_two_keys_differ() -> None:
    outputs = {CliRunner().invoke(app, ["new", "lab"]).output for _ in range(2)}
    assert len(outputs) == 2


@pytest.mark.parametrize("name", ["", "a b", "it's", "a/b", "x" * 65, "-lab", "a\n"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(AccessRulesError, match="key name"):
        CliRunner().invoke(app, ["new", "--", name], catch_exceptions=False)
