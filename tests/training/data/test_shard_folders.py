"""Several folders of shards are one corpus, and no shard is in it twice."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.data.storage import StorageConfig
from avf_training.framewise.pictures.shards import PictureShards
from avf_training.tasks.labelled_shards import LabelledShards
from support.clips import make_flashing_shards
from support.drawn_pictures import TINY, disc_picture, pretrain_images
from support.picture_shards import write_picture_shards

LABELS = {"valence": "0.1", "arousal": "0.2"}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "shards"
    write_picture_shards(folder, [disc_picture(number, labels=LABELS) for number in range(12)], 4)
    return folder


def link(folder: Path, tmp_path: Path) -> Path:
    (tmp_path / "link").symlink_to(folder)
    return tmp_path / "link"


def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


SPELLINGS: dict[str, Callable[[Path, Path], Path | str]] = {
    "same": lambda folder, tmp_path: folder,
    "slash": lambda folder, tmp_path: f"{folder}/",
    "relative": lambda folder, tmp_path: os.path.relpath(folder),
    "detour": lambda folder, tmp_path: folder / ".." / folder.name,
    "link": link,
    "copy": copy,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_folder_that_is_named_twice_is_refused(pictures: Path, tmp_path: Path, spelling: str) -> None:
    again = SPELLINGS[spelling](pictures, tmp_path)
    with pytest.raises(
        UserError, match=r"has shards of .*\(pictures-000000.tar and 2 more\).*pictures would count twice"
    ):
        PictureShards([pictures, again], StorageConfig())


def test_a_shard_of_two_folders_is_refused(pictures: Path, tmp_path: Path) -> None:
    """The second folder begins with the same pictures and goes on with others."""
    write_picture_shards(tmp_path / "longer", [disc_picture(number, labels=LABELS) for number in range(16)], 4)
    with pytest.raises(UserError, match=r"longer: has shards of .*\(pictures-000000.tar and 2 more\)"):
        PictureShards([pictures, tmp_path / "longer"], StorageConfig())
    write_picture_shards(tmp_path / "others", [disc_picture(number) for number in range(20, 24)], 4)
    assert len(PictureShards([pictures, tmp_path / "others"], StorageConfig())) == 16


def test_folders_of_clips_are_no_exception(tmp_path: Path) -> None:
    shards = make_flashing_shards(tmp_path, {"a": 4})
    with pytest.raises(UserError, match=r"has shards of .*\(a-000000.tar\).*clips would count twice"):
        LabelledShards([shards, f"{shards}/."], StorageConfig())


def test_each_command_refuses_it(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [word for setting in (*TINY, "steps=1", "warmup_steps=0") for word in ("--set", setting)]
    twice = [str(pictures), os.path.relpath(pictures)]
    run = ["--recipe", "image_mae_small", *settings, "--out", str(tmp_path / "run")]
    pretrain_images(pictures, tmp_path / "finished", "steps=1", "warmup_steps=0", "eval_every=0")
    capsys.readouterr()
    score = ["evaluate-pretraining", "--model", str(tmp_path / "finished"), "--shards", twice[0], "--shards", twice[1]]
    tune = ["--task", "va", "--model", str(tmp_path / "finished"), "--recipe", "image_features_small"]
    for command in (
        ["pretrain-images", *twice, *run],
        ["finetune-images", *twice, *tune, "--out", str(tmp_path / "run")],
        [*score, "--validation", str(pictures)],
    ):
        assert main(command) == 2
        assert "would count twice; name each folder once" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
