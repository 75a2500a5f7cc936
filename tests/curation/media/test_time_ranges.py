"""A time range of a file is a video of its own, and a separate audio file is used where it is needed."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.detectors.detector_set import Detectors
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import MediaError, TimeRange
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.video import curate_video
from avf_curation.sources.types import Video
from avf_shards.schema.labels import Origin
from avf_shards.timeline import Span
from support import corpora
from support.curation_runs import EMBEDDED, make_recipe
from support.numbered_video import make_numbered_video, read_number
from support.videos import make_video

CONFIG = make_recipe().defaults.media


def brightness(media: MediaFile, span: Span) -> list[int]:
    convert = FrameConverter()
    return [round(float(convert.array(frame, 96, 64, "gray")[:, 60:].mean())) for frame in media.read(span)]


@pytest.mark.parametrize("options", [{}, {"g": "250", "bf": "3"}])
def test_a_time_range_has_the_frames_and_audio_of_the_full_file(tmp_path: Path, options: dict[str, str]) -> None:
    (tmp_path / "film.mp4").write_bytes(make_video(frames=100, options=options))
    with (
        MediaFile(tmp_path / "film.mp4", CONFIG) as full_file,
        MediaFile(tmp_path / "film.mp4", CONFIG, None, TimeRange(1.2, 3.2)) as part,
    ):
        full_frames, part_frames = list(full_file.frames()), list(part.frames())
        assert len(part_frames) == 50
        assert part.video_track is not None
        assert part.video_track.frames == part.video_track.decoded_frames == 50
        assert full_frames[30].frame.pts == part_frames[0].frame.pts
        assert brightness(part, Span(0, 50)) == brightness(full_file, Span(30, 80))
        assert brightness(part, Span(10, 13)) == brightness(full_file, Span(40, 43))
        full_audio, part_audio = full_file.audio(100), part.audio(50)
        assert full_audio is not None
        assert part_audio is not None
        difference = part_audio.samples.astype(int) - full_audio.samples[30 * 640 : 80 * 640]
        assert np.abs(difference[640:]).max() < 200  # AAC and resampler begin elsewhere
        assert part_audio.missing_frames(Span(0, 50)) < 2


def test_a_range_that_ends_after_its_file_is_not_the_fault_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(make_numbered_video(range(50), container="mp4"))
    for stop_s, is_range_longer in ((1.6, False), (3.0, True)):
        with MediaFile(tmp_path / "film.mp4", CONFIG, None, TimeRange(0.4, stop_s)) as media:
            list(media.frames())
            assert media.video_track is not None
            assert media.video_track.is_range_longer == is_range_longer
            assert media.video_track.frames == round((stop_s - 0.4) * 25)


CONTAINERS = {
    "mp4": "libx264",
    "matroska": "libx264",
    "avi": "libx264",
    "mpegts": "libx264",
    "mpeg": "mpeg2video",
    "h264": "libx264",
    "mpeg2video": "mpeg2video",
}


# Of other containers only the first recording is read.
JOINED = [("mpegts", True), ("mpeg", True), ("matroska", True)]


@pytest.mark.parametrize(("container", "joined"), [*((container, False) for container in CONTAINERS), *JOINED])
def test_time_ranges_show_what_the_whole_file_shows(tmp_path: Path, container: str, joined: bool) -> None:
    options = {"bf": "2", "g": "30"} | ({"preset": "veryfast"} if CONTAINERS[container] == "libx264" else {"qmax": "2"})
    beeps_s = None if container in ("h264", "mpeg2video") else [0.5, 1.5, 2.5]
    data = [
        make_numbered_video(
            range(75),
            container=container,
            codec=CONTAINERS[container],
            options=options,
            beeps_s=beeps_s,
            first_number=n,
        )
        for n in ((0, 100) if joined else (0,))
    ]
    path = tmp_path / "film"
    path.write_bytes(b"".join(data))
    with MediaFile(path, CONFIG) as film:
        numbers = [read_number(entry.frame) for entry in film.frames()]
        sound = film.audio(len(numbers))
    for start, stop in ((0, 25), (30, 70), (50, 73)) + (((70, 120), (100, 140)) if joined else ()):
        with MediaFile(path, CONFIG, None, TimeRange(start / 25, stop / 25)) as part:
            assert [read_number(entry.frame) for entry in part.frames()] == numbers[start:stop]
            assert [read_number(frame) for frame in part.read(Span(0, stop - start))] == numbers[start:stop]
            part_sound = part.audio(stop - start)
        if sound is not None:
            assert part_sound is not None
            expected = sound.samples[start * 640 : stop * 640]
            np.testing.assert_allclose(loud_starts(part_sound.samples), loud_starts(expected), atol=2)


def loud_starts(samples: np.ndarray) -> np.ndarray:
    """Return the samples at which a beep begins."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 3000)
    return loud[np.diff(loud, prepend=-4000) > 3200]


