"""The log of units is read as it was written, and a truncated line is ignored."""

import json
from pathlib import Path

from avf_curation.pipeline.unit_job import UnitReport
from avf_curation.runs.unit_log import append_unit, last_unit_age_s, read_unit_log
from avf_shards.format.run_folder import RunFolder

REPORT = UnitReport(
    unit=3, videos=2, kept=1, rejected=4, failed=0, frames=500, stage_seconds={"sync": 1.5}, cpu_seconds=2.0
)


def test_appended_entries_are_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log_folder.mkdir()
    append_unit(run, REPORT, 0)
    append_unit(run, REPORT, 1)
    entries = read_unit_log(run)
    assert [(entry.attempt, entry.report) for entry in entries] == [(0, REPORT), (1, REPORT)]
    assert entries[0].time <= entries[1].time
    age_s = last_unit_age_s(run)
    assert age_s is not None
    assert -1 < age_s < 60


def test_a_truncated_line_is_ignored(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log_folder.mkdir()
    append_unit(run, REPORT, 0)
    log = run.log_folder / "units.jsonl"
    text = log.read_text()
    log.write_text(text + text[:40] + "\n7\n")
    assert [entry.report for entry in read_unit_log(run)] == [REPORT]


def test_a_field_that_a_later_version_adds_is_ignored(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.log_folder.mkdir()
    append_unit(run, REPORT, 0)
    log = run.log_folder / "units.jsonl"
    log.write_text(json.dumps(json.loads(log.read_text()) | {"new": 1}) + "\n")
    assert [entry.report for entry in read_unit_log(run)] == [REPORT]


def test_a_missing_log_has_no_entries(tmp_path: Path) -> None:
    assert read_unit_log(RunFolder(tmp_path)) == []
    assert last_unit_age_s(RunFolder(tmp_path)) is None
