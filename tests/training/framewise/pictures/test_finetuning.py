"""Fine-tuning of image models: labels of every origin, splits without leaks, resuming, extraction, and refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.model_selection import read_validation
from avf_training.framewise.labels.label_track import LabelTrack, write_label_track
from avf_training.framewise.labels.tasks import find_task
from avf_training.framewise.labels.trained_videos import (
    TrainedVideo,
    TrainedVideos,
    find_trained_videos,
    read_trained_videos,
)
from avf_training.framewise.models.image_files import read_image_model
from avf_training.framewise.pictures.finetune_recipe import load_image_finetune_recipe
from avf_training.framewise.pictures.finetuning import finetune_images
from avf_training.framewise.pictures.frame_folders import read_labelled_frames
from avf_training.framewise.pictures.labelled import LabelledPictures
from avf_training.framewise.pictures.shard_labels import read_labelled_shards
from avf_training.framewise.pictures.split import split_pictures
from avf_training.framewise.tracks.extractor import digest_weights
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.loading import load_extractor
from avf_training.tasks.learned_clips import LEARNED, read_learned
from PIL import Image
from safetensors.torch import save_file
from support.drawn_pictures import disc_picture, draw_disc, pretrain_images, read_weights, same_bits
from support.picture_shards import write_picture_shards

QUICK = ("batch=8", "micro_batch=4", "epochs=3", "workers=0", "threads=1", "checkpoint_keep=9", "optim.warmup_epochs=1")
VA, EXPR, AU = find_task("va"), find_task("expr"), find_task("au")


def make_labels(number: int) -> dict[str, str]:
    draw = np.random.default_rng(1000 + number)
    units = {f"AU{unit}": str(int(draw.integers(2))) for unit in (1, 2, 4, 6, 7, 10, 12, 15, 23, 24)}
    expression = ("Neutral", "Anger", "Happiness")[number % 3]
    return (
        {"valence": f"{draw.uniform(-1, 1):.3f}", "arousal": "-2" if number == 5 else f"{draw.uniform(-1, 1):.3f}"}
        | units
        | {
            "abaw_expression": expression,
            "expression": expression.lower(),
        }
    )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 discs of eight persons, of whom two are the owners' validation set and one their test set."""
    folder = tmp_path_factory.mktemp("labelled") / "shards"
    sets = ("validation", "validation", "test", *5 * ("train",))
    pictures = [
        disc_picture(number, labels=make_labels(number), person=f"p{number % 8}", subset=sets[number % 8])
        for number in range(32)
    ]
    write_picture_shards(folder, pictures, 8)
    return folder


@pytest.fixture(scope="module")
def pretrained(labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "run"
    pretrain_images(labelled, out, "eval_every=0")
    return out


def finetune(shards: Path, start: Path, out: Path, *settings: str, task: str = "va") -> int:
    recipe = load_image_finetune_recipe("image_features_small", (*QUICK, *settings))
    return finetune_images(recipe, read_labelled_shards([shards], find_task(task), StorageConfig()), start, out)


def test_people_of_the_test_set_in_training_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sets = ("train", "train", "validation", "test", "test")
    people = ("p0", "p1", "p2", "p0", "p2")
    pictures = [
        disc_picture(number, labels=make_labels(number), person=person, subset=subset)
        for number, (person, subset) in enumerate(zip(people, sets, strict=True))
    ]
    write_picture_shards(tmp_path / "shards", pictures, 8)
    split_pictures(read_labelled_shards([tmp_path / "shards"], find_task("va"), StorageConfig()), 0.2)
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(":")[0] for message in messages] == [
        "1 person or media file in training and in test",
        "1 person or media file in validation and in test",
    ]
    assert "p0" in messages[0]
    assert "p2" in messages[1]


