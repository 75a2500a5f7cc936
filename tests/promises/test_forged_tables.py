"""Promise: a table with missing or other columns, whose digests are right, is one sentence with file and column."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from avf_curation.cli.main import main as curate_main
from avf_shards.cli.main import main as shards_main
from avf_shards.errors import FaultError
from avf_shards.format.file_digests import LedgerDigests, digest
from avf_shards.format.plan_summary import PlanSummary
from avf_shards.schema.ledger import SCHEMA, parse_measurements, read_ledger, table_to_decisions
from avf_shards.schema.versions import encode_parquet
from support.runs import make_run

LEDGER, PLAN, SKIPPED = "ledger/ledger.parquet", "plan/plan.parquet", "plan/skipped_inputs.parquet"
DIGESTS = {LEDGER: "ledger/ledger.json", PLAN: "plan/plan.json", SKIPPED: "plan/plan.json"}


def forge(attempt: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a table of an attempt and the digest that the attempt has of it."""
    path = attempt / name
    data = encode_parquet(change(pq.read_table(path)))
    path.write_bytes(data)
    summary = attempt / DIGESTS[name]
    values = PlanSummary.read(summary) if summary.name == "plan.json" else LedgerDigests.read(summary)
    assert values is not None
    summary.write_bytes(replace(values, file_sha256={**values.file_sha256, path.name: digest(data)}).to_json())


def drop(column: str) -> Callable[[pa.Table], pa.Table]:
    return lambda table: table.drop_columns([column])


def retype(column: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(column)
        return table.set_column(index, column, pa.array([True] * table.num_rows))

    return change


def empty(column: str) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index(column)
        return table.set_column(index, column, pa.nulls(table.num_rows, table.schema.field(index).type))

    return change


CASES = [
    (LEDGER, "status", drop),
    (LEDGER, "clips", retype),
    (LEDGER, "video_id", empty),
    (PLAN, "video_id", drop),
    (PLAN, "size_bytes", retype),
    (PLAN, "path", empty),
    (SKIPPED, "kind", drop),
    (SKIPPED, "reason", retype),
]


@pytest.mark.parametrize(("name", "column", "change"), CASES, ids=[f"{c[0]}-{c[1]}-{c[2].__name__}" for c in CASES])
def test_a_forged_table_is_one_sentence_in_every_command(
    name: str,
    column: str,
    change: Callable[[str], Callable[[pa.Table], pa.Table]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = make_run(tmp_path)
    forge(run.attempt_folder(0), name, change(column))
    root = str(run.root)
    commands = [
        (curate_main, ["audit", root]),
        (curate_main, ["explain", root, "000.mp4"]),
        (curate_main, ["what-if", root, "--set", "track.min_present=0.9"]),
        (curate_main, ["retry", root, "--engine", "inline"]),
        (curate_main, ["status", root]),
        (shards_main, ["pack", root, "--out", str(tmp_path / "shards")]),
        (shards_main, ["delete", "--run", root, "--video", "made/000.mp4", "--allow-unknown"]),
        (curate_main, ["verify", root]),
    ]
    named = 0
    for main, words in commands:
        status = main(words)
        out, err = capsys.readouterr()
        assert status in (0, 1, 2), words
        named += re.search(rf"{re.escape(Path(name).name)}.*column {column}", out + err) is not None
    assert named >= 1


def test_values_that_no_decision_has_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    table = read_ledger(run.attempt_folder(0) / LEDGER)
    stops = table.set_column(SCHEMA.get_field_index("stop_frame"), "stop_frame", pa.array([-1] * table.num_rows))
    with pytest.raises(FaultError, match=r"ledger: .*: the row is no decision \(not a span"):
        table_to_decisions(stops)
    for text in ("[" * 200_000, "[]", '{"scenes": 3}', "no JSON"):
        with pytest.raises(FaultError, match=r"^ledger: measurements"):
            parse_measurements(text, "ledger: measurements")
