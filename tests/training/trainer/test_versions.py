"""Files of training with a newer or missing schema version are refused with one sentence."""

import json
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.versions import SCHEMA_VERSION, FileKind, stamp
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.results import read_predictions
from avf_training.finetuning.model_selection import VALIDATION, EpochScores, read_validation
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.saved_config import CONFIG
from avf_training.pretraining.replay import replay_step
from avf_training.trainer.run_folder import RUN, read_identity
from support.models import tiny_config


def write_version(path: Path, values: dict[str, object], kind: FileKind, version: int | None) -> None:
    path.parent.mkdir(exist_ok=True)
    stamped = stamp(values, kind) | {SCHEMA_VERSION: version}
    path.write_text(json.dumps(stamped) + "\n")


@pytest.mark.parametrize(("version", "words"), [(99, "version 99"), (None, "older version or another program")])
def test_run_predictions_validation_scores_and_replays_refuse_other_versions(
    tmp_path: Path, version: int | None, words: str
) -> None:
    write_version(tmp_path / RUN, {"recipe": {}}, "training run", version)
    write_version(tmp_path / "last.json", {"keys": []}, "predictions", version)
    write_version(tmp_path / VALIDATION, {"step": 1, "epoch": 1, "scores": {}}, "validation scores", version)
    write_version(tmp_path / "nonfinite/rank-0.json", {"step": 1}, "replay snapshot", version)
    with pytest.raises(UserError, match=f"rank-0.json: .*{words}"):
        replay_step(tmp_path, tmp_path, StorageConfig())
    with pytest.raises(UserError, match=f"{RUN}: .*{words}"):
        read_identity(tmp_path)
    with pytest.raises(UserError, match=f"last.json: .*{words}"):
        read_predictions(tmp_path / "last.json")
    with pytest.raises(UserError, match=f"{VALIDATION}: line 1: .*{words}"):
        read_validation(tmp_path)


def test_a_row_of_validation_scores_is_read_as_it_was_written() -> None:
    row = EpochScores(step=5, epoch=2, scores={"validation": {"WAR": 0.5, "UAR": None}})
    assert EpochScores.from_json(row.to_json(), "x") == row


@pytest.mark.parametrize(("version", "words"), [(99, "update avf-foundry"), (None, "another program")])
def test_a_saved_model_of_another_version_is_refused(
    tmp_path: Path, version: int | None, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    MaskedAutoencoder(tiny_config()).save_pretrained(folder)
    write_version(folder / CONFIG, json.loads((folder / CONFIG).read_text()), "saved model", version)
    assert main(["reconstruct", str(tmp_path), "--out", str(tmp_path / "x.png"), "--model", str(folder)]) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    assert CONFIG in message
    assert words in message