@pytest.mark.parametrize("task", ["va", "expr", "au"])
def test_each_task_gives_a_model_that_extract_loads(
    labelled: Path, pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, task: str
) -> None:
    out = tmp_path / "run"
    assert finetune(labelled, pretrained, out, task=task) == 7
    assert "the whole run is 7 steps, for epochs is 3 and there are 20 pictures to train on" in caplog.text
    rows = read_validation(out)
    assert [row.step for row in rows] == [1, 3, 5]
    assert find_task(task).metric in rows[0].scores["validation"]
    saved = read_image_model(out / "best/validation")
    assert (saved.kind, saved.values["task"]) == ("image_features", task)
    extractor = load_extractor("vit", out)
    assert extractor.identity.digest == load_extractor("vit", out / "best/validation").identity.digest
    assert json.loads(extractor.identity.settings)["pooling"] == "mean"


def test_a_stopped_run_goes_on_with_the_same_bits(labelled: Path, pretrained: Path, tmp_path: Path) -> None:
    finetune(labelled, pretrained, tmp_path / "whole")
    out = tmp_path / "stopped"
    shutil.copytree(tmp_path / "whole", out)
    shutil.rmtree(out / "model")
    for step in (4, 6, 7):
        shutil.rmtree(out / f"checkpoints/step-{step:08d}")
    lines = (out / "validation.jsonl").read_text().splitlines(keepends=True)
    (out / "validation.jsonl").write_text(lines[0])
    assert finetune(labelled, pretrained, out, "workers=1") == 7
    assert same_bits(read_weights(out), read_weights(tmp_path / "whole"))
    assert (out / "validation.jsonl").read_text() == "".join(lines)


def test_a_run_starts_from_the_encoder_and_leaves_the_rest_of_mae(
    labelled: Path, pretrained: Path, tmp_path: Path
) -> None:
    finetune(labelled, pretrained, tmp_path / "run", "optim.base_lr=0", "optim.min_lr=0", "optim.weight_decay=0")
    before, after = read_weights(pretrained), read_weights(tmp_path / "run")
    shared = before.keys() & after.keys()
    assert {"cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.mlp.fc2.bias"} <= shared
    assert all(torch.equal(before[name], after[name]) for name in shared)
    assert after.keys() - before.keys() == {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}


def test_labels_are_the_challenges_and_what_is_unknown_is_no_label(labelled: Path) -> None:
    expressions = read_labelled_shards([labelled], EXPR, StorageConfig())
    named = {EXPR.classes[int(value)] for value in expressions.values_NK[:, 0]}
    assert named == {"Neutral", "Anger", "Happiness"}
    dimensions = read_labelled_shards([labelled], VA, StorageConfig())
    assert np.isnan(dimensions.values_NK[:, 1]).sum() == 1  # an arousal of -2 is none
    units = read_labelled_shards([labelled], AU, StorageConfig())
    assert np.isnan(units.values_NK[:, 10:]).all()  # AU25 and AU26 are not coded in this corpus
    assert np.isfinite(units.values_NK[:, :10]).all()


def test_expressions_that_the_task_has_not_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("Fear", "Hapiness", "Hapiness", "Contempt", None)
    pictures = [
        disc_picture(number, labels={"valence": "0.1"} | ({} if name is None else {"expression": name}))
        for number, name in enumerate(names)
    ]
    write_picture_shards(tmp_path, pictures)
    assert len(read_labelled_shards([tmp_path], EXPR, StorageConfig()).pictures) == 1
    (line,) = caplog.messages
    assert "3 pictures left out, whose expression is none of the task's (--task expr): Hapiness 2, Contempt 1" in line
    caplog.clear()
    assert len(read_labelled_shards([tmp_path], VA, StorageConfig()).pictures) == 5
    assert not caplog.messages


def test_owners_sets_decide_and_nobody_is_in_both(labelled: Path) -> None:
    pictures = read_labelled_shards([labelled], VA, StorageConfig())
    split = split_pictures(pictures, 0.1)
    train, scored = ({pictures.pictures[row].group for row in rows} for rows in (split.train, split.validation))
    assert scored == {"pictures/p0", "pictures/p1"}
    assert train == {f"pictures/p{number}" for number in range(3, 8)}


