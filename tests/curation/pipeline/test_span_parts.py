"""A span in which one person gives way to another is cut there: what each of them has alone is kept."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.media.types import Bytes
from avf_curation.pipeline.outcomes import SpanOutcome
from avf_curation.pipeline.video import curate_video
from avf_curation.sources.types import Video
from avf_shards.timeline import Span, check_tiling
from support.curation_runs import make_recipe

FIRST, SECOND = Span(0, 75), Span(90, 165)  # the frames in which each person is alone
Join = Callable[[Bytes, Bytes, float], Bytes]
"""(last picture of the first person, first picture of the second one, share of the way) -> picture."""


def dissolve(first: Bytes, second: Bytes, share: float) -> Bytes:
    return np.round(first * (1 - share) + second * share).astype(np.uint8)


def fade_through_black(first: Bytes, second: Bytes, share: float) -> Bytes:
    return np.round(first * max(0.0, 1 - 2 * share) + second * max(0.0, 2 * share - 1)).astype(np.uint8)


def pan(first: Bytes, second: Bytes, share: float) -> Bytes:
    width = first.shape[1]
    start = round(share * width)
    return np.concatenate([first, second], axis=1)[:, start : start + width]


def come_near(picture: Bytes) -> Bytes:
    """Return the face of a picture at more than twice its size."""
    height, width = picture.shape[:2]
    face = picture[112:252, 82:257]  # the films of both people are 360 x 288, and the face is at one place in them
    return np.asarray(cv2.resize(face, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_film(path: Path, assets: Path, join: Join, *, near: int | None = None) -> None:
    """Write three seconds of each of two people, with 0.6 s in between in which one gives way to the other.

    Args:
        near: the number of the person whose face fills the picture.
    """
    people = []
    for number, name in enumerate(("grid_brbk7n.mpg", "grid_lwbsza.mpg")):
        with av.open(str(assets / "video" / name)) as film:
            pictures = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)][:75]
        people.append([come_near(picture) for picture in pictures] if number == near else pictures)
    between = [join(people[0][-1], people[1][0], (n + 1) / 16) for n in range(15)]
    noise = np.random.default_rng(0).normal(0, 0.1, (1, 16_000 * 165 // 25)).astype(np.float32)
    with av.open(str(path), "w", format="matroska") as out:
        video = out.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        video.height, video.width = people[0][0].shape[:2]
        audio = out.add_stream("aac", rate=16_000, layout="mono")
        for number, picture in enumerate([*people[0], *between, *people[1]]):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for start in range(0, noise.shape[1], 1024):
            block = av.AudioFrame.from_ndarray(np.ascontiguousarray(noise[:, start : start + 1024]), "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = 16_000, start, Fraction(1, 16_000)
            out.mux(audio.encode(block))
        out.mux(audio.encode(None))


def curate(path: Path, weights: Path, *settings: str) -> list[SpanOutcome]:
    """Return the outcomes of a video, which tile it."""
    # The voices are drawn, and Silero is not asked whether they are human.
    recipe, stat = make_recipe("silence.speech_backend=none", *settings), path.stat()
    video = Video(
        source="s",
        video_id=path.name,
        group_id=path.name,
        path=path.name,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )
    outcomes = curate_video(video, path.parent, recipe.defaults, Detectors(resolve_backends(recipe, weights))).outcomes
    check_tiling((outcome.candidate.span for outcome in outcomes), 165)
    return sorted(outcomes, key=lambda outcome: outcome.candidate.span)


@pytest.mark.real
@pytest.mark.parametrize("join", [dissolve, fade_through_black, pan])
@pytest.mark.parametrize("silence", ["decide", pytest.param("skip", marks=pytest.mark.slow)])
def test_what_each_person_has_alone_is_kept(
    tmp_path: Path, shared: Path, real_weights: Path, join: Join, silence: str
) -> None:
    write_film(tmp_path / "film.mkv", shared / "assets", join)
    outcomes = curate(tmp_path / "film.mkv", real_weights, f"gates.silence={silence}")
    first, second = (outcome.candidate.span for outcome in outcomes if outcome.clips)
    assert first.start_frame == 0
    assert 60 <= first.stop_frame <= FIRST.stop_frame + (2 if join is pan else 8 if join is fade_through_black else 0)
    earliest = SECOND.start_frame - (10 if join is fade_through_black else 0)  # the shot ends in the black
    assert earliest <= second.start_frame <= 105
    assert second.stop_frame == SECOND.stop_frame
    reasons = {outcome.candidate.failed_check.reason for outcome in outcomes if outcome.candidate.failed_check}
    # What a pan shows of a face on its way out or in is too short for a clip.
    assert reasons == ({"another_face", "too_short"} if join is pan else {"another_face"})


@pytest.mark.real
@pytest.mark.parametrize("near", [0, 1])
def test_a_dissolve_to_a_face_of_another_size_costs_itself_alone(
    tmp_path: Path, shared: Path, real_weights: Path, near: int
) -> None:
    write_film(tmp_path / "film.mkv", shared / "assets", dissolve, near=near)
    outcomes = curate(tmp_path / "film.mkv", real_weights, "gates.silence=skip", "track.max_padding=1")
    assert [bool(outcome.clips) for outcome in outcomes] == [True, False, True]
    change = outcomes[1].candidate
    assert change.failed_check is not None
    assert change.failed_check.reason == "dissolve"
    assert FIRST.stop_frame - 8 <= change.span.start_frame <= FIRST.stop_frame + 1
    assert SECOND.start_frame - 1 <= change.span.stop_frame <= SECOND.start_frame + 8


@pytest.mark.real
def test_a_part_that_is_too_short_for_a_clip_is_rejected_for_that(
    tmp_path: Path, shared: Path, real_weights: Path
) -> None:
    write_film(tmp_path / "film.mkv", shared / "assets", dissolve)
    outcomes = curate(tmp_path / "film.mkv", real_weights, "silence.min_clip_s=4")
    reasons = [outcome.candidate.failed_check.reason for outcome in outcomes if outcome.candidate.failed_check]
    assert reasons == ["too_short", "another_face", "too_short"]
    assert not any(outcome.clips for outcome in outcomes)
    too_short = [check for check in outcomes[0].candidate.checks if check.reason == "too_short"]
    assert too_short[-1].score == outcomes[0].candidate.span.seconds
