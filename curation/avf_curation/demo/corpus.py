"""Six miniature sources with every case that the pipeline must distinguish, and the expected verdict of each span."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avf_curation.demo.video import ShotScript, VideoScript, encode_video, write_files

VALIDATION_SOURCE = "strangers"  # its speakers are in no other source: clips to validate a model on
SOURCES = ("archive", "channel", "dubbed", VALIDATION_SOURCE, "street", "studio")
RECIPE = """\
# Faces fill half the height of these pictures: a third of the size is enough to find them, in a seventh of the time.
faces: {side_px: 160}
track: {side_px: 160}
# The voices are drawn by a synthesiser, and Silero hears a person in a tenth of one and in all of another. So the share
# of speech is measured here, but rejects nothing.
silence: {min_speech_share: 0}
sources:
  channel:
    plan: {group_by: directory}   # clips of one folder share a group, so that they show their logo together
  street:                         # its faces are small: the detector gets the whole picture
    faces: {side_px: 640}
    track: {side_px: 640}
"""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The verdict that a range of frames must get."""

    start: int  # first frame
    stop: int  # frame after the last
    verdict: str  # "kept", "rejected stage/reason" or "failed stage/error"
    slack: int = 0  # frames by which an edge may lie elsewhere, as speech begins and ends within a frame


@dataclass(frozen=True, kw_only=True)
class DemoVideo:
    """One file of the corpus."""

    path: str  # below the corpus' folder
    script: VideoScript | None  # None: a text file with the name of a video
    expected: tuple[Expected, ...]  # in order of time
    kept_bytes: float = 1.0  # share of the file's bytes that is written, from the start
    av_offset_ms: int = 0  # offset between audio and video that the pipeline must measure


def demo_videos() -> tuple[DemoVideo, ...]:
    """Return the files of the corpus; the expected verdicts hold for the embedded backends (dlib, envelope)."""
    return (
        *_studio_videos(),
        *_street_videos(),
        *_dubbed_videos(),
        *_channel_videos(),
        *_archive_videos(),
        *_strangers_videos(),
    )


def _expect_kept(frames: int, start: int = 0) -> Expected:
    return Expected(start=start, stop=start + frames, verdict="kept", slack=3)


def _expect_rejected(reason: str, frames: int, start: int = 0, slack: int = 0) -> Expected:
    return Expected(start=start, stop=start + frames, verdict=f"rejected {reason}", slack=slack)


def _studio_videos() -> Iterator[DemoVideo]:
    for number in range(4):
        script = VideoScript(shots=(ShotScript(frames=200, speakers=(number,), seed=100 + number),))
        yield DemoVideo(path=f"studio/talk_{number}.mp4", script=script, expected=(_expect_kept(200),))
    for number in range(30, 46):
        script = VideoScript(shots=(ShotScript(frames=100, speakers=(number,), seed=170 + number),))
        yield DemoVideo(path=f"studio/talk_{number}.mp4", script=script, expected=(_expect_kept(100),))
    pause = VideoScript(shots=(ShotScript(frames=250, speakers=(10,), seed=110, pauses=((100, 150),), hum=False),))
    parts = (
        _expect_kept(104),
        _expect_rejected("silence/silent", 42, 104, 8),
        Expected(start=146, stop=250, verdict="kept", slack=8),
    )
    yield DemoVideo(path="studio/pause.mp4", script=pause, expected=parts)
    cuts = VideoScript(
        shots=(
            ShotScript(frames=125, speakers=(5,), seed=111),
            ShotScript(frames=25, speakers=(6,), seed=112),
            ShotScript(frames=150, speakers=(7,), seed=113),
        )
    )
    parts = (
        _expect_kept(125),
        _expect_rejected("scenes/too_short", 25, 125),
        Expected(start=150, stop=300, verdict="kept", slack=3),
    )
    yield DemoVideo(path="studio/cuts.mp4", script=cuts, expected=parts)


def _street_videos() -> Iterator[DemoVideo]:
    two_faces = VideoScript(shots=(ShotScript(frames=125, speakers=(8, 9), seed=120, face_px=140),))
    yield DemoVideo(
        path="street/two faces.mp4", script=two_faces, expected=(_expect_rejected("faces/several_faces", 125),)
    )
    no_face = VideoScript(shots=(ShotScript(frames=125, speakers=(), seed=121, pan=1.0),))
    yield DemoVideo(path="street/no face.mp4", script=no_face, expected=(_expect_rejected("faces/no_face", 125),))
    small = VideoScript(shots=(ShotScript(frames=125, speakers=(4,), seed=122, face_px=44),))
    yield DemoVideo(path="street/small & far.mp4", script=small, expected=(_expect_rejected("faces/too_small", 125),))
    mixed = VideoScript(
        shots=(ShotScript(frames=100, speakers=(), seed=123), ShotScript(frames=150, speakers=(11,), seed=124))
    )
    parts = (_expect_rejected("faces/no_face", 100), Expected(start=100, stop=250, verdict="kept", slack=3))
    yield DemoVideo(path="street/crowd <b>then</b> one.mp4", script=mixed, expected=parts)