@pytest.mark.parametrize("rate", [44_100, 22_050])
def test_times_that_are_rounded_to_a_millisecond_do_not_move_the_sound_of_a_range(tmp_path: Path, rate: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, (1, 9 * rate)).astype(np.float32)
    with av.open(str(tmp_path / "film.mkv"), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = out.add_stream("aac", rate=rate, layout="mono")
        for number in range(225):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, noise.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(noise[:, start : start + 1024]), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = rate, start, Fraction(1, rate)
            out.mux(audio.encode(block))
        out.mux(audio.encode(None))
    with MediaFile(tmp_path / "film.mkv", CONFIG) as film:
        whole = film.audio(sum(1 for _ in film.frames()))
    assert whole is not None
    for start in (25, 83, 120, 150):
        with MediaFile(tmp_path / "film.mkv", CONFIG, None, TimeRange(start / 25, start / 25 + 2)) as part:
            sound = part.audio(sum(1 for _ in part.frames()))
        assert sound is not None
        expected = whole.samples[start * 640 - 40 : start * 640 + 16_040].astype(float)
        correlations = np.correlate(expected, sound.samples[:16_000].astype(float), "valid")
        assert abs(int(correlations.argmax()) - 40) <= 2, "samples, an eighth of a millisecond"


def test_a_time_range_begins_with_the_picture_that_is_shown_then(tmp_path: Path) -> None:
    (tmp_path / "still.mp4").write_bytes(make_numbered_video([0, 1, 2, 40, 41, 42, 90], container="mp4"))
    with MediaFile(tmp_path / "still.mp4", CONFIG) as film:
        numbers = [read_number(entry.frame) for entry in film.frames()]
    for start, stop in ((10, 30), (30, 60), (60, 80)):
        with MediaFile(tmp_path / "still.mp4", CONFIG, None, TimeRange(start / 25, stop / 25)) as part:
            assert [read_number(entry.frame) for entry in part.frames()] == numbers[start:stop]
            assert part.video_track is not None
            assert part.video_track.frames == stop - start


def test_a_time_range_beyond_the_end_is_missing_video_or_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(make_video(frames=50))
    with MediaFile(tmp_path / "film.mp4", CONFIG, None, TimeRange(1.0, 4.0)) as part:
        list(part.frames())
        assert part.video_track is not None
        assert (part.video_track.decoded_frames, part.video_track.frames) == (25, 75)
    with (
        MediaFile(tmp_path / "film.mp4", CONFIG, None, TimeRange(10.0, 12.0)) as none,
        pytest.raises(MediaError, match="ends before"),
    ):
        list(none.frames())


def test_two_time_ranges_of_a_file_are_different_inputs(tmp_path: Path) -> None:
    path = corpora.write_file(tmp_path, "film.mp4")
    assert (
        len(
            {
                input_digest(path, None),
                input_digest(path, None, TimeRange(0, 1)),
                input_digest(path, None, TimeRange(1, 2)),
            }
        )
        == 3
    )


def plan_video(root: Path, path: str, **more: object) -> Video:
    stat = (root / path).stat()
    return Video(
        source="voxceleb2",
        video_id=path,
        group_id=path,
        path=path,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        **more,
    )


@pytest.mark.parametrize(
    ("sound_from_s", "separate_frames", "complete"),
    [
        (0.0, 20, True),  # the video has usable audio: the separate file, too short, is not read
        (None, 75, True),  # the video has no audio
        (None, 20, False),
    ],
)
def test_a_separate_audio_file_is_used_only_if_the_video_has_no_usable_audio(
    tmp_path: Path, sound_from_s: float | None, separate_frames: int, complete: bool
) -> None:
    corpora.write_file(tmp_path, "a.mp4", make_video(frames=75, sound_from_s=sound_from_s))
    corpora.write_file(tmp_path, "a.m4a", make_video(frames=separate_frames))
    corpora.write_file(tmp_path, "a.txt", corpora.TRACK)
    video = plan_video(
        tmp_path, "a.mp4", sound_path="a.m4a", own_sound_first=True, boxes_path="a.txt", origin=Origin(id="21Uxsk56VDQ")
    )
    result = curate_video(video, tmp_path, make_recipe().defaults, Detectors(EMBEDDED))
    reasons = {outcome.candidate.failed_check.reason for outcome in result.outcomes if outcome.candidate.failed_check}
    assert ("no_sound" not in reasons) == complete
    assert result.origin is not None
    assert result.origin.start_s == 149 / 25
