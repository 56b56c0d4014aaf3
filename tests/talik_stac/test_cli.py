"""The `talik` command: lazy commands, one line for each error, exit codes."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from talik_stac import cli
from talik_stac.errors import AoiError, TalikError
from talik_stac.settings import Settings

_MODULES = {
    "talik_one.py": """
import typer
from talik_stac.errors import AoiError
app = typer.Typer()
@app.command()
def run(what: str = "ok"):
    'Do one thing.'
    if what == "user": raise AoiError("first line\\nsecond line")
    if what == "bug": raise RuntimeError("oh no")
    if what == "stop": raise KeyboardInterrupt
    if what == "late": import no_such_package.inner
    print("one", what)
""",
    "talik_many.py": """
import typer
app = typer.Typer(help="Many things.")
@app.command("list")
def list_(): print("listed")
@app.command()
def show(name: str): print("showed", name)
""",
    "talik_broken.py": "import no_such_package\n",
    "talik_ours.py": "import talik_stac.no_such_module\n",
}

_ENTRIES = {
    "map": "talik_one:app",
    "editions": "talik_many:app",
    "broken": "talik_broken:app",
    "ours": "talik_ours:app",
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points of modules that this test wrote, each imported afresh."""
    for name, text in _MODULES.items():
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [EntryPoint(name, value, cli.GROUP) for name, value in _ENTRIES.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: entries)


def _talik(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Run main() as the console script does; its exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["talik", *args])
    with pytest.raises(SystemExit) as exit_:
        cli.main()
    code = exit_.value.code
    out, err = capsys.readouterr()
    return (code if isinstance(code, int) else 0), out, err


