"""Tracks of video and audio: frame rates map to 25 fps, and audio is shifted by full frames."""

import numpy as np
import pytest
from avf_curation.media.types import AudioTrack, nearest_indices, round_to_frames
from avf_shards.timeline import Span


@pytest.mark.parametrize(
    ("rate", "frames", "expected"), [(25, 100, 100), (30, 300, 250), (24, 240, 250), (12, 120, 250)]
)
def test_every_frame_rate_maps_to_the_nearest_frames_at_25_fps(rate: int, frames: int, expected: int) -> None:
    frame_numbers: list[int] = []
    for n in range(1, frames):
        frame_numbers += [n - 1] * len(nearest_indices(n - 1, n, len(frame_numbers), 1, rate))
    total = round_to_frames(frames, 1, rate)
    frame_numbers += [frames - 1] * (total - len(frame_numbers))
    assert total == expected
    for index, source in enumerate(frame_numbers):
        nearest = min(range(frames), key=lambda n: abs(n / rate - index / 25) - 1e-12 * (n == source))
        assert abs(nearest / rate - index / 25) == pytest.approx(abs(source / rate - index / 25))


def test_audio_is_shifted_by_full_frames() -> None:
    samples = np.arange(10 * 640, dtype=np.int16)
    sound = AudioTrack(samples=samples, covered=(Span(0, 6400),))
    np.testing.assert_array_equal(sound.cut(Span(2, 5)), samples[2 * 640 : 5 * 640])
    np.testing.assert_array_equal(sound.cut(Span(2, 5), shift_frames=1), samples[640 : 4 * 640])
    late = sound.cut(Span(0, 3), shift_frames=2)
    assert not late[: 2 * 640].any()
    np.testing.assert_array_equal(late[2 * 640 :], samples[:640])
    assert len(sound.cut(Span(8, 10), shift_frames=-5)) == 2 * 640
