"""I3D has the parameters and names of the published file, and TensorFlow's padding."""

from pathlib import Path

import pytest
import torch
from avf_training.frechet.kinetics_network import KineticsNetwork, _pad_same, load_kinetics_network


def test_names_and_sizes_are_those_of_the_published_weights(tmp_path: Path) -> None:
    network = KineticsNetwork()
    state = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    assert shapes["Conv3d_1a_7x7.conv3d.weight"] == (64, 3, 7, 7, 7)
    assert shapes["Mixed_4c.b2b.conv3d.weight"] == (64, 24, 3, 3, 3)
    assert shapes["Mixed_5c.b1b.bn.running_var"] == (384,)
    assert shapes["logits.conv3d.weight"] == (400, 1024, 1, 1, 1)
    units = 3 + 9 * 6
    assert len(state) == units * 6 + 2
    megabytes = sum(tensor.numel() * tensor.element_size() for tensor in state.values()) / 2**20
    assert 48 < megabytes < 50, "the published file has 49 MB"
    torch.save(state, tmp_path / "i3d.pt")
    loaded = load_kinetics_network(tmp_path / "i3d.pt", torch.device("cpu"))
    assert torch.equal(loaded.state_dict()["Mixed_3b.b0.conv3d.weight"], state["Mixed_3b.b0.conv3d.weight"])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        (224, 7, 2, 2, 3),
        (16, 7, 2, 2, 3),
        (7, 3, 2, 1, 1),
        (8, 3, 1, 1, 1),
        (14, 2, 2, 0, 0),
        (5, 2, 2, 0, 1),
        (9, 1, 1, 0, 0),
    ],
)
def test_padding_is_that_of_tensorflow(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    """The total is (ceil(size / stride) - 1) * stride + kernel - size, its smaller half in front."""
    x = torch.ones(1, 1, size, 1, 1)
    padded = _pad_same(x, (kernel, 1, 1), (stride, 1, 1))[0, 0, :, 0, 0]
    assert max((-(-size // stride) - 1) * stride + kernel - size, 0) == before + after
    assert padded.tolist() == [0] * before + [1] * size + [0] * after


@pytest.mark.slow
def test_a_video_gives_a_vector_for_each_time_averaged() -> None:
    network = KineticsNetwork().eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 16, 224, 224)).shape == (1, 400)
        assert network(torch.zeros(2, 3, 10, 224, 224)).shape == (2, 400)
