"""The layers of the networks of single pictures are the authors', rates and unfreezing work, and files start them."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.models import static_files
from avf_training.framewise.models.checkpoint_names import export_tensors
from avf_training.framewise.models.static_files import start_static_net
from avf_training.framewise.models.static_layers import freeze_for_epoch, list_static_layers, static_rates
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import Backbone
from avf_training.framewise.protocol import choose_protocol
from torchvision.models import efficientnet_b1, vit_b_16

NETWORKS: dict[str, Backbone] = {
    "EfficientNet-B1": "efficientnet_b1",
    "EfficientNet-B4": "efficientnet_b4",
    "ViT_b_16": "vit_b_16",
    "Modified_HRNet": "hrnet_w32",
}
VIT_OUTSIDE = {"model.class_token", "model.encoder.pos_embedding"}


def make_net(backbone: Backbone) -> StaticNet:
    if backbone == "hrnet_w32" and find_spec("timm") is None:
        pytest.skip("timm, the extra `hrnet`, is not installed")
    with torch.device("meta"):
        return StaticNet(backbone, expressions=0, vit_output="imagenet_logits", hrnet_maps="features13")


@pytest.mark.real
@pytest.mark.parametrize("name", NETWORKS)
def test_layers_rates_and_open_parameters_are_those_of_the_authors_code(abaw6: Path, name: str) -> None:
    numbers = json.loads((abaw6 / "sun_unfreezing.json").read_text())[name]
    net = make_net(NETWORKS[name])
    layers = list_static_layers(net)
    assert [[layer.size.name, layer.size.parameters] for layer in layers] == numbers["layers"]
    sizes = {each: parameter.numel() for each, parameter in net.named_parameters()}
    held = static_rates(net, choose_protocol("authors_code"))
    assert sum(sizes[each] for each in held) == numbers["GU+DL_params_in_optimizer_forever"]
    assert sorted(set(held.values())) == pytest.approx(sorted(numbers["GU+DL_lrs"]))
    without_unfreezing = static_rates(net, choose_protocol("authors_code"), gradual_unfreezing=False)
    assert sum(sizes[each] for each in without_unfreezing) == numbers["DL_params_in_optimizer"]
    for epoch in numbers["GU_epochs"]:
        freeze_for_epoch(net, epoch["epoch"])
        learned = {each for each, parameter in net.named_parameters() if parameter.requires_grad}
        # Theirs never freezes what lies in no layer, and never trains it.
        outside = sum(sizes[each] for each in VIT_OUTSIDE - learned) if name == "ViT_b_16" else 0
        assert sum(sizes[each] for each in learned) + outside == epoch["trainable"]


@pytest.mark.parametrize("backbone", NETWORKS.values())
def test_ours_trains_every_parameter_but_the_pose_net(backbone: Backbone) -> None:
    net = make_net(backbone)
    rates = static_rates(net, choose_protocol("ours"))
    learned = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert rates.keys() == learned
    assert rates["regression.weight"] == 0.005
    assert 5e-5 <= min(rates.values()) < max(rates.values())
    freeze_for_epoch(net, 0)
    opened = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert {"embeddings_layer.weight", "batchnorm.bias", "regression.bias"} <= opened < learned
    freeze_for_epoch(net, 0, gradual_unfreezing=False)
    assert {name for name, parameter in net.named_parameters() if parameter.requires_grad} == learned


@pytest.mark.parametrize("epoch", [0, 2, 30])
def test_a_frozen_layer_gets_no_step_before_its_epoch(epoch: int) -> None:
    torch.manual_seed(0)
    net = StaticNet("efficientnet_b1", expressions=0)
    rates = static_rates(net, choose_protocol("ours"))
    parameters = dict(net.named_parameters())
    optimizer = torch.optim.AdamW([{"params": [parameters[name]], "lr": rate} for name, rate in rates.items()])
    freeze_for_epoch(net, epoch)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    net.train()(torch.randn(2, 3, 32, 32)).valence_arousal_B2.square().sum().backward()
    optimizer.step()
    changed = {name for name, parameter in parameters.items() if not torch.equal(parameter, before[name])}
    assert ("model.features.8.0.weight" in changed) == (epoch >= 2)
    assert ("model.features.0.0.weight" in changed) == (epoch >= 10)
    assert "regression.weight" in changed


@pytest.mark.parametrize("backbone", ["efficientnet_b1", "vit_b_16", "hrnet_w32"])
def test_published_names_of_a_backbone_fit(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    if backbone == "hrnet_w32" and find_spec("timm") is None:
        pytest.skip("timm, the extra `hrnet`, is not installed")
    with torch.device("meta"):  # no memory: the names and shapes are what is tried
        net = StaticNet(backbone)
        if backbone == "hrnet_w32":
            tensors = {
                name.removeprefix("model.pose."): value for name, value in net.state_dict().items() if "pose" in name
            }
            tensors |= {"final_layer.weight": torch.zeros(17, 32, 1, 1), "final_layer.bias": torch.zeros(17)}
        else:
            tensors = (vit_b_16 if backbone == "vit_b_16" else efficientnet_b1)(weights=None).state_dict()
        # The published file of ViT has names of an earlier version.
        renamed = {name.replace(".mlp.0.", ".mlp.linear_1.").replace(".mlp.3.", ".mlp.linear_2."): value
                   for name, value in tensors.items()}  # fmt: skip
        authors = export_tensors(net)
    for file in (renamed, authors):
        monkeypatch.setattr(static_files, "read_tensors", lambda path, file=file: dict(file))
        start_static_net(net, Path("weights.pth"), "va")
        lacking = {name: value for name, value in file.items() if name != max(file, key=len)}
        monkeypatch.setattr(static_files, "read_tensors", lambda path, file=lacking: dict(file))
        if not max(file, key=len).endswith("num_batches_tracked"):
            with pytest.raises(UserError, match="missing: model"):
                start_static_net(net, Path("weights.pth"), "va")
