"""The inputs of a mapping job that are about radar."""

from __future__ import annotations

from typing import Any

import pytest

from talik_stac.job_documents import JobError
from talik_stac.landforms import Despeckle, recipe_for
from talik_stac.map_inputs import parse_map_inputs


def inputs(**more: Any) -> dict[str, Any]:
    area = [86.4, 27.8, 86.5, 27.9]
    return {"landform": "glacial_lake", "season": "2021", "area": area, "collection": "sentinel-1-rtc", **more}


def test_a_job_may_ask_for_despeckling_with_the_usual_parameters_or_for_none() -> None:
    assert parse_map_inputs(inputs()).recipe() == recipe_for("glacial_lake")
    assert parse_map_inputs(inputs(despeckle="ppb")).recipe().despeckle == Despeckle()
    assert parse_map_inputs(inputs(despeckle="none")).recipe().despeckle is None


def test_a_job_that_asks_for_an_unknown_filter_is_refused() -> None:
    with pytest.raises(JobError, match=r"despeckle = 'lee'.*'ppb' or 'none'"):
        parse_map_inputs(inputs(despeckle="lee"))


def test_a_job_with_a_model_of_another_name_sees_linear_power() -> None:
    assert parse_map_inputs(inputs(model="my-lakes@1")).recipe().stretch is None
    assert parse_map_inputs(inputs(model="glacial-lake-sar@2")).recipe().stretch is not None
