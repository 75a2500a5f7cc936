"""The scenes stage rejects shots with missing video or audio."""

import numpy as np
from avf_curation.media.types import AudioTrack, VideoTrack
from avf_curation.stages import scenes
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.stages import failed_reasons

DEFAULT = make_recipe().defaults


def test_shots_with_missing_video_or_audio_are_rejected() -> None:
    video_track = VideoTrack(frames=100, pts=np.arange(80), gaps=(Span(10, 30),), damaged=(Span(5, 6),))
    sound = AudioTrack(samples=np.zeros(100 * 640, np.int16), covered=(Span(0, 60 * 640),))

    def verdict(span: Span) -> list[str]:
        return failed_reasons(scenes.decide(scenes.measure(span, video_track, sound), DEFAULT.scenes))

    assert verdict(Span(0, 40)) == ["no_picture"]
    assert verdict(Span(31, 59)) == ["too_short"]
    assert verdict(Span(31, 80)) == ["no_sound"]
    assert failed_reasons(scenes.decide(scenes.measure(Span(31, 75), video_track, None), DEFAULT.scenes)) == [
        "no_sound"
    ]