@pytest.mark.parametrize("named", [True, False])
def test_labels_of_the_owners_test_set_change_no_weight_and_no_choice(
    labelled: Path, pretrained: Path, tmp_path: Path, *, named: bool
) -> None:
    """With other labels in their place split, scores and model are the same, also where no validation set is named."""
    recipe = load_image_finetune_recipe("image_features_small", (*QUICK, "epochs=1", "validation_share=0.4"))
    for kind in ("true", "other"):
        pictures = read_labelled_shards([labelled], EXPR, StorageConfig())
        tested = [row for row, each in enumerate(pictures.pictures) if each.subset == "test"]
        assert len(tested) == 4
        if kind == "other":
            pictures.values_NK[tested] = (pictures.values_NK[tested] + 1) % 3
        if not named:
            pictures.pictures = tuple(
                replace(each, subset="train" if each.subset == "validation" else each.subset)
                for each in pictures.pictures
            )
        finetune_images(recipe, pictures, pretrained, tmp_path / kind)
    texts = [(tmp_path / kind / "validation.jsonl").read_text() for kind in ("true", "other")]
    assert texts[0] == texts[1]
    assert same_bits(read_weights(tmp_path / "true"), read_weights(tmp_path / "other"))


def test_persons_are_held_out_where_owners_made_no_sets(tmp_path: Path) -> None:
    write_picture_shards(
        tmp_path / "shards", [disc_picture(n, labels=make_labels(n), person=f"p{n % 10}") for n in range(30)]
    )
    pictures = read_labelled_shards([tmp_path / "shards"], EXPR, StorageConfig())
    split = split_pictures(pictures, 0.2)
    train, scored = ({pictures.pictures[row].group for row in rows} for rows in (split.train, split.validation))
    assert len(scored) == 2
    assert not train & scored
    assert len(split.train) + len(split.validation) == 30


def write_video_frames(folder: Path, labels: Path) -> None:
    """Write two videos of six frames, the third without a picture; the fourth frame has no label."""
    for video, split in (("one", "train"), ("two", "validation")):
        (folder / video).mkdir(parents=True)
        for frame in (1, 2, 4, 5, 6):
            Image.fromarray(draw_disc(frame)).save(folder / video / f"{frame:05d}.jpg")
        frames_N = np.arange(1, 7)
        values_NK = np.stack([frames_N / 10, -frames_N / 10], 1).astype(np.float32)
        values_NK[3] = np.nan
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
            values_NK=values_NK,
        )
        write_label_track(labels, track)


def test_frames_of_videos_are_joined_with_their_labels_by_number(tmp_path: Path) -> None:
    write_video_frames(tmp_path / "frames", tmp_path / "labels")
    (pictures,) = read_labelled_frames(tmp_path / "frames", tmp_path / "labels", VA)
    assert [each.key for each in pictures.pictures[:4]] == ["one/00001", "one/00002", "one/00005", "one/00006"]
    assert pictures.values_NK[:4, 0].tolist() == pytest.approx([0.1, 0.2, 0.5, 0.6])
    files = pictures.read(6)
    assert files["picture"] == (tmp_path / "frames/two/00005.jpg").read_bytes()
    assert np.frombuffer(files["labels"], np.float32).tolist() == pytest.approx([0.5, -0.5])


def test_pictures_of_shards_and_frames_of_videos_are_trained_on_together(
    labelled: Path, pretrained: Path, tmp_path: Path
) -> None:
    write_video_frames(tmp_path / "frames", tmp_path / "labels")
    shards = read_labelled_shards([labelled], VA, StorageConfig())
    joined = LabelledPictures.join([shards, *read_labelled_frames(tmp_path / "frames", tmp_path / "labels", VA)])
    last = joined.pictures[-1]
    assert joined.key(last.number) == "two/00006"
    assert np.frombuffer(joined.read(last.number)["labels"], np.float32).tolist() == pytest.approx([0.6, -0.6])
    assert joined.key(joined.pictures[0].number) == shards.pictures[0].key
    recipe = load_image_finetune_recipe("image_features_small", QUICK)
    assert finetune_images(recipe, joined, pretrained, tmp_path / "run") == 9


