"""Pictures that are damaged inside are replaced, recorded and bounded in training, and left out of scores."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import FaultError
from avf_shards.format.picture_record import StoredPicture, Subset
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.model_selection import read_validation
from avf_training.framewise.labels.label_track import LabelTrack, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.frame_folders import read_labelled_frames
from avf_training.framewise.pictures.labelled import LabelledPictures
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.reconstruction import ValidationPictures
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.tracks.identity import TrackSubject
from support.damaged_pictures import DAMAGES, damaged_picture, encode_picture
from support.drawn_pictures import TINY, disc_picture, pretrain_images
from support.picture_shards import write_picture_shards

VA = find_task("va")
# One micro-batch of the stream's order a step; a pass reads each picture.
QUICK = ("batch=4", "micro_batch=4", "epochs=1", "workers=0", "threads=1", "optim.warmup_epochs=0.1")


def damage(picture: StoredPicture, name: str) -> StoredPicture:
    """Return a picture whose bytes were damaged before they were packed: the shard's checksum is right."""
    extension = "png" if DAMAGES[name][0] == "PNG" else "jpg"
    return replace(picture, data=damaged_picture(name), extension=extension)


def write_pictures(shards: Path, damages: Sequence[str], subset: Subset = "train") -> list[str]:
    """Write 20 labelled pictures, the first of them of `subset` and damaged, as shards; return the keys of those."""
    pictures = [
        disc_picture(
            number,
            labels={"valence": f"{number / 20 - 0.5}", "arousal": "0.1"},
            person=f"p{number}",
            subset=subset if number < len(damages) else "validation" if number > 15 else "train",
        )
        for number in range(20)
    ]
    pictures = [*map(damage, pictures, damages), *pictures[len(damages) :]]
    write_picture_shards(shards, pictures, 8)
    return [picture.record.key for picture in pictures[: len(damages)]]


def write_video_frames(folder: Path, labels: Path, damages: Sequence[str]) -> None:
    """Write a video of eight labelled frames for training, the first of them damaged, and a whole one to score."""
    for video, split in (("one", "train"), ("two", "validation")):
        (folder / video).mkdir(parents=True)
        for frame in range(1, 9):
            (folder / video / f"{frame:05d}.jpg").write_bytes(encode_picture("JPEG"))
        frames_N = np.arange(1, 9)
        track = LabelTrack(
            subject=TrackSubject(source="wild", video_id=video),
            task=VA,
            split=split,  # type: ignore[arg-type]  # a name of a set, which a loop makes a plain string
            group=video,
            person=None,
            scene=None,
            fps=30.0,
            frames_N=frames_N,
            times_s_N=(frames_N - 1) / 30,
            values_NK=np.stack([frames_N / 10, -frames_N / 10], 1).astype(np.float32),
        )
        write_label_track(labels, track)
    for frame, name in enumerate(damages, 1):
        (folder / f"one/{frame:05d}.jpg").write_bytes(damaged_picture(name))


def finetune(pictures: Sequence[LabelledPictures], start: Path, out: Path, *settings: str) -> int:
    recipe = load_image_finetune_recipe("image_features_small", (*QUICK, *settings))
    return finetune_images(recipe, LabelledPictures.join(pictures), start, out)


def read_quarantine(run: Path) -> dict[str, str]:
    """Return what was wrong with unreadable pictures, by key."""
    lines = map(json.loads, (run / "quarantine.jsonl").read_text().splitlines())
    return {line["key"]: line["error"] for line in lines}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    write_pictures(folder / "shards", ())
    pretrain_images(folder / "shards", folder / "run", "steps=1", "warmup_steps=0", "eval_every=0")
    assert not (folder / "run/quarantine.jsonl").read_text()
    return folder / "run"


@pytest.mark.parametrize("workers", [0, 1])
def test_pretraining_replaces_and_records_them(tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture) -> None:
    keys = write_pictures(tmp_path / "shards", list(DAMAGES))
    settings = ("steps=10", "eval_every=0", "max_fault_share=1", f"workers={workers}")
    assert pretrain_images(tmp_path / "shards", tmp_path / "run", *settings) == 10
    errors = read_quarantine(tmp_path / "run")
    assert sorted(errors) == sorted(keys)
    assert all("does not decode" in error or "is damaged inside" in error for error in errors.values())
    if not workers:
        assert any(f"picture {keys[0]} cannot be read, another picture replaces it" in line for line in caplog.messages)
        assert not any("clip" in line for line in caplog.messages)


def write_others(folder: Path, damages: Sequence[str], *, people: int = 12) -> list[str]:
    """Write pictures of other people as shards, the first of them damaged; return the keys of those."""
    pictures = [disc_picture(number) for number in range(40, 40 + people)]
    pictures = [*map(damage, pictures, damages), *pictures[len(damages) :]]
    write_picture_shards(folder, pictures, 8)
    return [picture.record.key for picture in pictures[: len(damages)]]


def evaluate(run: Path, shards: Path, validation: Path, answer: Path) -> dict[str, float]:
    options = ["--model", run, "--shards", shards, "--validation", validation, "--json", answer]
    assert main(["evaluate-pretraining", *map(str, options)]) == 0
    scores: dict[str, float] = json.loads(answer.read_text())
    return scores


