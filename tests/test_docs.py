"""The documentation is true: links lead to files, commands and options exist, the glossary's files too."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TALIK = Path(sys.executable).parent / "talik"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert missing == []


def test_every_command_and_option_of_the_documentation_exists() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    used: dict[str, set[str]] = {}
    for line in re.findall(r"^\$? ?talik (.+)$", text, re.MULTILINE):
        words = line.split()
        groups = ("editions", "review", "key", "models", "loop")
        # `talik loop RECIPE.toml` is `talik loop run RECIPE.toml`.
        words = [words[0], "run", *words[1:]] if words[0] == "loop" and words[1].endswith(".toml") else words
        command = " ".join(words[:2]) if words[0] in groups else words[0]
        used.setdefault(command, set()).update(word for word in words if word.startswith("--"))
    assert {"map", "index", "editions diff"} <= set(used)
    for command, options in used.items():
        shown = subprocess.run(
            [str(TALIK), *command.split(), "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"COLUMNS": "200", "PATH": ""},
        ).stdout
        assert [option for option in options if option not in shown] == [], command


def test_every_file_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = set(re.findall(r"`?((?:[a-z_]+/)?[a-z_0-9]+\.py)`?", text))
    folders = [ROOT / "stac", ROOT / "services"]
    known = {path.name for folder in folders for path in folder.rglob("*.py")}
    assert [name for name in names if Path(name).name not in known] == []


def test_readme_has_no_gap_left_to_fill() -> None:
    assert not re.findall(r"\b[A-Z]+_OUTPUT\b|\bFIGURES\b|TODO", "\n".join(page.read_text() for page in PAGES))
