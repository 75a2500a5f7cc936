"""A file of a newer schema version, or of none, is refused by whoever reads it with one sentence and exit status 2."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest
from avf_curation.cli.main import main as curate_main
from avf_curation.runs.cost_estimate import TOTALS, SourceTotals, remembered_totals, write_totals
from avf_shards.cli.main import main as shards_main
from avf_shards.errors import FaultError, UserError
from avf_shards.format.manifest import seal
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema import versions
from avf_shards.schema.ledger import read_ledger
from avf_shards.schema.versions import SCHEMA_VERSION, VERSIONS, check_version, read_json
from support.runs import make_run

UNIT = "run/attempt-0/units/0000/0000000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """run/, a finished run, and shards/ packed from it."""
    folder = tmp_path_factory.mktemp("versions")
    pack_shards(make_run(folder), folder / "shards", Selection())
    return folder


def rewrite_json(path: Path, version: int | None) -> None:
    values = json.loads(path.read_text())
    assert values.pop(SCHEMA_VERSION) >= 1, path
    values |= {} if version is None else {SCHEMA_VERSION: version}
    path.write_text(json.dumps(values))


def rewrite_manifest(path: Path, version: int | None) -> None:
    """Give the manifest another version and the seal that fits: it is undamaged, and of another version."""
    values = json.loads(path.read_text())
    del values["self_sha256"]
    newest = {**VERSIONS, "shard manifest": version}
    with patch.object(versions, "VERSIONS", newest):  # `seal` stamps the newest version that it knows
        path.write_bytes(seal(values, "shard manifest"))


def rewrite_parquet(path: Path, version: int | None) -> None:
    table = pq.read_table(path)
    assert table.schema.metadata[SCHEMA_VERSION.encode()]
    pq.write_table(table.replace_schema_metadata(None if version is None else {SCHEMA_VERSION: str(version)}), path)


Case = tuple[str, Callable[[Path, int | None], None], list[str]]
CASES: list[Case] = [
    ("run/run/run.json", rewrite_json, ["curate", "audit", "RUN"]),
    ("run/run/run.json", rewrite_json, ["curate", "status", "RUN"]),
    ("run/attempt-0/plan/plan.json", rewrite_json, ["curate", "audit", "RUN"]),
    ("run/attempt-0/plan/plan.parquet", rewrite_parquet, ["curate", "status", "RUN"]),
    ("run/attempt-0/plan/skipped_inputs.parquet", rewrite_parquet, ["curate", "status", "RUN"]),
    ("run/attempt-0/ledger/ledger.parquet", rewrite_parquet, ["curate", "audit", "RUN"]),
    ("run/attempt-0/ledger/ledger.parquet", rewrite_parquet, ["shards", "pack", "RUN", "--dry-run"]),
    (f"{UNIT}/unit.json", rewrite_json, ["curate", "status", "RUN"]),
    (f"{UNIT}/clips.index.json", rewrite_json, ["shards", "pack", "RUN", "--out", "NEW"]),
    ("shards/pack.json", rewrite_json, ["shards", "pack", "RUN", "--out", "SHARDS"]),
    ("shards/manifest.json", rewrite_manifest, ["shards", "ls", "SHARDS"]),
    ("shards/manifest.json", rewrite_manifest, ["shards", "verify", "SHARDS"]),
    ("shards/selection.parquet", rewrite_parquet, ["shards", "verify", "SHARDS"]),
    ("shards/made-000000.index.json", rewrite_json, ["shards", "verify", "SHARDS"]),
    ("shards/made-000000.index.json", rewrite_json, ["shards", "ls", "SHARDS", "--keys"]),
]


@pytest.mark.parametrize("newer", [True, False])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} by {case[2][1]}")
def test_another_version_is_refused_in_one_sentence(
    folder: Path, tmp_path: Path, case: Case, newer: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    name, rewrite, command = case
    path = folder / name
    folders = {"RUN": folder / "run", "SHARDS": folder / "shards", "NEW": tmp_path / "new"}
    content = path.read_bytes()
    try:
        rewrite(path, 99 if newer else None)
        main = curate_main if command[0] == "curate" else shards_main
        status = main([str(folders.get(word, word)) for word in command[1:]])
    finally:
        path.write_bytes(content)
    message = capsys.readouterr().err.strip()
    assert status == 2
    assert message.count("\n") == 0, message
    assert path.name in message
    assert (
        ("99" in message and "update avf-foundry" in message)
        if newer
        else "older version or another program" in message
    )


RUN_COMMANDS = (
    ["curate", "explain", "RUN", "made/clip0"],
    ["curate", "calibrate", "RUN", "--source", "made"],
    ["curate", "gc", "RUN"],
    ["curate", "review", "RUN", "--out", "NEW"],
    ["curate", "what-if", "RUN", "--set", "sync.min_confidence=4"],
    ["curate", "retry", "RUN"],
    ["curate", "status", "RUN"],
    ["curate", "audit", "RUN"],
    ["curate", "audit", "RUN@2026-01-01", "RUN"],
    ["shards", "pack", "RUN", "--dry-run"],
    ["shards", "delete", "SHARDS", "--list", "LIST", "--run", "RUN"],
)


@pytest.mark.parametrize(("content", "status"), [('{"schema_version": 99}', 2), ('{"schema_version": 1}', 1)])
def test_no_command_goes_on_with_a_run_that_it_cannot_read(
    folder: Path, tmp_path: Path, content: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = folder / "run/run/run.json"
    (tmp_path / "list").write_text("video made/000.mp4\n")
    words = {"RUN": "run", "RUN@2026-01-01": "run@2026-01-01", "SHARDS": "shards"}
    folders = {word: folder / name for word, name in words.items()}
    folders |= {"NEW": tmp_path / "new", "LIST": tmp_path / "list"}
    before = identity.read_bytes()
    shards = {path: path.read_bytes() for path in (folder / "shards").iterdir()}
    answers = {}
    try:
        identity.write_text(content)
        for command in RUN_COMMANDS:
            main = curate_main if command[0] == "curate" else shards_main
            answers[" ".join(command)] = main([str(folders.get(word, word)) for word in command[1:]])
            assert capsys.readouterr().err.count("run.json: ") == 1, command
    finally:
        identity.write_bytes(before)
    assert answers == dict.fromkeys(answers, status)
    assert shards == {path: path.read_bytes() for path in (folder / "shards").iterdir()}


def test_verify_tells_a_newer_pack_json_from_a_damaged_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "shards/pack.json"
    content = path.read_bytes()
    try:
        rewrite_json(path, 99)
        status = shards_main(["verify", str(folder / "shards")])
    finally:
        path.write_bytes(content)
    assert status == 2
    assert "pack.json: pack file of schema version 99" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("run/run/run.json", ["curate", "audit", "RUN"]),
        ("run/run/run.json", ["shards", "pack", "RUN", "--out", "NEW"]),
        (f"{UNIT}/unit.json", ["curate", "status", "RUN"]),
        (f"{UNIT}/clips.index.json", ["shards", "pack", "RUN", "--out", "NEW"]),
        ("shards/made-000000.index.json", ["shards", "ls", "SHARDS", "--keys"]),
        ("shards/manifest.json", ["shards", "ls", "SHARDS"]),
        ("shards/pack.json", ["shards", "verify", "SHARDS"]),
    ],
)
def test_a_file_that_lacks_its_fields_is_one_sentence_that_names_it(
    folder: Path, tmp_path: Path, name: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / name
    folders = {"RUN": folder / "run", "SHARDS": folder / "shards", "NEW": tmp_path / "new"}
    content = path.read_bytes()
    try:
        path.write_text(json.dumps({SCHEMA_VERSION: 1}))
        main = curate_main if command[0] == "curate" else shards_main
        status = main([str(folders.get(word, word)) for word in command[1:]])
    finally:
        path.write_bytes(content)
    captured = capsys.readouterr()
    assert status == 1
    message = [line for line in (captured.err + captured.out).splitlines() if path.name in line]
    assert len(message) == 1
    assert "Error" not in message[0]


def test_the_version_is_a_number_from_one_on() -> None:
    check_version({SCHEMA_VERSION: VERSIONS["ledger"]}, "ledger", "x")
    for value in (0, True, "1", None, 1.0):
        with pytest.raises(UserError, match="x: is not the ledger file"):
            check_version({SCHEMA_VERSION: value}, "ledger", "x")


@pytest.mark.parametrize("content", [b"junk", b"\xff\xfe", b"[1]", b""])
def test_a_damaged_json_file_is_one_sentence_that_names_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(FaultError, match=r"run\.json: (not readable as JSON|must hold a JSON object)"):
        read_json(path, "training run")


def test_the_status_of_a_run_without_a_plan_refuses_another_version(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = tmp_path / "run/run.json"
    identity.parent.mkdir()
    identity.write_text(json.dumps({SCHEMA_VERSION: 99}))
    assert curate_main(["status", str(tmp_path)]) == 2
    assert "run.json: curation run file of schema version 99" in capsys.readouterr().err


def test_the_totals_of_an_estimate_are_read_as_written_and_refuse_another_version(tmp_path: Path) -> None:
    totals = {"interviews": SourceTotals(videos=3, groups=2, bytes=100)}
    run = RunFolder(tmp_path)
    write_totals(run, totals)
    assert remembered_totals(tmp_path) == totals
    rewrite_json(run.log_folder / TOTALS, 99)
    with pytest.raises(UserError, match=r"estimate\.json: source totals file of schema version 99"):
        remembered_totals(tmp_path)
    (run.log_folder / TOTALS).write_text("junk")
    assert remembered_totals(tmp_path) is None


def test_fields_that_a_later_version_adds_are_ignored(tmp_path: Path) -> None:
    totals = {"interviews": SourceTotals(videos=3, groups=2, bytes=100)}
    run = make_run(tmp_path)
    write_totals(run, totals)
    path = run.log_folder / TOTALS
    values = json.loads(path.read_text())
    values["sources"]["interviews"]["new"] = 1
    path.write_text(json.dumps(values | {"new": 1}))
    assert remembered_totals(run.root) == totals
    pack_shards(run, tmp_path / "shards", Selection())
    pack = tmp_path / "shards/pack.json"
    pack.write_text(json.dumps(json.loads(pack.read_text()) | {"new": 1}))
    assert verify_shards(tmp_path / "shards") == []


@pytest.mark.parametrize("content", [b"", b"PAR1 not a table PAR1", b"\x00" * 64])
def test_a_damaged_parquet_file_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.parquet"
    path.write_bytes(content)
    with pytest.raises(FaultError, match=r"ledger\.parquet: not readable as ledger"):
        read_ledger(path)
