"""A frame of a clip has the label of the source frame that it shows, whatever the rate of the source."""

import itertools
import math
from array import array
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import Bytes
from avf_curation.pipeline.source_clock import SourceClock, cut_labels, read_source_clock
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.schema.forgery import ForgedSegment, Forgery
from avf_shards.schema.frame_labels import FrameLabels
from avf_shards.schema.labels import Labels
from avf_shards.timeline import Span
from avf_training.data.storage import StorageConfig
from avf_training.tasks.labelled_shards import LabelledShards
from support.corpora import write_annotation
from support.curation_runs import EMBEDDED, make_recipe
from support.images import write_images
from support.numbered_video import make_numbered_video, read_number

CONFIG = make_recipe().defaults.media


def make_frame_labels(values: list[float]) -> FrameLabels:
    return FrameLabels(first_frame=1, columns={"valence": array("d", values)}, total=len(values))


def labelled_settings() -> list[str]:
    gates = [f"gates.{stage}=measure" for stage in ("scenes", "faces", "track", "sync", "quality")]
    return ["scenes.detectors=[]", "gates.silence=skip", *gates]


def write_film(path: Path, frames_THWC: Bytes, rate: int) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = *frames_THWC.shape[1:3], "yuv420p"
        for frame_HWC in frames_THWC:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame_HWC, format="bgr24")))
        out.mux(stream.encode(None))


def read_clock(path: Path, labels: int) -> tuple[SourceClock, list[int]]:
    """Return the clock of a film, and the numbers that the pictures on its timeline show."""
    video = Video(
        source="films",
        video_id="film",
        group_id="film",
        path=path.name,
        size_bytes=1,
        mtime_ns=1,
        labels=Labels(values={}, frames={"valence_arousal": make_frame_labels([0.0] * labels)}),
    )
    with MediaFile(path, CONFIG) as media:
        shown = [read_number(entry.frame) for entry in media.frames()]
        clock = read_source_clock(video, path.parent, media.video_track, media.start_s)
    assert clock is not None
    return clock, shown


