"""The measurements and checks of each stage on small synthetic input."""

import numpy as np
import pytest
from avf_curation.demo.speech import speak
from avf_curation.detectors import envelope_sync, overlay
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.media.types import AudioTrack, VideoTrack, nearest_indices, round_to_frames
from avf_curation.stages import faces, quality, scenes, silence, sync, tracking
from avf_curation.stages.faces import Box
from avf_shards.timeline import Span
from support.curation_runs import make_recipe

DEFAULT = make_recipe().defaults


def failed_reasons(checks) -> list[str]:
    return [check.reason for check in checks if check.passed is False]


# -- timeline


@pytest.mark.parametrize(
    ("rate", "frames", "expected"), [(25, 100, 100), (30, 300, 250), (24, 240, 250), (12, 120, 250)]
)
def test_every_frame_rate_maps_to_the_nearest_frames_at_25_fps(rate: int, frames: int, expected: int) -> None:
    shown: list[int] = []
    for n in range(1, frames):
        shown += [n - 1] * len(nearest_indices(n - 1, n, len(shown), 1, rate))
    total = round_to_frames(frames, 1, rate)
    shown += [frames - 1] * (total - len(shown))
    assert total == expected
    for index, source in enumerate(shown):
        nearest = min(range(frames), key=lambda n: abs(n / rate - index / 25) - 1e-12 * (n == source))
        assert abs(nearest / rate - index / 25) == pytest.approx(abs(source / rate - index / 25))


# -- scenes


def test_shots_with_missing_video_or_audio_are_rejected() -> None:
    picture = VideoTrack(frames=100, pts=np.arange(80), gaps=(Span(10, 30),), errors=(5,))
    sound = AudioTrack(samples=np.zeros(100 * 640, np.int16), covered=(Span(0, 60 * 640),))

    def verdict(span: Span) -> list[str]:
        return failed_reasons(scenes.decide(scenes.measure(span, picture, sound), DEFAULT.scenes))

    assert verdict(Span(0, 40)) == ["no_picture"]
    assert verdict(Span(31, 59)) == ["too_short"]
    assert verdict(Span(31, 80)) == ["cut_off", "no_sound"]
    assert failed_reasons(scenes.decide(scenes.measure(Span(31, 75), picture, None), DEFAULT.scenes)) == ["no_sound"]


# -- faces


def make_box(x: float = 100, side: float = 100, y: float = 100) -> Box:
    return Box(left=x, top=y, right=x + side, bottom=y + side)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([[make_box()]] * 5, []),
        ([[]] * 5, ["no_face"]),
        ([[make_box()]] * 3 + [[]] * 2, []),
        ([[make_box(), make_box(300)]] * 5, ["several_faces"]),
        ([[make_box(side=40)]] * 5, ["too_small"]),
        ([[make_box(side=60)], [make_box(side=180)]], ["size_jump"]),
        ([[make_box(x=-60)]] * 5, ["out_of_frame"]),
        ([[Box(left=100, top=100, right=200, bottom=700)]] * 5, ["too_narrow"]),
    ],
)
def test_face_checks_reject_each_fault(seen: list[list[Box]], expected: list[str]) -> None:
    assert failed_reasons(faces.decide(faces.measure(seen, 1000, 1000), DEFAULT.faces)) == expected


def test_a_shot_without_faces_has_no_face_size() -> None:
    scores = faces.measure([[], []], 100, 100)
    assert scores.face_px is None
    assert [c.passed for c in faces.decide(scores, DEFAULT.faces)][2:] == [None] * 5


# -- silence


def test_speech_and_silence_tile_the_span_and_match_the_pause() -> None:
    said = speak(250, 120, 3, pauses=((100, 150),))
    samples = np.round(said.samples * 32767).astype(np.int16)
    stretches = silence.measure(Span(40, 290), samples, split_silence, DEFAULT.silence)
    assert [s.span.start_frame for s in stretches[1:]] == [s.span.stop_frame for s in stretches[:-1]]
    pause = [s.span for s in stretches if not s.speech and s.span.frames > 25]
    assert len(pause) == 1
    assert abs(pause[0].start_frame - 140) <= 8
    assert abs(pause[0].stop_frame - 190) <= 8


