"""Filter-bank features of audio."""

import pytest
import torch
from avf_training.data.fbank import MEAN, TWO_STD, log_mel


def test_short_audio_is_padded_and_long_audio_cut() -> None:
    wave = torch.randn(51_200) * 0.1
    features = log_mel(wave, 16_000)
    assert features.shape == (1, 256, 128)
    assert features.dtype == torch.float32
    short = log_mel(wave[:40_960], 16_000)
    empty = torch.full((2, 128), -MEAN / TWO_STD)
    torch.testing.assert_close(short[0, 254:], empty)
    assert not torch.isclose(features[0, 254:], empty).any()


def test_a_tone_appears_at_its_time_and_frequency() -> None:
    time = torch.arange(40_960) / 16_000
    low, high = (log_mel(torch.sin(2 * torch.pi * hz * time), 16_000)[0, :254].mean(0).argmax() for hz in (300, 3000))
    assert 0 < low < high < 128


def test_int16_and_float_samples_give_equal_features() -> None:
    wave = (torch.randn(16_000) * 3000).to(torch.int16)
    torch.testing.assert_close(log_mel(wave, 16_000), log_mel(wave.float() / 32768, 16_000))


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (torch.zeros(16_000), 44_100, "sample_rate_hz 44100.*16000"),
        (torch.zeros(1, 16_000), 16_000, r"shape \(1, 16000\).*\(samples,\)"),
        (torch.zeros(399), 16_000, "399 samples are too few.*400"),
        (torch.zeros(16_000, dtype=torch.int32), 16_000, "dtype torch.int32.*int16, float32"),
    ],
)
def test_invalid_audio_is_refused_with_the_reason(sound: torch.Tensor, rate: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_mel(sound, rate)
