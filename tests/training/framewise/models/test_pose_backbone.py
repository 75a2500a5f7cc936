"""HRNet-W32 of timm with the blocks behind it: sizes, the authors' names, and what learns."""

import sys
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.framewise.models.checkpoint_names import export_tensors, import_tensors
from avf_training.framewise.models.pose_backbone import PoseMaps, ResidualBlock
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.tracks.loading import load_extractor
from safetensors.torch import save_file

HEATMAPS = 17 * 32 + 17  # parameters of the map from features to joints


def test_without_timm_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm.models.hrnet", None)
    with pytest.raises(UserError, match=r"hrnet_w32: timm is not installed; pip install 'avf-foundry\[hrnet\]'"):
        StaticNet("hrnet_w32")


@pytest.mark.parametrize("side", [7, 8])
def test_a_block_halves_its_maps(side: int) -> None:
    assert ResidualBlock(3, 5)(torch.zeros(1, 3, side, side)).shape == (1, 5, 4, 4)


class TestWithTimm:
    """Tests that make the network."""

    @pytest.fixture(autouse=True)
    def _timm(self) -> None:
        pytest.importorskip("timm", reason="timm, the extra `hrnet`, is not installed")

    @pytest.mark.parametrize(("maps", "more"), [("features13", 0), ("heatmaps13", HEATMAPS)])
    def test_it_has_the_authors_size_and_trains_what_is_behind_the_pose_net(self, maps: PoseMaps, more: int) -> None:
        with torch.device("meta"):
            both, affect_alone = (StaticNet("hrnet_w32", expressions=count, hrnet_maps=maps) for count in (8, 0))
        assert sum(each.numel() for each in both.parameters()) == 30_001_930 + more
        assert sum(each.numel() for each in affect_alone.parameters()) == 29_999_874 + more
        assert sum(each.numel() for each in affect_alone.parameters() if each.requires_grad) == 1_464_322

    def test_training_leaves_the_statistics_of_the_pose_net(self) -> None:
        net = StaticNet("hrnet_w32", expressions=0).train()
        before = net.model.pose.bn1.running_mean.clone()
        net(torch.randn(2, 3, 64, 64)).valence_arousal_B2.sum().backward()
        assert torch.equal(net.model.pose.bn1.running_mean, before)
        assert net.model.pose.conv1.weight.grad is None
        assert net.model.blocks[0].conv1[0].weight.grad.abs().max() > 0
        assert net.model.blocks[0].conv1[1].running_mean.abs().max() > 0

    def test_names_go_both_ways(self) -> None:
        with torch.device("meta"):
            net = StaticNet("hrnet_w32")
        theirs = export_tensors(net)
        assert {
            "HRNet.conv1.weight",
            "HRNet.final_layer.weight",
            "additional_layers.residual_block_3.downsample.1.running_var",
            "embeddings_layer.weight",
        } <= theirs.keys()
        assert import_tensors(theirs, net).keys() == net.state_dict().keys()
        assert sum(name.startswith("HRNet.") for name in theirs) == 1752 + 2

    @pytest.mark.parametrize("maps", ["features13", "heatmaps13"])
    def test_a_file_tells_which_maps_its_blocks_read(self, tmp_path: Path, maps: PoseMaps) -> None:
        net = StaticNet("hrnet_w32", expressions=0, hrnet_maps=maps)
        file = tmp_path / "pose.safetensors"
        save_file({name: value.contiguous() for name, value in export_tensors(net).items()}, file)
        assert f'"maps": "{maps}"' in load_extractor("hrnet_w32", file).identity.settings
        broken = {name: value.contiguous() for name, value in export_tensors(net).items() if "conv2.1.bias" not in name}
        save_file(broken, file)
        with pytest.raises(
            UserError, match=r"pose\.safetensors: .*\n  missing: additional_layers\.residual_block_1\.c"
        ):
            load_extractor("hrnet_w32", file)
