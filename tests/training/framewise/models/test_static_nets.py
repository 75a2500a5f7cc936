"""Networks of single pictures: the authors' sizes and names, and the paper's options beside those of the code."""

from typing import Literal

import pytest
import torch
from avf_training.framewise.models.static_nets import INPUT_PX, Backbone, StaticNet


@pytest.mark.parametrize(
    ("backbone", "both", "affect_alone"),
    [
        ("efficientnet_b1", 6_844_202, 6_842_146),
        ("efficientnet_b4", 18_010_706, 18_008_650),
        ("vit_b_16", 86_826_994, 86_824_938),
    ],
)
def test_networks_have_the_authors_sizes(backbone: Backbone, both: int, affect_alone: int) -> None:
    for expressions, size in ((8, both), (0, affect_alone)):
        with torch.device("meta"):
            net = StaticNet(backbone, expressions=expressions, vit_output="imagenet_logits")
        assert sum(parameter.numel() for parameter in net.parameters()) == size
    assert {"embeddings_layer.weight", "batchnorm.running_var", "regression.bias"} <= net.state_dict().keys()
    assert INPUT_PX[backbone] in (224, 240, 380)


@pytest.mark.parametrize(("output", "width"), [("cls", 768), ("imagenet_logits", 1000)])
def test_the_embedding_of_a_vit_is_from_its_cls_token(output: Literal["cls", "imagenet_logits"], width: int) -> None:
    with torch.device("meta"):
        assert StaticNet("vit_b_16", vit_output=output).embeddings_layer.in_features == width


def test_embeddings_and_affect_are_bounded() -> None:
    torch.manual_seed(1)
    net = StaticNet("efficientnet_b1", expressions=0).eval()
    torch.nn.init.constant_(net.regression.bias, 3.0)
    pictures = torch.randn(2, 3, 64, 64)
    out = net(pictures)
    assert out.expressions_BK is None
    assert out.embedding_BE.shape == (2, 256)
    assert bool((out.embedding_BE.abs() <= 1).all())
    assert bool((out.valence_arousal_B2 <= 1).all())
    net.bounded = False
    assert bool((net(pictures).valence_arousal_B2 > 1).any())
