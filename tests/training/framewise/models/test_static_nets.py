"""Networks of single pictures: the authors' sizes and names, and the paper's options beside those of the code."""

from typing import Literal

import numpy as np
import pytest
import torch
from avf_training.framewise.models.static_input import letterbox
from avf_training.framewise.models.static_nets import StaticNet
from avf_training.framewise.models.static_sizes import INPUT_PX, Backbone


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


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(2, 4, (2, 6), (0, 8)), (5, 3, (0, 8), (2, 6))])
def test_a_picture_stands_in_the_middle_of_a_black_square(
    height: int, width: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    square = letterbox(np.full((height, width, 3), 200, np.uint8), 8)
    expected = np.zeros((8, 8, 3), np.uint8)
    expected[slice(*rows), slice(*columns)] = 200
    np.testing.assert_array_equal(square, expected)


def test_a_picture_of_a_single_row_is_left_with_a_row() -> None:
    square = letterbox(np.full((1, 100, 3), 200, np.uint8), 8)
    assert [int(row.max()) for row in square] == [0, 0, 0, 200, 0, 0, 0, 0]


def test_shrinking_a_picture_averages_what_it_covers() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[::2] = 200
    inner = letterbox(picture, 8)[1:-1]
    assert inner.min() == inner.max() == 100
