"""Image MAE on picture shards: what a run writes, that it resumes exactly, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.system import durable_io
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.framewise.models.image_files import read_image_model
from avf_training.framewise.models.image_mae import ImageMAE
from avf_training.framewise.pictures.pretrain_recipe import load_image_recipe
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.framewise.pictures.unseen_people import refuse_seen_people
from support.drawn_pictures import TINY, disc_picture, draw_disc, pretrain_images, read_weights, same_bits
from support.picture_shards import make_picture, write_picture_shards


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "shards"
    write_picture_shards(folder, [disc_picture(number) for number in range(30)], 8)
    return folder


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that are not trained on."""
    folder = tmp_path_factory.mktemp("others") / "shards"
    write_picture_shards(folder, [disc_picture(number) for number in range(30, 54)], 8)
    return folder


@pytest.fixture(scope="module")
def undisturbed(pictures: Path, others: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert pretrain_images(pictures, out, validation=others) == 6
    return out


def keep_checkpoint(run: Path, copy: Path, step: int) -> Path:
    """Copy a run as it was after `step`, and return the copy."""
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "model")
    for folder in (copy / "checkpoints").glob("step-*"):
        if int(folder.name[5:]) > step:
            durable_io.remove(folder)
    return copy


def test_a_run_writes_what_one_of_clips_writes(undisturbed: Path) -> None:
    rows = [json.loads(line) for line in (undisturbed / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    scores = [json.loads(line) for line in (undisturbed / "evaluation.jsonl").read_text().splitlines()]
    assert [row["step"] for row in scores] == [2, 5]
    assert {"mse/mean patch", "mse/mean image"} <= scores[0].keys()
    assert (undisturbed / "curve.png").is_file()
    assert (undisturbed / "learned.parquet").is_file()
    assert (undisturbed / "reconstructions/step-00000006.png").is_file()


def test_the_saved_model_is_a_model_in_the_names_of_mae(undisturbed: Path) -> None:
    saved = read_image_model(undisturbed / "model")
    assert saved.kind == "image_mae"
    assert saved.values["norm_pix"] == "off"
    ImageMAE(saved.config).load_state_dict(saved.tensors)


@pytest.mark.parametrize("settings", [("workers=2",), ("micro_batch=8", "activation_checkpointing=true")])
def test_a_stopped_run_goes_on_with_the_same_pictures_and_masks(
    pictures: Path, others: Path, undisturbed: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    out = keep_checkpoint(undisturbed, tmp_path / "run", 2)
    assert pretrain_images(pictures, out, *settings, validation=others) == 6
    ours, theirs = read_weights(out), read_weights(undisturbed)
    if "workers=2" in settings:
        assert same_bits(ours, theirs)
    for name, tensor in theirs.items():  # another micro-batch adds the same numbers in another order
        assert ours[name] == pytest.approx(tensor, abs=1e-5), name


@pytest.mark.slow
def test_two_processes_go_on_where_one_stopped_with_the_same_bits(
    pictures: Path, others: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = keep_checkpoint(undisturbed, tmp_path / "run", 2)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "avf_training.cli.main", "pretrain-images", str(pictures), "--validation", str(others)]
    words = [word for setting in TINY for word in ("--set", setting)]
    done = subprocess.run(
        [*launcher, *command, "--recipe", "image_mae_small", "--out", str(out), *words],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert same_bits(read_weights(out), read_weights(undisturbed))


def test_a_trained_model_is_scored_and_drawn_on_its_own(
    pictures: Path, others: Path, undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = ["evaluate-pretraining", "--model", str(undisturbed), "--shards", str(pictures), "--validation"]
    assert main([*score, str(others), "--json", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    last = json.loads((undisturbed / "evaluation.jsonl").read_text().splitlines()[-1])
    assert scores["pictures"] == 24
    for name in ("mse/mean patch", "mse/mean image"):  # the last evaluation of the run is of the same model
        assert scores[name] == pytest.approx(last[name], rel=1e-5)
    assert main([*score, str(others)]) == 0
    assert "mean image" in capsys.readouterr().out
    write_picture_shards(tmp_path / "more", [disc_picture(number) for number in range(60, 70)], 8)
    several = [*score, str(others), "--validation", str(tmp_path / "more")]
    assert main([*several, "--json", str(tmp_path / "several.json")]) == 0
    assert json.loads((tmp_path / "several.json").read_text())["pictures"] == 34, "each folder counts"
    assert main([*score, str(others), "--validation", str(pictures)]) == 2
    assert "30 of 54 pictures are of what is trained on" in capsys.readouterr().err
    assert main([*score, str(pictures)]) == 2
    assert "30 of 30 pictures are of what is trained on" in capsys.readouterr().err
    swapped = ["evaluate-pretraining", "--model", str(undisturbed), "--shards", str(others), "--validation"]
    assert main([*swapped, str(pictures)]) == 2
    assert "the model was trained on 30 of 30 pictures, as pictures-" in capsys.readouterr().err

    draw = ["reconstruct", str(others), "--model", str(undisturbed), "--out", str(tmp_path / "drawn.png")]
    assert main(draw) == 0
    drawn = [line for line in capsys.readouterr().out.splitlines() if line.startswith("pictures-")]
    assert len(drawn) == 4
    first = (tmp_path / "drawn.png").read_bytes()
    assert main([*draw, "--key", drawn[2]]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("pictures-")] == [drawn[2]]
    assert (tmp_path / "drawn.png").read_bytes() != first
    assert main(["reconstruct", str(others), "--out", str(tmp_path / "clips.png")]) == 2
    message = capsys.readouterr().err
    assert "its shards hold pictures, and clips are needed here" in message
    assert "--model takes the image MAE of a run of pretrain-images" in message
    assert main([*draw, "--key", "nobody"]) == 2
    assert "has no picture 'nobody'" in capsys.readouterr().err
    assert main([*draw, "--ratios", "0.5:0.5"]) == 2
    assert "hides the share of a picture that it was trained with" in capsys.readouterr().err


def test_validation_pictures_that_are_trained_on_are_refused(pictures: Path, tmp_path: Path) -> None:
    """By key, by the owners' file, and by the person; people of the same name in another corpus are others."""
    named = [make_picture(f"new{n}", draw_disc(40 + n), identity="anna") for n in range(4)]
    write_picture_shards(tmp_path / "anna", [*named, disc_picture(70)], 4)
    both = [pictures, tmp_path / "anna"]
    copied = make_picture("copied", draw_disc(3))
    anna = make_picture("later", draw_disc(60), identity="anna")
    namesake = make_picture("later", draw_disc(60), identity="anna", source="elsewhere")
    for validation, what in (
        ([disc_picture(71), disc_picture(5)], r"1 of 2 pictures are of .*the same picture"),
        ([copied], "the same file"),
        ([anna], "the person anna"),
    ):
        folder = tmp_path / what[-6:].strip("-")
        write_picture_shards(folder, validation, 8)
        shards, held = (PictureShards(folders, StorageConfig()) for folders in (both, [folder]))
        with pytest.raises(UserError, match=what):
            refuse_seen_people(shards, held)
    with pytest.raises(UserError, match="name shards of other people"):
        pretrain_images(pictures, tmp_path / "run", validation=pictures)
    assert not (tmp_path / "run").exists()
    write_picture_shards(tmp_path / "namesake", [namesake], 8)
    refuse_seen_people(PictureShards(both, StorageConfig()), PictureShards([tmp_path / "namesake"], StorageConfig()))


def test_a_run_refuses_another_recipe(pictures: Path, undisturbed: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)holds a run with other settings.*mask_ratio"):
        pretrain_images(pictures, undisturbed, "mask_ratio=0.5")


def test_options_of_the_protocol_are_checked_when_the_recipe_is_read() -> None:
    recipe = load_image_recipe("image_mae_small", ("protocol_options.mae_norm_pix='on'",))
    assert recipe.options().mae_norm_pix == "on"
    with pytest.raises(UserError, match="mae_norm_pix: 'maybe'; it is off or on"):
        load_image_recipe("image_mae_small", ("protocol_options={mae_norm_pix: maybe}",))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model=huge", r"unknown model 'huge'"),
        ("variant={width: 30}", "width 30 must be a multiple of 4"),
        ("augment.crop_low=0", "crop_low 0"),
    ],
)
def test_a_recipe_names_what_is_wrong(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_image_recipe("image_mae_small", (setting,))


@pytest.mark.parametrize(("size", "lr", "steps"), [("b", 2.4e-3, 800), ("l", 2.4e-3, 800), ("h", 2.4e-3, 800)])
def test_recipes_have_the_values_of_paper_and_mae(size: str, lr: float, steps: int) -> None:
    recipe = load_image_recipe(f"image_mae_{size}")
    assert recipe.optim.base_lr * recipe.batch / 256 == pytest.approx(lr)
    assert (recipe.epochs, recipe.optim.warmup_epochs, recipe.optim.betas) == (steps, 40, (0.9, 0.95))
    assert recipe.accumulation(8) * recipe.micro_batch * 8 == 4096