def test_the_score_of_image_mae_leaves_them_out_and_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The score is that of the pictures that can be read: none is counted in the name of another."""
    write_pictures(tmp_path / "shards", ())
    keys = write_others(tmp_path / "others", list(DAMAGES))
    pretrain_images(
        *(tmp_path / "shards", tmp_path / "run", "steps=1", "warmup_steps=0", "eval_every=1"),
        validation=tmp_path / "others",
    )
    row = json.loads((tmp_path / "run/evaluation.jsonl").read_text().splitlines()[-1])
    for key in keys:
        (line,) = [line for line in caplog.messages if key in line]
        assert f"picture {key} cannot be read, it is left out" in line
    scores = evaluate(tmp_path / "run", tmp_path / "shards", tmp_path / "others", tmp_path / "scores.json")
    assert (scores["pictures"], scores["unreadable"]) == (12 - len(DAMAGES), len(DAMAGES))
    assert scores["mse/mean patch"] == pytest.approx(row["mse/mean patch"], rel=1e-5)
    options = ["--model", tmp_path / "run", "--shards", tmp_path / "shards", "--validation", tmp_path / "others"]
    assert main(["evaluate-pretraining", *map(str, options)]) == 0
    assert f"{len(DAMAGES)} pictures that cannot be read: left out of the scores" in capsys.readouterr().out


def test_ranks_that_read_the_same_validation_warn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With FSDP2 every rank reads them."""
    write_others(tmp_path / "others", ["codes"])
    shards = PictureShards([tmp_path / "others"], StorageConfig())
    config = load_image_recipe("image_mae_small", TINY).model_config()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, lines in ((1, 0), (0, 1)):
        monkeypatch.setenv("RANK", str(rank))
        pictures = ValidationPictures(
            config, norm_pix=False, train=shards, validation=shards, device=torch.device("cpu")
        )
        assert pictures.unreadable == 1
        assert len(caplog.messages) == 2 * lines, "as training pictures and as those of validation"


def test_more_than_eight_in_a_row_stop_no_score_and_all_of_them_do(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pictures(tmp_path / "shards", ())
    write_others(tmp_path / "most", ["codes"] * 19, people=20)
    write_others(tmp_path / "all", ["codes"] * 3, people=3)
    scores = evaluate(pretrained, tmp_path / "shards", tmp_path / "most", tmp_path / "scores.json")
    assert (scores["pictures"], scores["unreadable"]) == (1, 19)
    options = ["--model", pretrained, "--shards", tmp_path / "shards", "--validation", tmp_path / "all"]
    assert main(["evaluate-pretraining", *map(str, options)]) == 1
    assert "none of 3 pictures to look at can be read: the last is" in capsys.readouterr().err


def test_a_figure_has_readable_pictures_alone(
    pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = write_others(tmp_path / "others", ["codes"] * 8)
    draw = ["reconstruct", str(tmp_path / "others"), "--model", str(pretrained), "--out", str(tmp_path / "drawn.png")]
    assert main(draw) == 0
    drawn = [line for line in capsys.readouterr().out.splitlines() if line.startswith("pictures-")]
    assert len({*drawn} - {*keys}) == 4
    assert main([*draw, "--key", keys[0]]) == 1
    assert "none of 1 picture to look at can be read" in capsys.readouterr().err


def test_pretraining_stops_where_too_many_are_damaged(tmp_path: Path) -> None:
    write_pictures(tmp_path / "shards", ["codes", "cut", "closed", "checksum"])
    with pytest.raises(FaultError, match=r"more than 1\.0% of pictures cannot be read"):
        pretrain_images(tmp_path / "shards", tmp_path / "run", "steps=30", "eval_every=0")


def test_finetuning_replaces_and_records_them(pretrained: Path, tmp_path: Path) -> None:
    keys = write_pictures(tmp_path / "shards", list(DAMAGES))
    pictures = read_labelled_shards([tmp_path / "shards"], VA, StorageConfig())
    assert finetune([pictures], pretrained, tmp_path / "run", "max_fault_share=1") == 4
    assert sorted(read_quarantine(tmp_path / "run")) == sorted(keys)


def test_finetuning_names_them_in_folders_of_frames(pretrained: Path, tmp_path: Path) -> None:
    write_video_frames(tmp_path / "frames", tmp_path / "labels", ("codes", "cut", "checksum"))
    pictures = read_labelled_frames(tmp_path / "frames", tmp_path / "labels", VA)
    assert finetune(pictures, pretrained, tmp_path / "run", "max_fault_share=1") == 2
    assert sorted(read_quarantine(tmp_path / "run")) == ["one/00001", "one/00002", "one/00003"]


def test_scores_leave_them_out_and_tell_them(
    pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = write_pictures(tmp_path / "shards", list(DAMAGES), subset="validation")
    pictures = read_labelled_shards([tmp_path / "shards"], VA, StorageConfig())
    finetune([pictures], pretrained, tmp_path / "run", "epochs=2")
    rows = read_validation(tmp_path / "run")
    assert all(row.scores for row in rows)
    assert len(rows) > 1
    assert not read_quarantine(tmp_path / "run"), "no picture of training is damaged"
    messages = "\n".join(record.getMessage() for record in caplog.records)
    for key in keys:
        assert messages.count(f"picture {key} cannot be read, it is left out") == 1, "once, and not at each epoch"


def test_scores_of_most_pictures_damaged_are_those_of_the_others(pretrained: Path, tmp_path: Path) -> None:
    """Nine damaged ones in a row are more than the eight attempts of training."""
    write_pictures(tmp_path / "shards", ["codes"] * 9, subset="validation")
    pictures = read_labelled_shards([tmp_path / "shards"], VA, StorageConfig())
    finetune([pictures], pretrained, tmp_path / "run")
    (row,) = read_validation(tmp_path / "run")
    assert row.scores["validation"]["CCC valence"] is not None
