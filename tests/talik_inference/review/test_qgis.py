"""A sheet in QGIS itself: how it looks, what its form offers, and that what is saved there comes back."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import shapely

from editing import publish_polygons
from talik_inference.review.returned import import_sheet
from talik_inference.review.sheets import write_sheet
from talik_inference.review.styling import COLOURS, READ_ONLY
from talik_stac.editions import load_edition, read_geo
from talik_stac.review_documents import STATUSES, Said, criteria_for
from talik_stac.reviews import standing
from talik_stac.store import Store

pytestmark = pytest.mark.skipif(
    not Path("/usr/lib/python3/dist-packages/qgis").exists(),
    reason="QGIS is not installed (apt-get install python3-qgis)",
)
EDITION = "water-test-2021-v1"
CRITERIA = criteria_for("water")

OPENED = """
import json, os, sys
from qgis.core import QgsApplication, QgsGeometry, QgsRenderContext, QgsVectorLayer, QgsVectorLayerUtils
from qgis.gui import QgsAttributeForm, QgsGui
from qgis.PyQt.QtCore import QDate
from qgis.PyQt.QtWidgets import QWidget

app = QgsApplication([], True)
app.initQgis()
QgsGui.editorWidgetRegistry().initEditors()
path, ids = sys.argv[1], sys.argv[2:]
layer = QgsVectorLayer(f"{path}|layername=review", "review", "ogr")
number = {field.name(): place for place, field in enumerate(layer.fields())}
row = {feature["id"]: feature.id() for feature in layer.getFeatures()}
layer.startEditing()

def form_of(name):
    form = QgsAttributeForm(layer, layer.getFeature(row[name]))
    form.show()
    app.processEvents()
    return form

def widget(form, field):
    # QGIS names both the place of a field in the form and the widget in it after the field
    found = form.findChildren(QWidget, field)
    return found[-1] if found else None

def end(**said):
    # Not exitQgis, which crashes in some releases where Python still holds a layer.
    print("SAID " + json.dumps(said), flush=True)
    os._exit(0)
"""
"""The sheet as QGIS adds it to a map: as a layer with the style that the file brings."""

LOOK = """
layer.changeAttributeValue(row[ids[0]], number["status"], "rejected")
renderer, context = layer.renderer(), QgsRenderContext()
renderer.startRender(context, layer.fields())

def colour(symbol):
    return ",".join(map(str, symbol.symbolLayer(0).strokeColor().getRgb()[:3]))

drawn = [colour(renderer.symbolForFeature(layer.getFeature(row[name]), context)) for name in ids]
renderer.stopRender(context)
form = form_of(ids[1])
status = widget(form, "status")
end(
    renderer=[renderer.type(), renderer.classAttribute()],
    colours={category.value(): colour(category.symbol()) for category in renderer.categories()},
    drawn=drawn,
    choices=[status.itemText(place) for place in range(status.count())],
    chosen=status.currentText(),
    widgets={name: layer.editorWidgetSetup(place).type() for name, place in number.items()},
    shown={name: type(widget(form, name)).__name__ for name in number if widget(form, name)},
    highest=widget(form, "confidence").maximum(),
    read_only=[name for name, place in number.items() if layer.editFormConfig().readOnly(place)],
)
"""

EDIT = """
a, b, c, d, criterion = ids
form = form_of(a)
widget(form, "status").setCurrentText("confirmed")
widget(form, "comment").setText("deep")
widget(form, criterion).setChecked(True)
widget(form, "initiated_after").setDate(QDate(2014, 7, 1))
widget(form, "initiated_before").setDate(QDate(2016, 8, 31))
widget(form, "confidence").setValue(0.8)
accepted = form.save()
moved = QgsGeometry.fromWkt("MultiPolygon (((0.1 0, 0.12 0, 0.12 0.02, 0.1 0.02, 0.1 0)))")
layer.changeGeometry(row[b], moved)
form = form_of(c)
widget(form, "status").setCurrentText("rejected")
accepted = form.save() and accepted
new = QgsGeometry.fromWkt("MultiPolygon (((0.5 0, 0.51 0, 0.51 0.01, 0.5 0.01, 0.5 0)))")
layer.addFeature(QgsVectorLayerUtils.createFeature(layer, new, {number["status"]: "confirmed"}))
saved = layer.commitChanges()
errors = [] if saved else layer.commitErrors()
del form, layer
end(accepted=accepted, saved=saved, errors=errors)
"""

UNDO = """
layer.changeAttributeValue(row[ids[0]], number["status"], "confirmed")
form = form_of(ids[0])
widget(form, "status").setCurrentText("not decided")
form.save()
saved = layer.commitChanges()
del form, layer
end(saved=saved)
"""


def in_qgis(script: str, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run a script in Debian's QGIS, without a screen; what it said at its end."""
    path = folder / "script.py"
    path.write_text(OPENED + script)
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    env.pop("PYTHONPATH", None)
    command = ["/usr/bin/python3", str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, env=env)
    lines = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
    assert lines, done.stderr[-2000:]
    assert "may only be partially supported" not in done.stderr
    said: dict[str, Any] = json.loads(lines[0].removeprefix("SAID "))
    return said


