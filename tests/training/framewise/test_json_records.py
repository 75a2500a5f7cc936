"""A record in JSON that is damaged, empty, cut off or of another command is one sentence with its name and the fix."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.versions import FileKind, stamp
from avf_training.cli.main import main
from avf_training.finetune_api import read_test_result
from avf_training.framewise.combination.record import read_record
from avf_training.framewise.ensemble.fold_table import read_fold_table
from avf_training.framewise.labels.trained_videos import bind_trained_videos, read_trained_videos
from avf_training.framewise.speech.speech_training import read_speech_result
from avf_training.framewise.training.frame_result import read_result

READERS: dict[str, tuple[Callable[[Path], Any], FileKind, str]] = {
    "result.json": (read_result, "frame result", "train again, which writes it anew"),
    "speech/result.json": (lambda folder: read_speech_result(folder / "speech"), "speech result", "writes it anew"),
    "ensemble.json": (read_record, "frame ensemble", "run ensemble-frames again"),
    "trained_videos.json": (read_trained_videos, "trained videos", "writes this file anew"),
    "folds.json": (lambda folder: read_fold_table(folder / "folds.json"), "frame folds", "frame-folds` writes such"),
    "test/result.json": (lambda folder: read_test_result(folder / "test/result.json"), "test result", "writes it anew"),
}
FOREIGN: tuple[bytes, ...] = (
    b"",
    b"{",
    b'{"schema_version": 1, "task": "va", "best": {"sco',
    b"\xff\xfe\x00\x01",
    b"[1, 2]",
    b"null",
    b"{}",
    b'{"schema_version": 1}',
    b'{"schema_version": 1, "task": 5, "best": {}, "videos": 3, "rows": null, "protocols": []}',
)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", FOREIGN)
def test_what_is_no_record_is_named_with_the_fix(tmp_path: Path, name: str, content: bytes) -> None:
    read, kind, fix = READERS[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert str(path) in message
    assert fix in message
    assert "\n" not in message
    path.write_text(json.dumps(stamp({}, kind) | {"schema_version": 99}))
    with pytest.raises(UserError, match=r"update avf-foundry$"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"best": {"score": {"metric": "mean CCC", "score": "high", "folder": "model"}}}, "score must be a number"),
        ({"best": {"score": {"metric": "mean CCC", "score": 0.5}}}, "folder must be text, and is missing"),
        ({"best": {"valence": {"metric": "a", "score": 1, "folder": "b"}}}, "score: must be a JSON object"),
        ({"differences": [3]}, "differences: must be a JSON object, and is 3"),
        ({"skipped": "none"}, "skipped must be a list"),
        ({"validation": {"repeated": "many"}}, "repeated must be a whole number"),
        ({"select": None}, "select must be text"),
    ],
)
def test_a_result_of_another_command_is_refused_by_predict_frames(
    tmp_path: Path, change: dict[str, Any], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    best = {"score": {"metric": "mean CCC", "score": 0.5, "folder": "best/score"}}
    result = {"task": "va", "model": "temporal", "select": "mean", "protocol": "ours", "differences": [], "best": best}
    (tmp_path / "result.json").write_text(json.dumps(stamp(result | change, "frame result")))
    assert main(["predict-frames", str(tmp_path), "--tracks", str(tmp_path), "--out", str(tmp_path / "P")]) == 2
    printed = capsys.readouterr().err
    assert fault in printed
    assert f"{tmp_path / 'result.json'}" in printed
    assert "Traceback" not in printed


def test_trained_videos_of_a_result_that_are_no_table_are_refused() -> None:
    with pytest.raises(UserError, match=r"result\.json: trained_videos: .*expected a table"):
        bind_trained_videos(5, "result.json: trained_videos")
