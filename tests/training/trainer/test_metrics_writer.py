"""The metric files of a run: rows have a version, and a resumed run drops the rows of steps that it repeats."""

import io
import json
from pathlib import Path

import pytest
from avf_shards.errors import FaultError, UserError
from avf_training.trainer.metrics_writer import EVALUATION, METRICS, MetricsWriter, read_lines


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, 0, 9, io.StringIO())
    writer.write({"step": 0, "loss": 1.5})
    writer.write({"step": 1, "loss": float("nan")})
    writer.write({"step": 1, "mse": 0.5}, EVALUATION)
    assert read_lines(tmp_path / METRICS) == [{"step": 0, "loss": 1.5}, {"step": 1, "loss": None}]
    assert read_lines(tmp_path / EVALUATION) == [{"step": 1, "mse": 0.5}]
    assert json.loads((tmp_path / METRICS).read_text().splitlines()[0])["schema_version"] == 1


def test_a_resumed_run_drops_repeated_steps_and_a_line_cut_short(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path, 0, 9, io.StringIO())
    for step in range(3):
        writer.write({"step": step, "loss": 1.0})
    with open(tmp_path / METRICS, "a") as file:
        file.write('{"step": 3, "lo')
    assert len(read_lines(tmp_path / METRICS)) == 3
    MetricsWriter(tmp_path, 2, 9, io.StringIO())
    assert [row["step"] for row in read_lines(tmp_path / METRICS)] == [0, 1]


def test_a_damaged_line_and_a_newer_version_are_named(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"step": 0, "schema_version": 1}\nnot json\n')
    with pytest.raises(FaultError, match=r"metrics\.jsonl, line 2: not readable as JSON"):
        read_lines(tmp_path / METRICS)
    for step in ("", '"step": "one", ', '"step": null, '):
        (tmp_path / METRICS).write_text(f'{{{step}"schema_version": 1}}\n')
        with pytest.raises(FaultError, match=r"metrics\.jsonl, line 1: step must be a whole number"):
            read_lines(tmp_path / METRICS)
    (tmp_path / METRICS).write_text('{"step": 0, "schema_version": 2}\n')
    with pytest.raises(UserError, match="update avf-foundry"):
        read_lines(tmp_path / METRICS)
