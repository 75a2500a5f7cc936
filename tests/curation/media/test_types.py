"""Tracks of video and audio: audio is shifted by full frames."""

import numpy as np
from avf_curation.media.types import AudioTrack
from avf_shards.timeline import Span


def test_audio_is_shifted_by_full_frames() -> None:
    samples = np.arange(10 * 640, dtype=np.int16)
    sound = AudioTrack(samples=samples, covered=(Span(0, 6400),))
    np.testing.assert_array_equal(sound.cut(Span(2, 5)), samples[2 * 640 : 5 * 640])
    np.testing.assert_array_equal(sound.cut(Span(2, 5), shift_frames=1), samples[640 : 4 * 640])
    late = sound.cut(Span(0, 3), shift_frames=2)
    assert not late[: 2 * 640].any()
    np.testing.assert_array_equal(late[2 * 640 :], samples[:640])
    assert len(sound.cut(Span(8, 10), shift_frames=-5)) == 2 * 640