def _dubbed_videos() -> Iterator[DemoVideo]:
    late = VideoScript(shots=(ShotScript(frames=250, speakers=(12,), seed=130, sound_shift=12),))
    parts = (_expect_rejected("silence/silent", 10, 0, 14), _expect_rejected("sync/offset", 240, 10, 14))
    yield DemoVideo(path="dubbed/late_by_480_ms.mp4", script=late, expected=parts)
    slightly_late = VideoScript(shots=(ShotScript(frames=250, speakers=(13,), seed=131, sound_shift=3),))
    yield DemoVideo(
        path="dubbed/late_by_120_ms.mp4",
        script=slightly_late,
        expected=(Expected(start=0, stop=250, verdict="kept", slack=6),),
        av_offset_ms=-120,
    )
    yield DemoVideo(
        path="dubbed/on_time.mp4",
        script=VideoScript(shots=(ShotScript(frames=250, speakers=(14,), seed=132),)),
        expected=(_expect_kept(250),),
    )


def _channel_videos() -> Iterator[DemoVideo]:
    for number in range(5):
        script = VideoScript(shots=(ShotScript(frames=100, speakers=(15 + number,), seed=140 + number, logo="sign"),))
        parts = (_expect_rejected("quality/watermark_pooled", 100, 0, 3),)
        yield DemoVideo(path=f"channel/news/{number}.mp4", script=script, expected=parts)
    moving = VideoScript(shots=(ShotScript(frames=125, speakers=(20,), seed=150, pan=2.0, logo="name"),))
    yield DemoVideo(
        path="channel/trailer/moving.mp4", script=moving, expected=(_expect_rejected("quality/watermark", 125, 0, 3),)
    )
    clean = VideoScript(shots=(ShotScript(frames=125, speakers=(21,), seed=151, pan=2.0),))
    yield DemoVideo(path="channel/clean/moving.mp4", script=clean, expected=(_expect_kept(125),))


def _archive_videos() -> Iterator[DemoVideo]:
    blurred = VideoScript(shots=(ShotScript(frames=125, speakers=(22,), seed=160, blur=6.0),))
    yield DemoVideo(
        path="archive/blurred.mp4", script=blurred, expected=(_expect_rejected("quality/blurred", 125, 0, 3),)
    )
    frozen = VideoScript(shots=(ShotScript(frames=200, speakers=(23,), seed=161, frozen=(120, 170)),))
    yield DemoVideo(path="archive/frozen.mp4", script=frozen, expected=(_expect_rejected("quality/frozen", 200, 0, 3),))
    mute = VideoScript(shots=(ShotScript(frames=100, speakers=(24,), seed=162),), sound=False)
    yield DemoVideo(path="archive/no_sound.mp4", script=mute, expected=(_expect_rejected("scenes/no_sound", 100),))
    silent = VideoScript(shots=(ShotScript(frames=100, speakers=(25,), seed=163, pauses=((0, 100),), hum=False),))
    yield DemoVideo(path="archive/silent.mp4", script=silent, expected=(_expect_rejected("silence/silent", 100),))
    halved = VideoScript(
        shots=(ShotScript(frames=150, speakers=(26,), seed=164), ShotScript(frames=150, speakers=(27,), seed=165))
    )
    parts = (
        _expect_kept(150),
        Expected(start=150, stop=225, verdict="kept", slack=76),
        Expected(start=225, stop=300, verdict="failed scenes/cut_off", slack=76),
    )
    yield DemoVideo(path="archive/truncated.mp4", script=halved, expected=parts, kept_bytes=0.75)
    headless = VideoScript(shots=(ShotScript(frames=50, speakers=(28,), seed=166),), moov_first=False)
    yield DemoVideo(
        path="archive/truncated_headless.mp4",
        script=headless,
        expected=(Expected(start=0, stop=0, verdict="failed open/not_media"),),
        kept_bytes=0.5,
    )
    yield DemoVideo(
        path="archive/notes.mp4", script=None, expected=(Expected(start=0, stop=0, verdict="failed open/not_media"),)
    )


def _strangers_videos() -> Iterator[DemoVideo]:
    for number in range(100, 128):
        script = VideoScript(shots=(ShotScript(frames=75, speakers=(number,), seed=200 + number),))
        yield DemoVideo(path=f"{VALIDATION_SOURCE}/talk_{number}.mp4", script=script, expected=(_expect_kept(75),))


def write_corpus(folder: Path, processes: int = 1) -> None:
    """Write the corpus as `folder`, atomically; an existing folder is not touched.

    Args:
        processes: number of processes that draw and encode; the files are the same for any number.
    """
    if folder.is_dir():
        return
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    write_files(temporary, {video.path: partial(encode_demo_video, video) for video in demo_videos()}, processes)
    os.replace(temporary, folder)


def encode_demo_video(video: DemoVideo) -> bytes:
    """Return the bytes of a file of the corpus."""
    if video.script is None:
        return b"These are notes about a tape, not a tape.\n"
    data = encode_video(video.script)
    return data[: int(len(data) * video.kept_bytes)]
