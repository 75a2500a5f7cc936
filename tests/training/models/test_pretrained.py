"""Saved models and the authors' checkpoints are loaded without loss, without guesses and without running code."""

import argparse
import json
import os
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.conversion.authors_state_dict import authors_names, to_authors_names
from avf_training.conversion.convert import convert_state_dict, read_authors_checkpoint
from avf_training.models.classifier import Classifier
from avf_training.models.config import ModelConfig
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.pretrained import initialize_encoders, load_model_folder
from support.models import random_batch, random_masks, tiny_config
from torch import Tensor, nn

KINDS = [("vit", "cross"), ("lgi", "iavcl"), ("lgi", "cross")]


def authors_file(path: Path, model: nn.Module, prefix: str = "", drop: str = "", **extra_tensors: Tensor) -> Path:
    """A checkpoint as the authors save theirs: tensors under `model`, their arguments beside."""
    tensors = to_authors_names(model.state_dict(), authors_names(model)) | extra_tensors
    named = {prefix + name: value for name, value in tensors.items() if not drop or not name.startswith(drop)}
    torch.save({"model": named, "epoch": 99, "args": argparse.Namespace(lr=1e-3, mask_type="tube")}, path)
    return path


def config_file(path: Path, config: ModelConfig) -> Path:
    from dataclasses import asdict

    path.write_text(json.dumps({"model": asdict(config)}))
    return path


@pytest.mark.parametrize(("encoder", "fusion"), KINDS)
def test_a_saved_model_loads_with_equal_outputs(tmp_path: Path, encoder: str, fusion: str) -> None:
    config = tiny_config(encoder, fusion)
    model = MaskedAutoencoder(config)
    model.save_pretrained(tmp_path / "mae")
    loaded = MaskedAutoencoder.from_pretrained(tmp_path / "mae")
    assert loaded.config == config
    with torch.no_grad():
        inputs, masks = random_batch(config), random_masks(config)
        torch.testing.assert_close(loaded(*inputs, masks).video_BMP, model.eval()(*inputs, masks).video_BMP)
    head = Classifier(config, 7)
    head.save_pretrained(tmp_path / "head")
    assert Classifier.from_pretrained(tmp_path / "head").outputs == 7
    assert sorted(path.name for path in (tmp_path / "mae").iterdir()) == ["config.json", "model.safetensors"]
    with pytest.raises(UserError, match="exists already"):
        model.save_pretrained(tmp_path / "mae")
    with pytest.raises(UserError, match=r"holds a pre-trained model \(mae\); name a fine-tuned model"):
        Classifier.from_pretrained(tmp_path / "mae")


def test_a_classifier_takes_the_weights_of_pretraining() -> None:
    config = tiny_config()
    pretrained, head = MaskedAutoencoder(config), Classifier(config, 7)
    new = initialize_encoders(head, pretrained.state_dict())
    assert set(new) == {
        "layer_weights_video",
        "layer_weights_audio",
        "fc_norm.weight",
        "fc_norm.bias",
        "head.weight",
        "head.bias",
    }
    for name, value in head.state_dict().items():
        if name not in new:
            assert torch.equal(value, pretrained.state_dict()[name])


@pytest.mark.parametrize(
    ("encoder", "fusion", "prefix"),
    [("vit", "cross", "module."), ("lgi", "cross", "_orig_mod."), ("lgi", "iavcl", "module._orig_mod.")],
)
def test_an_authors_checkpoint_is_converted_and_exported_without_loss(
    tmp_path: Path, encoder: str, fusion: str, prefix: str
) -> None:
    config = tiny_config(encoder, fusion, batch_norm_statistics="shared")
    for model in (MaskedAutoencoder(config), Classifier(config, 7)):
        folder = tmp_path / type(model).__name__
        theirs = authors_file(tmp_path / "theirs.pth", model, prefix)
        assert (
            main(
                [
                    "convert",
                    str(theirs),
                    "--out",
                    str(folder),
                    "--config",
                    str(config_file(tmp_path / "config.json", config)),
                ]
            )
            == 0
        )
        converted = type(model).from_pretrained(folder)
        assert all(torch.equal(value, converted.state_dict()[name]) for name, value in model.state_dict().items())
        exported = folder.with_suffix(".pth")
        assert main(["convert", str(folder), "--out", str(exported)]) == 0
        before, after = read_authors_checkpoint(theirs), read_authors_checkpoint(exported)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("name", ["hicmae_finetune", "avfmaepp_pretrain"])