@pytest.fixture
def sheet(folder_store: Store, tmp_path: Path) -> tuple[Path, list[str]]:
    """A sheet of four boxes for Ann, and their ids from west to east."""
    boxes = [shapely.box(x / 10, 0, x / 10 + 0.01, 0.01) for x in range(4)]
    frame = read_geo(folder_store, publish_polygons(folder_store, tmp_path / "edition", boxes, year=2021))
    path = tmp_path / "ann.gpkg"
    write_sheet(folder_store, EDITION, reviewer="Ann", path=path)
    return path, [frame["id"].iat[i] for i in frame.geometry.bounds["minx"].argsort()]


def test_qgis_shows_the_sheet_in_its_style_and_offers_its_form(sheet: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, ids = sheet
    said = in_qgis(LOOK, tmp_path, path, *ids)
    assert said["renderer"] == ["categorizedSymbol", "status"]
    assert said["colours"] == COLOURS
    assert said["drawn"] == [COLOURS["rejected"], *[COLOURS[""]] * 3], "a status that is null is not decided"
    assert said["choices"] == ["not decided", *STATUSES]
    assert said["chosen"] == "not decided"
    boxes = {name: said["widgets"][name] for name in CRITERIA}
    assert boxes == dict.fromkeys(CRITERIA, "CheckBox")
    assert {said["shown"][name] for name in CRITERIA} == {"QCheckBox"}
    dates = ("initiated_after", "initiated_before")
    assert [said["widgets"][name] for name in dates] == ["DateTime", "DateTime"]
    assert {said["shown"][name] for name in dates} == {"QDateTimeEdit"}
    assert "fid" not in said["shown"]
    assert (said["widgets"]["confidence"], said["highest"]) == ("Range", pytest.approx(1))
    assert said["read_only"] == list(READ_ONLY)


def test_what_is_edited_in_qgis_is_taken_back(
    folder_store: Store, sheet: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, (a, b, c, d) = sheet
    one, *_ = CRITERIA
    assert in_qgis(EDIT, tmp_path, path, a, b, c, d, one) == {"accepted": True, "saved": True, "errors": []}
    done = import_sheet(folder_store, path, reviewer="Ann")
    assert (len(done.decisions), done.unchanged, done.undecided) == (4, 0, 1)
    found = standing(folder_store, EDITION, read_geo(folder_store, load_edition(folder_store, EDITION)))
    stands = {each.object_id: each for each in found}
    # What is not ticked is not answered; QGIS 3.22 saves it as no.
    assert not any(answer for name, answer in stands[a].said.criteria.items() if name != one)
    assert stands[a].said == Said(
        status="confirmed",
        criteria=stands[a].said.criteria | {one: True},
        confidence=0.8,
        comment="deep",
        initiated_after=date(2014, 7, 1),
        initiated_before=date(2016, 8, 31),
    )
    assert stands[b].status == "edited"
    assert stands[b].redrawn is not None
    assert stands[b].redrawn.equals(shapely.box(0.1, 0, 0.12, 0.02))
    no = stands[c].said
    assert (no.status, no.confidence, no.comment, no.initiated_after) == ("rejected", None, "", None)
    assert not any(no.criteria.values())
    assert d not in stands
    (new,) = (each for each in found if each.added)
    assert new.decision.seen.equals(shapely.box(0.5, 0, 0.51, 0.01))
    assert not import_sheet(folder_store, path, reviewer="Ann").decisions, "twice changes nothing"


def test_a_status_can_be_taken_out_again_in_the_form(
    folder_store: Store, sheet: tuple[Path, list[str]], tmp_path: Path
) -> None:
    path, ids = sheet
    assert in_qgis(UNDO, tmp_path, path, ids[0]) == {"saved": True}
    done = import_sheet(folder_store, path, reviewer="Ann")
    assert (len(done.decisions), done.undecided) == (0, 4)