def test_zero_and_near_zero_samples_are_silence() -> None:
    for samples in (np.zeros(64000, np.int16), np.random.default_rng(0).integers(-8, 9, 64000).astype(np.int16)):
        assert [s.speech for s in silence.measure(Span(0, 100), samples, split_silence, DEFAULT.silence)] == [False]


def test_long_speech_is_split_at_the_quietest_frames() -> None:
    levels = np.full(1000, -20.0)
    levels[[300, 610]] = -50
    edges = silence.cut_long(levels, Span(0, 1000), 375, 50)
    assert edges[0] == 0
    assert edges[-1] == 1000
    assert all(50 <= b - a <= 375 for a, b in zip(edges, edges[1:], strict=False))
    assert min(abs(edge - 300) for edge in edges) <= 2
    assert min(abs(edge - 610) for edge in edges) <= 2


# -- track


def moving_face_detector(frames: int, hide: set[int] = frozenset(), rival: bool = False):
    asked: list[int] = []

    def detect(wanted):
        asked.extend(wanted)
        found = []
        for t in wanted:
            here = [] if t in hide else [make_box(200 + 1.5 * t, 120)]
            found.append(here + ([make_box(600, 110)] if rival else []))
        return found

    return detect, asked


def test_a_moving_face_is_tracked_with_one_crop_window() -> None:
    detect, asked = moving_face_detector(100)
    (found,) = tracking.measure(100, detect, 1000, 600, DEFAULT.track)
    assert found is not None
    assert failed_reasons(tracking.decide(found, DEFAULT.track)) == []
    assert sorted(asked) == [*range(0, 99, DEFAULT.track.every), 99]
    assert found.window.side_px == pytest.approx(180)
    np.testing.assert_allclose(found.window.centres_T2[:, 0], 260 + 1.5 * np.arange(100), atol=2)


def test_detection_is_denser_where_the_face_moves() -> None:
    def jumping(wanted):
        return [[make_box(100 + (300 if t > 52 else 0), 120)] for t in wanted]

    slow, fast = moving_face_detector(100), []
    tracking.measure(100, slow[0], 1000, 600, DEFAULT.track)

    def counted(wanted):
        fast.extend(wanted)
        return jumping(wanted)

    (found,) = tracking.measure(100, counted, 1000, 600, DEFAULT.track)
    assert len(fast) > len(slow[1])
    assert {52, 53} <= set(fast)
    assert found is not None
    assert "face_lost" in failed_reasons(tracking.decide(found, DEFAULT.track))


def test_lost_faces_and_second_faces_are_rejected() -> None:
    (lost,) = tracking.measure(100, moving_face_detector(100, hide=set(range(40, 100)))[0], 1000, 600, DEFAULT.track)
    assert failed_reasons(tracking.decide(lost, DEFAULT.track)) == ["face_lost"]
    (rival,) = tracking.measure(100, moving_face_detector(100, rival=True)[0], 1000, 600, DEFAULT.track)
    assert failed_reasons(tracking.decide(rival, DEFAULT.track)) == ["several_faces"]
    assert failed_reasons(tracking.decide(None, DEFAULT.track)) == ["face_lost"]


# -- sync


def test_a_low_confidence_offset_does_not_reject() -> None:
    unsure = sync.SyncScores(
        backend="envelope", offset_frames=9, confidence=0.4, distance=None, length_s=3.0, mouth_motion=0.5
    )
    (still, offset) = sync.decide(unsure, DEFAULT.sync)
    assert (still.passed, offset.passed) == (True, None)
    assert sync.repair_frames(unsure, DEFAULT.sync) == 0