def test_reference_weights_are_converted_and_exported_without_loss(oracles: Path, tmp_path: Path, name: str) -> None:
    import numpy as np
    from avf_training.conversion.parity_models import model_config

    with np.load(oracles / f"{name}_tiny.npz") as archive:
        config = model_config(json.loads(str(archive["meta.config"])), archive.files)
        tensors = {key[2:]: torch.from_numpy(np.array(archive[key])) for key in archive.files if key.startswith("w.")}
    torch.save({"model": tensors}, tmp_path / "theirs.pth")
    converted = convert_state_dict(read_authors_checkpoint(tmp_path / "theirs.pth"), config)
    converted.save(tmp_path / "ours")
    assert main(["convert", str(tmp_path / "ours"), "--out", str(tmp_path / "back.pth")]) == 0
    exported = read_authors_checkpoint(tmp_path / "back.pth")
    assert exported.keys() == tensors.keys()
    assert all(torch.equal(exported[key], value) for key, value in tensors.items())


def test_published_sizes_are_recognised_by_tensor_shapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from avf_training.models.presets import PRESETS

    model = MaskedAutoencoder(PRESETS["hicmae_t"])
    theirs = authors_file(tmp_path / "t.pth", model, drop="decoder")
    tensors = {
        n: v for n, v in read_authors_checkpoint(theirs).items() if "mask_token" not in n and "to_decoder" not in n
    }
    torch.save(tensors, theirs)
    assert main(["convert", str(theirs), "--out", str(tmp_path / "t")]) == 0
    assert "encoders hicmae_t" in capsys.readouterr().out
    values, weights = load_model_folder(tmp_path / "t")
    assert values["kind"] == "encoders"
    head = Classifier(PRESETS["hicmae_t"], 3)
    assert len(initialize_encoders(head, weights)) == 6


def test_unexpected_tensor_names_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny_config()
    extra_tensors = {"encoder.blocks.0.gamma_1": torch.ones(32), "encoder.norm.weight": torch.ones(31)}
    theirs = authors_file(
        tmp_path / "theirs.pth", MaskedAutoencoder(config), drop="encoder_fusion.cross", **extra_tensors
    )
    code = main(
        [
            "convert",
            str(theirs),
            "--out",
            str(tmp_path / "x"),
            "--config",
            str(config_file(tmp_path / "config.json", config)),
        ]
    )
    assert code == 2
    message = capsys.readouterr().err
    assert "missing: encoder_fusion.cross_attn.q.weight" in message
    assert "unknown: encoder.blocks.0.gamma_1" in message
    assert "encoder.norm.weight: shape (31,), the model's is (32,)" in message
    assert not (tmp_path / "x").exists()


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch owned",)


def test_loading_a_checkpoint_runs_no_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"x": _Evil()}}, tmp_path / "evil.pth")
    assert main(["convert", "evil.pth", "--out", "x"]) == 2
    assert "evil.pth: not a file of torch, or it holds more than tensors" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth"]


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "other.pth")
    for name in ("text.pth", "empty.pth", "list.pth", "gone.pth", "other.pth"):
        assert main(["convert", str(tmp_path / name), "--out", str(tmp_path / "x")]) == 2
        message = capsys.readouterr().err
        assert message.startswith("avf-train: ")
        assert "Traceback" not in message
    assert not (tmp_path / "x").exists()


def test_a_damaged_model_folder_is_refused(tmp_path: Path) -> None:
    MaskedAutoencoder(tiny_config()).save_pretrained(tmp_path / "m")
    weights = tmp_path / "m/model.safetensors"
    content = weights.read_bytes()
    for damage in (content[: len(content) // 2], b"", b"x" * 100):
        weights.write_bytes(damage)
        with pytest.raises(UserError, match="cannot be read as a saved model"):
            MaskedAutoencoder.from_pretrained(tmp_path / "m")
    weights.write_bytes(content)
    config = json.loads((tmp_path / "m/config.json").read_text())
    config["model"]["fusion_heads"] = 5
    (tmp_path / "m/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="fusion_heads 5 does not divide"):
        MaskedAutoencoder.from_pretrained(tmp_path / "m")
