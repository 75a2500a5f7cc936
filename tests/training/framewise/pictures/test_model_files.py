"""Image models as files: MAE's checkpoints in and out, and what other commands say of them."""

from pathlib import Path

import pytest
import torch
from avf_training.cli.main import main
from avf_training.framewise.models.image_files import read_image_model, save_image_model
from avf_training.framewise.models.image_mae import ImageMAE
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS
from support.drawn_pictures import same_bits

SMALL = IMAGE_PRESETS["small"]


@pytest.fixture(scope="module")
def model() -> ImageMAE:
    torch.manual_seed(0)
    return ImageMAE(SMALL)


def test_checkpoints_of_mae_are_converted_both_ways(model: ImageMAE, tmp_path: Path) -> None:
    tensors = model.state_dict()
    torch.save({"model": tensors, "epoch": 799}, tmp_path / "mae.pth")
    assert main(["convert", str(tmp_path / "mae.pth"), "--out", str(tmp_path / "model")]) == 0
    saved = read_image_model(tmp_path / "model")
    assert (saved.kind, saved.config) == ("image_mae", SMALL)
    assert same_bits(saved.tensors, tensors)
    assert main(["convert", str(tmp_path / "model"), "--out", str(tmp_path / "out.pth")]) == 0
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert same_bits(written["model"], tensors)


def test_an_encoder_without_its_decoder_is_one(model: ImageMAE, tmp_path: Path) -> None:
    encoder = {name: value for name, value in model.state_dict().items() if not name.startswith(("decoder", "mask"))}
    torch.save({"model": encoder}, tmp_path / "encoder.pth")
    assert main(["convert", str(tmp_path / "encoder.pth"), "--out", str(tmp_path / "model")]) == 0
    saved = read_image_model(tmp_path / "model")
    assert saved.kind == "image_encoder"
    assert same_bits(saved.tensors, encoder)
    assert same_bits(read_image_model(tmp_path / "encoder.pth").tensors, encoder)


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "VIDEO", "--model"],
        ["embed", "VIDEO", "--out", "OUT.parquet", "--model"],
        ["extract", "VIDEO", "--extractor", "saved_model", "--out", "TRACKS", "--weights"],
    ],
)
def test_commands_of_audio_visual_models_refuse_an_image_model_in_words(
    model: ImageMAE, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    folder, video = tmp_path / "model", tmp_path / "video.mp4"
    save_image_model(folder, "image_mae", SMALL, model.state_dict())
    video.write_bytes(b"no video, but not looked at before the model")
    words = [str(video) if word == "VIDEO" else str(tmp_path / word) if word.isupper() else word for word in command]
    words = [str(tmp_path / word) if word == "OUT.parquet" else word for word in words]
    assert main([*words, str(folder)]) == 2
    message = capsys.readouterr().err
    assert "is an image model of avf-train pretrain-images (image_mae); name an audio-visual model" in message