def test_a_confident_offset_is_rejected_or_corrected() -> None:
    far = sync.SyncScores(
        backend="envelope", offset_frames=-9, confidence=5.0, distance=None, length_s=8.0, mouth_motion=0.5
    )
    near = sync.SyncScores(
        backend="envelope", offset_frames=-3, confidence=5.0, distance=None, length_s=8.0, mouth_motion=0.5
    )
    assert failed_reasons(sync.decide(far, DEFAULT.sync)) == ["offset"]
    assert failed_reasons(sync.decide(near, DEFAULT.sync)) == []
    assert sync.repair_frames(near, DEFAULT.sync) == -3
    poor = sync.SyncScores(backend="syncnet", offset_frames=0, confidence=1.0, distance=9.0, length_s=8.0)
    assert failed_reasons(sync.decide(poor, DEFAULT.sync)) == ["low_confidence"]


@pytest.mark.parametrize("shift", [-9, -2, 0, 4, 11])
def test_envelope_sync_measures_a_known_offset(shift: int) -> None:
    said = speak(200, 120, 5)
    frames = np.full((200, 20, 32, 3), 150.0)
    for t in range(200):
        gap = round(6 * said.mouth_T[t])
        frames[t, 10 - gap : 10 + gap + 1, 8:24] = 40
    frames += np.random.default_rng(1).normal(0, 4, frames.shape)
    samples = np.round(np.roll(said.samples, -shift * 640) * 32767).astype(np.int16)
    found = envelope_sync.score_envelope_sync(np.clip(frames, 0, 255).astype(np.uint8), samples, 15)
    assert found is not None
    assert abs(found.offset - shift) <= 1
    assert found.confidence > DEFAULT.sync.envelope_min_confidence


def test_audio_is_shifted_by_full_frames() -> None:
    samples = np.arange(10 * 640, dtype=np.int16)
    sound = AudioTrack(samples=samples, covered=(Span(0, 6400),))
    np.testing.assert_array_equal(sound.cut(Span(2, 5)), samples[2 * 640 : 5 * 640])
    np.testing.assert_array_equal(sound.cut(Span(2, 5), shift_frames=1), samples[640 : 4 * 640])
    late = sound.cut(Span(0, 3), shift_frames=2)
    assert not late[: 2 * 640].any()
    np.testing.assert_array_equal(late[2 * 640 :], samples[:640])
    assert len(sound.cut(Span(8, 10), shift_frames=-5)) == 2 * 640


# -- quality


def noise_frames(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 200, (frames, 64, 64)).astype(np.uint8)


def test_frozen_and_black_frames_are_measured() -> None:
    moving = noise_frames(50)
    stuck = np.concatenate([moving[:20], np.repeat(moving[20:21], 30, 0)])
    assert quality.frozen_s(moving, 0.6) == 0
    assert quality.frozen_s(stuck, 0.6) == pytest.approx(29 / 25)
    assert quality.black_share(np.zeros((4, 8, 8), np.uint8), 16) == 1


def test_black_bars_count_only_inside_the_crop_window() -> None:
    picture = np.full((100, 200), 120, np.uint8)
    picture[:20] = picture[80:] = 0
    middle = tracking.CropWindow(side_px=40.0, centres_T2=np.full((3, 2), (100.0, 50.0)))
    high = tracking.CropWindow(side_px=40.0, centres_T2=np.full((3, 2), (100.0, 20.0)))
    assert quality.bars_in_window([picture], 1.0, middle) == pytest.approx(0, abs=0.02)
    assert quality.bars_in_window([picture], 1.0, high) == pytest.approx(0.5, abs=0.05)


def draw_scene(seed: int, logo: bool) -> np.ndarray:
    import cv2

    draw = np.random.default_rng(seed)
    picture = cv2.resize(draw.integers(40, 200, (9, 16)).astype(np.uint8), (320, 180), interpolation=cv2.INTER_CUBIC)
    if logo:
        cv2.putText(picture, "LIVE", (262, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    return picture


def test_a_logo_is_detected_only_over_moving_frames() -> None:
    with_logo = overlay.find_overlay([draw_scene(n, True) for n in range(16)])
    without = overlay.find_overlay([draw_scene(n, False) for n in range(16)])
    assert with_logo is not None
    assert with_logo.edge_px > 50
    assert without is not None
    assert without.edge_px == 0
    assert overlay.find_overlay([draw_scene(1, True)] * 16) is None, "nothing moves: no evidence either way"