def test_videos_whose_frames_are_trained_on_are_known_to_the_tracks(
    labelled: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that are scored alone are new to the extractor, as validation videos are to a sequence model."""
    write_video_frames(tmp_path / "frames", tmp_path / "labels")
    frames, run = str(tmp_path / "frames"), tmp_path / "run"
    recipe = ["--recipe", "image_features_small", *(word for each in QUICK for word in ("--set", each))]
    argv = ["finetune-images", "--pictures", frames, "--labels", str(tmp_path / "labels"), "--task", "va"]
    small = ["--set", "batch=4", "--set", "micro_batch=4", "--set", "epochs=1", "--device", "cpu"]
    assert main([*argv, *recipe, *small, "--model", str(pretrained), "--out", str(run)]) == 0
    expected = TrainedVideos(train_on="train").add([TrainedVideo(source="wild", video="one", group="one")])
    shutil.copytree(run / "best/validation", tmp_path / "moved")
    weights = [run, run / "best/validation", run / "model", tmp_path / "moved", tmp_path / "moved/model.safetensors"]
    assert [find_trained_videos(each) for each in weights] == [expected] * 5
    (tmp_path / "moved/other.pth").write_bytes(b"")
    assert find_trained_videos(tmp_path / "moved/other.pth") is None
    digest = digest_weights(run / "best/validation")
    (tmp_path / "moved/trained_videos.json").unlink()
    (tmp_path / "moved/other.pth").unlink()
    assert digest_weights(tmp_path / "moved") == digest, "the record is no part of the weights"
    extract = ["extract", frames, "--pictures", "wild", "--extractor", "vit", "--device", "cpu"]
    assert main([*extract, "--weights", str(run), "--out", str(tmp_path / "tracks")]) == 0
    assert "the weights were trained on 1 video, which models on these tracks count" in capsys.readouterr().out
    assert read_trained_videos(tmp_path / "tracks/vit") == expected
    assert main([*extract, "--weights", str(tmp_path / "moved"), "--out", str(tmp_path / "unknown")]) == 0
    assert read_trained_videos(tmp_path / "unknown/vit") is None
    finetune(labelled, run, tmp_path / "next", "epochs=1")
    assert find_trained_videos(tmp_path / "next") == expected, "the stage before learned it"
    (run / "trained_videos.json").write_text("{")
    assert main([*extract, "--weights", str(run), "--out", str(tmp_path / "again")]) == 2
    assert "trained_videos.json: not readable as JSON" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_a_finished_run_learns_of_a_record_of_its_start_that_came_later(
    labelled: Path, pretrained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What the run names is beside its models too, and stays where the start is moved away from its record."""
    start, run = tmp_path / "start", tmp_path / "run"
    shutil.copytree(pretrained, start)
    finetune(labelled, start, run, "epochs=1")
    assert find_trained_videos(run) is None
    seen = TrainedVideos(train_on="train").add([TrainedVideo(source="wild", video="one", group="one")])
    seen.write(start)
    caplog.clear()
    finetune(labelled, start, run, "epochs=1")
    assert "trained_videos.json: names 1 video more that this model, or one that it starts from" in caplog.text
    for folder in (run, run / "model", run / "best/validation"):
        assert read_trained_videos(folder) == seen
    learned = read_learned(run / LEARNED)
    (start / "trained_videos.json").unlink()
    for path in start.rglob(LEARNED):
        path.unlink()
    caplog.clear()
    finetune(labelled, start, run, "epochs=1")
    assert "names" not in caplog.text
    assert read_trained_videos(run / "model") == seen
    assert read_learned(run / LEARNED) == learned


def test_mistakes_are_told_in_words(
    labelled: Path, pretrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_picture_shards(tmp_path / "plain", [disc_picture(number) for number in range(4)])
    common = ["--model", str(pretrained), "--recipe", "image_features_small", "--out", str(tmp_path / "run")]
    assert main(["finetune-images", str(tmp_path / "plain"), "--task", "au", *common]) == 2
    assert "none of 4 pictures has a label of --task au" in capsys.readouterr().err
    assert main(["finetune-images", "--task", "au", *common]) == 2
    assert "no pictures are given" in capsys.readouterr().err
    assert main(["finetune-images", str(labelled), "--task", "va", *common, "--labels", str(tmp_path)]) == 2
    assert "--pictures DIR and --labels LABELS belong together" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_refuses_another_recipe_and_another_kind_of_model(
    labelled: Path, pretrained: Path, tmp_path: Path
) -> None:
    finetune(labelled, pretrained, tmp_path / "run")
    with pytest.raises(UserError, match=r"(?s)holds a run with other settings.*layer_decay"):
        finetune(labelled, pretrained, tmp_path / "run", "layer_decay=0.5")
    with pytest.raises(UserError, match="has learned from labels of pictures that are to be scored here"):
        finetune(labelled, tmp_path / "run", tmp_path / "second")
    folder = tmp_path / "classifier"
    folder.mkdir()
    (folder / "config.json").write_text('{"schema_version": 1, "kind": "classifier", "model": {}}')
    with pytest.raises(UserError, match=r"holds a fine-tuned model \(classifier\); name a model of"):
        finetune(labelled, folder, tmp_path / "third")


def test_a_folder_of_weights_without_our_config_is_a_start(labelled: Path, pretrained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    weights = read_image_model(pretrained / "model").encoder
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r'name a folder whose config.json says {"num_attention_heads": N}'):
        finetune(labelled, folder, tmp_path / "run", "epochs=1")
    heads = read_image_model(pretrained / "model").config.heads
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": heads}))
    assert finetune(labelled, folder, tmp_path / "run", "epochs=1") > 0
    (folder / "config.json").write_text('{"kind":')
    with pytest.raises(UserError, match=r"theirs/config\.json: is no JSON .*; put the file there that belongs to"):
        finetune(labelled, folder, tmp_path / "second")
    assert not (tmp_path / "second").exists(), "a refused start leaves no folder"


def test_weights_that_are_nan_are_refused_wherever_they_are_read(
    labelled: Path, pretrained: Path, tmp_path: Path
) -> None:
    weights = read_image_model(pretrained / "model").tensors
    weights["blocks.0.norm1.bias"] = torch.full_like(weights["blocks.0.norm1.bias"], torch.nan)
    weights["norm.weight"] = torch.full_like(weights["norm.weight"], torch.inf)
    shutil.copytree(pretrained / "model", tmp_path / "ours")
    save_file(weights, tmp_path / "ours/model.safetensors")
    save_file(weights, tmp_path / "theirs.safetensors")
    torch.save({"model": weights}, tmp_path / "theirs.pth")
    for path in ("ours", "theirs.safetensors", "theirs.pth"):
        with pytest.raises(UserError, match=rf"{path}.*: 2 tensors of \d+ with nan or infinite values, as \S+; the"):
            finetune(labelled, tmp_path / path, tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a refused start leaves no folder"


def test_a_run_most_of_whose_steps_changed_nothing_says_so(
    labelled: Path,
    pretrained: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    finetune(labelled, pretrained, tmp_path / "run", "epochs=1")
    assert "2 steps, scored at the end" in capsys.readouterr().err
    assert "changed no weight" not in caplog.text
    finetune(labelled, pretrained, tmp_path / "wild", "epochs=1", "optim.base_lr=1e38", "optim.warmup_epochs=0")
    assert "steps changed no weight, because the loss or the gradient was not finite" in caplog.text
