"""The head for deepfakes has its shapes, its size by the formula, and a clip's times in their order."""

from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.models.detector_head import DetectorHead, time_tokens
from avf_training.models.presets import preset


def _inputs(clips: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    geometry = preset("nano").geometry
    return torch.randn(clips, *geometry.video_shape), torch.randn(clips, *geometry.audio_shape)


@pytest.mark.parametrize("name", ["nano", "avfmaepp_b", "avfmaepp_l", "avfmaepp_h"])
def test_the_head_has_as_many_parameters_as_its_formula_says(name: str) -> None:
    with torch.device("meta"):
        head, width = DetectorHead(preset(name)), preset(name).video.width
    count = sum(each.numel() for each in head.parameters()) + 6 * width + 6 * width + 2
    assert count == 60 * width**2 + 87 * width + 2


def test_a_detector_is_saved_and_loaded_with_its_head(tmp_path: Path) -> None:
    names = OutputSpec(names=("real", "fake"), pool="max")
    model = Classifier(preset("nano"), 2, output_spec=names, head="detector").eval()
    assert not hasattr(model, "fusion")
    model.save_pretrained(tmp_path / "saved")
    loaded = Classifier.from_pretrained(tmp_path / "saved")
    assert loaded.head_kind == "detector"
    assert loaded.output_spec.pool == "max"
    with torch.no_grad():
        output = model(*_inputs())
        assert torch.equal(loaded(*_inputs()).logits_BJ, output.logits_BJ)
    assert output.logits_BJ.shape == (2, 2)
    assert output.feature_BC.shape == (2, 3 * 96)
    (tmp_path / "saved" / "config.json").write_text(
        (tmp_path / "saved" / "config.json").read_text().replace('"detector"', '"detective"')
    )
    with pytest.raises(UserError, match="head 'detective' must be one of linear, detector"):
        Classifier.from_pretrained(tmp_path / "saved")


def test_each_parameter_learns() -> None:
    model = Classifier(preset("nano"), 2, head="detector").train()
    model(*_inputs(4)).logits_BJ.square().sum().backward()
    without = {name for name, each in model.named_parameters() if each.requires_grad and each.grad is None}
    assert not without  # DDP would wait for them
    frozen = {name.split(".")[3] for name, each in model.named_parameters() if not each.requires_grad}
    assert frozen == {"gather_norm", "gather_context_norm", "gather_attn"}  # of the last layer's region tokens


def test_tokens_are_means_of_their_time() -> None:
    order = torch.tensor([2, 0, 3, 1])  # raster index of each token: times 1, 0, 1, 0
    tokens = torch.tensor([[[1.0], [10.0], [3.0], [20.0]]])
    assert time_tokens(tokens, order, 2).flatten().tolist() == [15.0, 2.0]


def test_a_head_without_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="set modalities=av, or head=linear"):
        Classifier(preset("nano", "v"), 2, head="detector")