def test_help_lists_every_command_and_imports_none(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = _talik(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    for name in _ENTRIES:
        assert name in out
    assert "Map a landform" in out
    assert not {"talik_one", "talik_many", "talik_broken"} & set(sys.modules)


def test_a_command_is_run_directly_and_the_others_are_not_imported(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _talik(monkeypatch, capsys, "map", "--what", "water") == (0, "one water\n", "")
    assert "talik_many" not in sys.modules


def test_an_app_of_several_commands_is_a_group(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _talik(monkeypatch, capsys, "editions", "list") == (0, "listed\n", "")
    assert _talik(monkeypatch, capsys, "editions", "show", "x") == (0, "showed x\n", "")
    code, out, _ = _talik(monkeypatch, capsys, "editions", "--help")
    assert code == 0
    assert "Many things." in out
    assert "install-completion" not in out


@pytest.mark.parametrize("args", [["mpa"], ["map", "--no-such"], ["editions", "show"], ["--no-such"]])
def test_a_wrong_command_line_exits_with_2(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], args: list[str]
) -> None:
    code, out, err = _talik(monkeypatch, capsys, *args)
    assert (code, out) == (2, "")
    assert "Usage: talik" in err
    assert "Traceback" not in err


def test_a_typing_error_gets_a_suggestion(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Did you mean 'map'" in _talik(monkeypatch, capsys, "mpa")[2]


def test_an_error_of_the_user_is_one_line_and_2(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _talik(monkeypatch, capsys, "map", "--what", "user")
    assert answer == (2, "", "talik: error: first line second line\n")


def test_a_fault_of_ours_is_one_line_and_1_and_a_traceback_on_request(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TALIK_DEBUG", raising=False)
    code, out, err = _talik(monkeypatch, capsys, "map", "--what", "bug")
    assert (code, out) == (1, "")
    assert err.startswith("talik: internal error: RuntimeError: oh no; please report it")
    assert err.count("\n") == 1
    monkeypatch.setenv("TALIK_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["talik", "map", "--what", "bug"])
    with pytest.raises(RuntimeError, match="oh no"):
        cli.main()


def test_ctrl_c_is_one_line_and_130(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _talik(monkeypatch, capsys, "map", "--what", "stop")
    assert answer == (130, "", "talik: stopped; the same command resumes\n")


@pytest.mark.parametrize(("args", "called"), [(["broken"], "broken"), (["map", "--what", "late"], "map")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    commands: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    called: str,
) -> None:
    code, out, err = _talik(monkeypatch, capsys, *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"talik: error: talik {called} needs no_such_package, which is not installed: pip install ")


@pytest.mark.parametrize(
    ("module", "home", "expected"),
    [
        ("onnxruntime", "talik_inference.commands.map:app", "pip install 'talik[inference]'"),
        ("distributed", "talik_inference.commands.map:app", "pip install 'talik[dask]'"),
        ("matplotlib.pyplot", "talik_inference.commands.demo:app", "pip install 'talik[demo]'"),
        ("pyarrow", "talik_stac.commands.editions:app", "pip install pyarrow"),
    ],
)
def test_each_package_has_its_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str, home: str, expected: str
) -> None:
    class Missing(EntryPoint):
        def load(self) -> object:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(cli, "entry_points", lambda group: [Missing("map", home, group)])
    code, _, err = _talik(monkeypatch, capsys, "map")
    package = module.partition(".")[0]
    assert (code, err) == (2, f"talik: error: talik map needs {package}, which is not installed: {expected}\n")


def test_a_missing_module_of_ours_is_a_fault_of_ours(
    commands: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TALIK_DEBUG", raising=False)
    code, _, err = _talik(monkeypatch, capsys, "ours")
    assert code == 1
    assert "internal error: ModuleNotFoundError: No module named 'talik_stac.no_such_module'" in err


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(cli.app, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("talik ")


def test_every_entry_point_of_the_project_has_its_line_of_help() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    section = text.partition('entry-points."talik.commands"]')[2].partition("\n[")[0]
    names = {line.partition("=")[0].strip() for line in section.splitlines() if "=" in line}
    assert names == set(cli._HELP)


def test_help_needs_neither_gdal_nor_numpy() -> None:
    code = (
        "import sys; sys.argv = ['talik', '--help']\n"
        "from talik_stac.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'shapely', 'pyproj', 'rasterio', 'onnxruntime', 'pyarrow', 'pydantic', 'obstore'}\n"
        "print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_warnings_go_to_stderr_and_more_with_v(commands: None, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        for verbose, expected in [(False, ["careful"]), (True, ["reading", "careful"])]:
            cli.configure_logging(verbose=verbose)
            logging.getLogger("talik_stac.x").info("reading")
            logging.getLogger("talik_stac.x").warning("careful")
            out, err = capsys.readouterr()
            assert out == ""
            assert [word for word in ("reading", "careful") if word in err] == expected
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORE", "MAX_AREA_KM2", "MAX_VERTICES", "WORKERS", "DEBUG"):
        monkeypatch.delenv(f"TALIK_{name}", raising=False)
    assert Settings().store == "./talik-data"
    monkeypatch.setenv("TALIK_STORE", "s3://bucket/x")
    monkeypatch.setenv("TALIK_MAX_AREA_KM2", "12.5")
    monkeypatch.setenv("TALIK_WORKERS", "3")
    settings = Settings()
    assert (settings.store, settings.max_area_km2, settings.workers) == ("s3://bucket/x", 12.5, 3)
    with pytest.raises(ValueError, match="frozen"):
        settings.workers = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"), [("WORKERS", "many"), ("WORKERS", "0"), ("MAX_AREA_KM2", "nan"), ("STORE", "")]
)
def test_a_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TALIK_{name}", value)
    with pytest.raises(TalikError, match=rf"TALIK_{name}=.*; correct it or unset it"):
        Settings()


def test_typer_sees_an_error_of_ours_as_itself() -> None:
    """A command run by CliRunner, as other tests do, raises the TalikError itself."""
    app = typer.Typer()

    @app.command()
    def run() -> None:
        raise AoiError("x")

    assert isinstance(CliRunner().invoke(app, []).exception, AoiError)