@pytest.mark.parametrize("rate", [Fraction(n) for n in (6, 15, 24, 25, 30, 50, 60)] + [Fraction(30_000, 1001)])
def test_the_shown_frame_of_each_index_is_known_by_number_and_time(rate: Fraction, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(make_numbered_video(range(40), container="mp4", rate=rate))
    clock, shown = read_clock(tmp_path / "film.mp4", 40)
    assert clock.numbers_N.tolist() == list(range(1, 41))
    assert clock.times_s_N == pytest.approx([n / float(rate) for n in range(40)], abs=1e-3)
    frames, is_end = clock.frames_of(Span(0, len(shown)))
    assert is_end
    assert [number - 1 for number in frames.shown] == shown


@pytest.mark.parametrize("rate", [6, 25, 30, 60])
def test_the_spans_of_a_video_hold_every_frame_of_the_source(rate: int, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(make_numbered_video(range(40), container="mp4", rate=Fraction(rate)))
    clock, shown = read_clock(tmp_path / "film.mp4", 40)
    edges = sorted({0, 1, len(shown) // 3, len(shown) // 2, len(shown)})
    parts = [clock.frames_of(Span(*pair)) for pair in itertools.pairwise(edges)]
    assert sorted({number for part, _ in parts for number in part.numbers}) == list(range(1, 41))
    assert [is_end for _, is_end in parts] == [False] * (len(parts) - 1) + [True]
    for (earlier, _), (later, _) in itertools.pairwise(parts):
        assert later.numbers[0] - earlier.numbers[-1] in (0, 1)  # 0: one picture is shown on both sides of the cut


def test_gaps_between_times_move_no_label(tmp_path: Path) -> None:
    times = [*range(10), *range(20, 30)]  # ten frames are missing, as in a recording that stalled
    (tmp_path / "film.mp4").write_bytes(make_numbered_video(times, container="mp4"))
    clock, shown = read_clock(tmp_path / "film.mp4", 20)
    assert [number - 1 for number in clock.frames_of(Span(0, len(shown)))[0].shown] == shown
    assert clock.times_s_N == pytest.approx([time / 25 for time in times], abs=1e-3)


def test_labels_longer_and_shorter_than_the_frames_are_not_lost() -> None:
    clock = SourceClock(
        numbers_N=np.arange(1, 11), times_s_N=np.arange(10) / 25, entries_T=np.arange(10, dtype=np.int64)
    )
    longer = Labels(values={}, frames={"task": make_frame_labels([n / 100 for n in range(1, 13)])})
    first, second = (cut_labels(longer, clock, span) for span in (Span(0, 4), Span(4, 10)))
    assert first is not None
    assert second is not None
    assert (first.frames["task"].first_frame, list(first.frames["task"].columns["valence"])) == (
        1,
        [0.01, 0.02, 0.03, 0.04],
    )
    assert second.frames["task"].first_frame == 5
    assert list(second.frames["task"].columns["valence"]) == [n / 100 for n in range(5, 13)]
    assert first.frames["task"].total == second.frames["task"].total == 12
    shorter = Labels(values={}, frames={"task": make_frame_labels([0.5] * 6)})
    rest = cut_labels(shorter, clock, Span(8, 10))
    assert rest is not None
    assert (rest.frames["task"].frames, rest.frames["task"].total) == (0, 6)
    assert rest.source_frames is not None
    assert rest.source_frames.numbers == (9, 10)


def test_labels_of_frames_travel_into_the_record(tmp_path: Path) -> None:
    faces, _ = shot_frames(ShotScript(frames=24, speakers=(3,), seed=5))
    numbers = [number for number in range(1, 27) if number not in (5, 6)]  # two frames without a face
    write_images(tmp_path / "in/cropped_aligned/7_left", [f"{number:05d}.jpg" for number in numbers], list(faces))
    lines = [f"{number / 100},0.5" for number in range(1, 29)]
    lines[2] = "-5,-5"
    write_annotation(tmp_path / "in", "VA_Estimation_Challenge/Validation_Set/7_left", "valence,arousal", lines)
    run = curate(
        make_recipe(*labelled_settings()),
        EMBEDDED,
        {"aff_wild2_aligned": tmp_path / "in"},
        tmp_path / "run",
        RunOptions(engine="inline"),
    )
    pack_shards(run, tmp_path / "shards", Selection())
    (record,) = [record for _, record in LabelledShards([tmp_path / "shards"], StorageConfig()).records()]
    labels = record.labels
    assert labels is not None
    assert labels.source_frames is not None
    assert labels.values == {"valence_arousal_set": "validation"}
    assert labels.source_frames.numbers == labels.source_frames.shown == tuple(numbers)
    assert labels.source_frames.times_s == tuple(round(n / 25, 6) for n in range(24))
    valence = labels.frames["valence_arousal"].columns["valence"]
    assert math.isnan(valence[2])
    assert [valence[number - 1] for number in (1, 26)] == [0.01, 0.26]
    assert labels.frames["valence_arousal"].frames == 28  # those behind the last image go with the last clip


def test_a_clip_has_the_forged_segments_of_its_own_frames() -> None:
    word = ForgedSegment(start_s=2.0, stop_s=2.4, kind="audio")
    labels = Labels(values={"label": "fake"}, forgery=Forgery(is_fake=True, original="a", segments=(word,)))
    first, second = (cut_labels(labels, None, span) for span in (Span(0, 55), Span(55, 100)))
    assert first is not None
    assert first.forgery is not None
    assert second is not None
    assert second.forgery is not None
    assert first.forgery.segments == (ForgedSegment(start_s=2.0, stop_s=2.2, kind="audio"),)
    assert second.forgery.segments == (ForgedSegment(start_s=0.0, stop_s=0.2, kind="audio"),)


def test_two_persons_of_a_film_of_30_fps_have_their_own_labels(tmp_path: Path) -> None:
    left, _ = shot_frames(ShotScript(frames=48, speakers=(3,), seed=5))
    right, _ = shot_frames(ShotScript(frames=48, speakers=(4,), seed=6))
    film = tmp_path / "in/batch1/7.mp4"
    film.parent.mkdir(parents=True)
    write_film(film, np.concatenate([np.stack(list(left)), np.stack(list(right))], axis=2), rate=30)
    for name, value in (("7_left", 0.25), ("7_right", -0.25)):
        write_annotation(
            tmp_path / "in", f"VA_Estimation_Challenge/Train_Set/{name}", "valence,arousal", [f"{value},0"] * 45
        )
    run = curate(
        make_recipe(*labelled_settings()),
        EMBEDDED,
        {"aff_wild2": tmp_path / "in"},
        tmp_path / "run",
        RunOptions(engine="inline"),
    )
    pack_shards(run, tmp_path / "shards", Selection())
    records = {
        record.video_id: record for _, record in LabelledShards([tmp_path / "shards"], StorageConfig()).records()
    }
    assert set(records) == {"7_left", "7_right"}
    for name, value in (("7_left", 0.25), ("7_right", -0.25)):
        labels = records[name].labels
        assert labels is not None
        assert labels.source_frames is not None
        assert labels.source_frames.numbers == tuple(range(1, 49))  # three of them behind the last label
        assert len(labels.source_frames.shown) == records[name].span.frames == 40
        assert labels.source_frames.times_s[-1] == pytest.approx(47 / 30, abs=1e-3)
        assert list(labels.frames["valence_arousal"].columns["valence"]) == [value] * 45
