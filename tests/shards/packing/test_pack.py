"""A unit whose index contradicts the ledger or itself is one sentence of `pack` that names file and clip."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from avf_shards.cli.main import main
from support.runs import make_run


def drop_clip(values: dict[str, Any]) -> None:
    key = values["members"][0][0].partition(".")[0]
    values["members"] = [row for row in values["members"] if not row[0].startswith(key)]


def change_member(column: int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(values: dict[str, Any]) -> None:
        values["members"][0][column] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop_clip, "lists no member of the clip made-"),
        (change_member(1, -1), "offset -1"),
        (change_member(1, True), "offset True"),
        (change_member(2, -5), "size -5"),
        (change_member(2, 10**13), "ends behind the "),
        (change_member(1, 2**64), "ends behind the "),
        (lambda values: values.update(deleted=[True]), "deleted must be a list of positions"),
        (lambda values: values.update(deleted=[-1]), "deleted must be a list of positions"),
    ],
)
def test_a_damaged_index_of_a_unit_is_one_sentence(
    change: Callable[[dict[str, Any]], None], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    path = run.unit_folder(0, 0) / "clips.index.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    # As a faulty program would write it: the digest is right, and the content is not.
    manifest = run.unit_manifest(0, 0)
    digests = manifest.file_sha256 | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    path.with_name("unit.json").write_bytes(replace(manifest, file_sha256=digests).to_json())
    assert main(["pack", str(run.root), "--out", str(tmp_path / "shards")]) == 1
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"avf-shards: damaged data: {path}: ")
    assert says in message


def test_a_selection_without_a_clip_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path).root
    selection = tmp_path / "strict.toml"
    selection.write_text('[thresholds]\n"sync/low_confidence" = 99.0\n')
    assert main(["pack", str(run), "--select", str(selection), "--out", str(tmp_path / "shards")]) == 0
    assert f"no clip is selected, and {tmp_path / 'shards'} holds no shard" in capsys.readouterr().out


def test_what_stands_in_the_way_of_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["pack", str(make_run(tmp_path).root), "--out", str(tmp_path / "shards")]
    assert main(command) == 0
    manifest = tmp_path / "shards" / "manifest.json"
    manifest.unlink()
    manifest.symlink_to(tmp_path / "nothing")
    capsys.readouterr()
    assert main(command) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"avf-shards: {manifest}: is in the way")
