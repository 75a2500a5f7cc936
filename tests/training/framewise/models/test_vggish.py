"""VGGish: its input, its sizes and its post-processing."""

import numpy as np
import pytest
import torch
from avf_training.framewise.models.vggish import VGGish, Whitening
from avf_training.framewise.models.vggish_input import log_mel_examples, mel_matrix


def test_the_network_has_the_published_size_and_names() -> None:
    with torch.device("meta"):
        model = VGGish()
    assert sum(parameter.numel() for parameter in model.parameters()) == 72_141_184
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert shapes["features.13.weight"] == (512, 512, 3, 3)
    assert shapes["embeddings.0.weight"] == (4096, 12_288)
    assert shapes["embeddings.4.bias"] == (128,)
    assert {name.rpartition(".")[0] for name in shapes} == {
        *(f"features.{number}" for number in (0, 3, 6, 8, 11, 13)),
        *(f"embeddings.{number}" for number in (0, 2, 4)),
    }


@pytest.mark.parametrize(
    ("samples", "examples"), [(0, 0), (399, 0), (15_360, 0), (15_599, 0), (15_600, 1), (30_960, 2), (31_000, 2)]
)
def test_an_example_needs_96_whole_frames(samples: int, examples: int) -> None:
    assert log_mel_examples(np.zeros(samples)).shape == (examples, 96, 64)


def test_silence_is_the_logarithm_of_the_offset_and_a_tone_lies_in_its_band() -> None:
    assert log_mel_examples(np.zeros(15_600)) == pytest.approx(np.log(0.01))
    tone = np.sin(2 * np.pi * 1000 * np.arange(15_600) / 16_000)
    loudest = log_mel_examples(tone)[0].mean(0).argmax()
    assert mel_matrix()[32].argmax() == loudest  # bin 32 is 1000 Hz
    assert not mel_matrix()[0].any()


def test_maps_are_laid_out_with_channels_last() -> None:
    model = VGGish((1, 1, 1, 1, 2, 3), (5, 5, 4)).eval()
    examples = torch.rand(2, 96, 64, generator=torch.Generator().manual_seed(1))
    maps = model.features(examples[:, None])
    assert maps.shape == (2, 3, 6, 4)
    torch.testing.assert_close(model(examples), model.embeddings(maps.permute(0, 2, 3, 1).reshape(2, -1)))


def test_whitened_values_are_limited_and_rounded() -> None:
    whitening = Whitening(3)
    whitening.pca_means[:] = torch.tensor([[1.0], [0.0], [0.0]])
    values = torch.tensor([[1.0, -5.0, 5.0], [3.0, 0.1, -2.0]])
    assert whitening(values).tolist() == [[128, 0, 255], [255, 134, 0]]
    assert whitening(values, "0..1")[0].tolist() == pytest.approx([128 / 255, 0, 1])
