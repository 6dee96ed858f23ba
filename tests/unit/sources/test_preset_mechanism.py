"""Presets: parameters are filled in, and an entry may say otherwise."""

import json
from typing import Any

import pytest

from scheduler.errors import SettingsError
from scheduler.source_file import read_sources
from scheduler.sources.presets import Parameter, Preset, _filled, overridden, preset, presets

GLUE: dict[str, Any] = {"preset": "glue-job-run", "with": {"JobName": "nightly"}}


def expanded(entry: dict[str, Any]) -> Any:
    return read_sources(json.dumps({"one": entry})).entries["one"]


def test_a_preset_is_spelt_out_as_a_plain_entry() -> None:
    assert expanded(GLUE) == {
        "aws": {
            "service": "glue",
            "operation": "GetJobRun",
            "parameters": {"JobName": "nightly", "RunId": "{jobId}"},
        },
        "status": "JobRun.JobRunState",
        "in_progress": ["STARTING", "RUNNING", "STOPPING", "WAITING"],
        "completed": ["SUCCEEDED"],
        "failed": ["STOPPED", "FAILED", "TIMEOUT", "ERROR", "EXPIRED"],
        "result": "{JobRunId: JobRun.Id, CompletedOn: JobRun.CompletedOn, ExecutionTime: JobRun.ExecutionTime}",
        "reason": "JobRun.ErrorMessage",
        "unknown_errors": ["EntityNotFoundException"],
        "interval_seconds": 30,
    }


def test_region_and_role_go_with_every_preset() -> None:
    place = {"region": "eu-west-1", "role_arn": "arn:aws:iam::123456789012:role/read"}
    assert expanded(GLUE | place)["aws"].items() >= place.items()


def test_a_status_listed_elsewhere_leaves_the_list_that_the_preset_has_it_in() -> None:
    entry = expanded(GLUE | {"completed": ["SUCCEEDED", "STOPPED"]})
    assert entry["completed"] == ["SUCCEEDED", "STOPPED"]
    assert entry["failed"] == ["FAILED", "TIMEOUT", "ERROR", "EXPIRED"]


def test_limits_and_paths_may_be_said_otherwise_and_null_takes_away() -> None:
    entry = expanded(GLUE | {"interval_seconds": 30, "result": "JobRun.Id", "reason": None})
    assert (entry["interval_seconds"], entry["result"]) == (30, "JobRun.Id")
    assert "reason" not in entry


def test_acceptors_take_the_place_of_the_presets_lists_and_the_other_way_round() -> None:
    acceptors = [{"state": "success", "matcher": "status", "expected": 200}]
    entry = expanded(GLUE | {"acceptors": acceptors})
    assert entry["acceptors"] == acceptors
    assert not {"status", "completed", "failed", "in_progress"} & entry.keys()
    assert overridden({"acceptors": acceptors}, {"status": "a", "completed": ["B"]}) == {
        "status": "a",
        "completed": ["B"],
    }


def test_a_parameter_may_be_taken_from_each_row() -> None:
    entry = expanded(GLUE | {"with": {"JobName": "{input.job}"}})
    assert entry["aws"]["parameters"]["JobName"] == "{input.job}"


def test_what_an_entry_says_over_a_preset_is_checked_like_any_other() -> None:
    with pytest.raises(SettingsError, match="one: completed: 'SUCCEDED' is no status that "):
        expanded(GLUE | {"completed": ["SUCCEDED"]})


def test_a_value_keeps_its_type_and_one_that_is_left_out_takes_its_key_along() -> None:
    template = {"a": "{with.n}", "b": "no. {with.n}", "c": "{with.gone}", "d": ["{with.gone}", "{jobId}"]}
    assert _filled(template, {"n": 7, "gone": None}) == {"a": 7, "b": "no. 7", "d": ["{jobId}"]}


def test_presets_are_found_by_name() -> None:
    found = preset("glue-job-run")
    assert isinstance(found, Preset)
    assert found.parameters == {"JobName": Parameter("the job's name", needed=True)}
    assert preset("glue") is None
    assert list(presets()) == sorted(presets())
