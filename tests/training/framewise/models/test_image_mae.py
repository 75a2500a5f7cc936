"""The masked autoencoder of pictures: sizes, patches, masks, the loss of hidden patches, and the feature model."""

import pytest
import torch
from avf_training.framewise.models.image_mae import (
    ImageMAE,
    MaskedPictures,
    from_patches,
    hidden_patches_loss,
    normalize_patches,
    to_patches,
)
from avf_training.framewise.models.image_sizes import IMAGE_PRESETS, ImageViTConfig
from avf_training.framewise.models.image_vit import ImageFeatureModel, grid_positions, layer_scales
from torch import Tensor

SMALL = ImageViTConfig(
    width=24, depth=3, heads=4, patch_px=8, size_px=32, decoder_width=16, decoder_depth=2, decoder_heads=4
)


def pictures() -> Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("size", "trained", "encoder", "decoder"),
    [
        ("b", 111_655_680, 85_798_656, 26_109_184),
        ("l", 329_239_296, 303_301_632, 26_240_256),
        ("h", 656_613_964, 630_764_800, 26_309_708),
    ],
)
def test_autoencoders_have_the_published_sizes(
    monkeypatch: pytest.MonkeyPatch, size: str, trained: int, encoder: int, decoder: int
) -> None:
    monkeypatch.setattr(
        "avf_training.framewise.models.image_mae.grid_positions",
        lambda width, grid: torch.empty(1, grid**2 + 1, width, device="meta"),
    )
    with torch.device("meta"):
        model = ImageMAE(IMAGE_PRESETS[size])
    parts = {name: parameter.numel() for name, parameter in model.named_parameters()}
    of_decoder = {name for name in parts if name.startswith(("decoder", "mask_token"))}
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == trained
    assert sum(count for name, count in parts.items() if name not in of_decoder) == encoder
    assert sum(parts[name] for name in of_decoder) == decoder


def test_patches_are_rows_columns_channels_and_go_back() -> None:
    images = pictures()
    patches = to_patches(images, 8)
    assert patches.shape == (3, 16, 192)
    assert torch.equal(patches[1, 6, :3], images[1, :, 8, 16])  # patch 6 is row 1, column 2
    assert torch.equal(patches[1, 6, 3:6], images[1, :, 8, 17])
    assert torch.equal(from_patches(patches, 8), images)


def test_a_quarter_of_the_patches_is_seen_and_the_order_restored() -> None:
    torch.manual_seed(2)
    model = ImageMAE(SMALL).eval()
    noise = torch.rand(3, 16, generator=torch.Generator().manual_seed(3))
    out = model(pictures(), noise)
    assert out.latent_BNC.shape == (3, 5, 24)
    assert out.prediction_BLP.shape == (3, 16, 192)
    assert out.mask_BL.sum(1).tolist() == [12, 12, 12]
    for row in range(3):
        assert set(noise[row].argsort()[:4].tolist()) == set((out.mask_BL[row] == 0).nonzero().flatten().tolist())


def test_hidden_patches_do_not_reach_the_encoder() -> None:
    torch.manual_seed(2)
    model = ImageMAE(SMALL).eval()
    noise = torch.rand(3, 16, generator=torch.Generator().manual_seed(3))
    before = model(pictures(), noise)
    patches = to_patches(pictures(), 8)
    patches[before.mask_BL == 1] = 5.0
    after = model(from_patches(patches, 8), noise)
    assert torch.equal(before.prediction_BLP, after.prediction_BLP)


def test_only_hidden_patches_count_in_the_loss() -> None:
    images, mask = pictures(), torch.zeros(3, 16)
    mask[:, 3] = 1
    predicted = to_patches(images, 8).clone()
    predicted[:, 3] += 2
    predicted[:, 5] += 100
    masked = MaskedPictures(predicted, mask, torch.empty(0), torch.empty(0))
    assert hidden_patches_loss(masked, images, 8, norm_pix=False).item() == pytest.approx(4)


def test_normalized_patches_join_the_channels() -> None:
    normal = normalize_patches(to_patches(pictures() * torch.tensor([1.0, 5.0, 9.0]).view(1, 3, 1, 1), 8))
    torch.testing.assert_close(normal.mean(-1), torch.zeros(3, 16), rtol=0, atol=1e-5)
    torch.testing.assert_close(normal.var(-1), torch.ones(3, 16), rtol=1e-4, atol=0)


def test_positions_have_columns_first() -> None:
    table = grid_positions(8, 4)[0]
    assert table.shape == (17, 8)
    assert not table[0].any()
    column_one, row_one = table[1 + 1], table[1 + 4]
    torch.testing.assert_close(column_one[:4], row_one[4:])
    torch.testing.assert_close(column_one[4:], row_one[:4])
    assert column_one[0].item() == pytest.approx(0.8414710)


def test_the_feature_is_the_norm_of_the_mean_patch() -> None:
    torch.manual_seed(4)
    model = ImageFeatureModel(SMALL, 8).eval()
    assert model.features(pictures()).shape == (3, 24)
    assert model(pictures()).shape == (3, 8)
    assert {"fc_norm.weight", "head.bias"} <= model.state_dict().keys()
    assert "norm.weight" not in model.state_dict()


def test_layers_learn_slower_towards_the_input() -> None:
    scales = layer_scales(ImageFeatureModel(SMALL, 8))
    assert scales["head.weight"] == scales["fc_norm.bias"] == 1
    assert scales["blocks.2.mlp.fc1.weight"] == pytest.approx(0.65)
    assert scales["blocks.0.norm1.bias"] == pytest.approx(0.65**3)
    assert scales["cls_token"] == scales["patch_embed.proj.weight"] == pytest.approx(0.65**4)
