"""Six miniature sources with every case the pipeline must tell apart, and the truth about each span."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from avf_curation.demo.video import ShotScript, VideoScript, encode_video

HELD_OUT = "strangers"  # people of no other source, for scoring a model
SOURCES = ("archive", "channel", "dubbed", HELD_OUT, "street", "studio")
RECIPE = """\
# The demo: clips of one folder of `channel` share a parent, so that they show their logo together.
sources:
  channel:
    plan: {parent: directory}
"""


@dataclass(frozen=True)
class Expected:
    """What must become of frames [start, stop): "kept", "rejected stage/reason" or "failed stage/error".

    Edges of speech are where sound was made; the pipeline may place them `slack` frames away.
    """

    start: int
    stop: int
    verdict: str
    slack: int = 0


@dataclass(frozen=True)
class DemoVideo:
    """One file of the corpus. film: None for what is no video. cut_at: keep this share of the bytes."""

    path: str
    film: VideoScript | None
    expected: tuple[Expected, ...]
    cut_at: float = 1.0
    av_offset_ms: int = 0


def demo_videos() -> tuple[DemoVideo, ...]:
    """The corpus and its truth, for the embedded backends (dlib, envelope)."""
    return (*_studio(), *_street(), *_dubbed(), *_channel(), *_archive(), *_strangers())


def _kept(frames: int, start: int = 0) -> Expected:
    return Expected(start, start + frames, "kept", 3)


def _rejected(reason: str, frames: int, start: int = 0, slack: int = 0) -> Expected:
    return Expected(start, start + frames, f"rejected {reason}", slack)


def _studio() -> Iterator[DemoVideo]:
    for number in range(4):
        film = VideoScript((ShotScript(200, (number,), seed=100 + number),))
        yield DemoVideo(f"studio/talk_{number}.mp4", film, (_kept(200),))
    for number in range(30, 46):
        film = VideoScript((ShotScript(100, (number,), seed=170 + number),))
        yield DemoVideo(f"studio/talk_{number}.mp4", film, (_kept(100),))
    pause = VideoScript((ShotScript(250, (10,), seed=110, pauses=((100, 150),), hum=False),))
    parts = (_kept(104), _rejected("silence/silent", 42, 104, 8), Expected(146, 250, "kept", 8))
    yield DemoVideo("studio/pause.mp4", pause, parts)
    cuts = VideoScript(
        (ShotScript(125, (5,), seed=111), ShotScript(25, (6,), seed=112), ShotScript(150, (7,), seed=113))
    )
    parts = (_kept(125), _rejected("scenes/too_short", 25, 125), Expected(150, 300, "kept", 3))
    yield DemoVideo("studio/cuts.mp4", cuts, parts)


def _street() -> Iterator[DemoVideo]:
    two = VideoScript((ShotScript(125, (8, 9), seed=120, face_px=140),))
    yield DemoVideo("street/two faces.mp4", two, (_rejected("faces/several_faces", 125),))
    none = VideoScript((ShotScript(125, (), seed=121, pan=1.0),))
    yield DemoVideo("street/no face.mp4", none, (_rejected("faces/no_face", 125),))
    small = VideoScript((ShotScript(125, (4,), seed=122, face_px=44),))
    yield DemoVideo("street/small & far.mp4", small, (_rejected("faces/too_small", 125),))
    mixed = VideoScript((ShotScript(100, (), seed=123), ShotScript(150, (11,), seed=124)))
    parts = (_rejected("faces/no_face", 100), Expected(100, 250, "kept", 3))
    yield DemoVideo("street/crowd <b>then</b> one.mp4", mixed, parts)


def _dubbed() -> Iterator[DemoVideo]:
    late = VideoScript((ShotScript(250, (12,), seed=130, sound_shift=12),))
    parts = (_rejected("silence/silent", 10, 0, 14), _rejected("sync/offset", 240, 10, 14))
    yield DemoVideo("dubbed/late_by_480_ms.mp4", late, parts)
    slip = VideoScript((ShotScript(250, (13,), seed=131, sound_shift=3),))
    yield DemoVideo("dubbed/late_by_120_ms.mp4", slip, (Expected(0, 250, "kept", 6),), av_offset_ms=-120)
    yield DemoVideo("dubbed/on_time.mp4", VideoScript((ShotScript(250, (14,), seed=132),)), (_kept(250),))


def _channel() -> Iterator[DemoVideo]:
    for number in range(5):
        film = VideoScript((ShotScript(100, (15 + number,), seed=140 + number, logo=True),))
        parts = (_rejected("quality/watermark_pooled", 100, 0, 3),)
        yield DemoVideo(f"channel/news/{number}.mp4", film, parts)
    moving = VideoScript((ShotScript(125, (20,), seed=150, pan=2.0, logo=True),))
    yield DemoVideo("channel/trailer/moving.mp4", moving, (_rejected("quality/watermark", 125, 0, 3),))
    clean = VideoScript((ShotScript(125, (21,), seed=151, pan=2.0),))
    yield DemoVideo("channel/clean/moving.mp4", clean, (_kept(125),))


def _archive() -> Iterator[DemoVideo]:
    blurred = VideoScript((ShotScript(125, (22,), seed=160, blur=4.0),))
    yield DemoVideo("archive/blurred.mp4", blurred, (_rejected("quality/blurred", 125, 0, 3),))
    frozen = VideoScript((ShotScript(200, (23,), seed=161, frozen=(120, 170)),))
    yield DemoVideo("archive/frozen.mp4", frozen, (_rejected("quality/frozen", 200, 0, 3),))
    mute = VideoScript((ShotScript(100, (24,), seed=162),), sound=False)
    yield DemoVideo("archive/no_sound.mp4", mute, (_rejected("scenes/no_sound", 100),))
    hush = VideoScript((ShotScript(100, (25,), seed=163, pauses=((0, 100),), hum=False),))
    yield DemoVideo("archive/silent.mp4", hush, (_rejected("silence/silent", 100),))
    halved = VideoScript((ShotScript(150, (26,), seed=164), ShotScript(150, (27,), seed=165)))
    parts = (_kept(150), _rejected("scenes/cut_off", 75, 150, 76), Expected(225, 300, "failed scenes/cut_off", 76))
    yield DemoVideo("archive/truncated.mp4", halved, parts, cut_at=0.75)
    headless = VideoScript((ShotScript(50, (28,), seed=166),), moov_first=False)
    yield DemoVideo("archive/truncated_headless.mp4", headless, (Expected(0, 0, "failed open/not_media"),), cut_at=0.5)
    yield DemoVideo("archive/notes.mp4", None, (Expected(0, 0, "failed open/not_media"),))


def _strangers() -> Iterator[DemoVideo]:
    for number in range(100, 128):
        film = VideoScript((ShotScript(75, (number,), seed=200 + number),))
        yield DemoVideo(f"{HELD_OUT}/talk_{number}.mp4", film, (_kept(75),))


def write_corpus(folder: Path) -> None:
    """Make the corpus in `folder`, whole or not at all; one that is there stays."""
    if folder.is_dir():
        return
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    for video in demo_videos():
        path = temporary / video.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_demo_video(video))
    os.replace(temporary, folder)


def encode_demo_video(video: DemoVideo) -> bytes:
    """The file's content."""
    if video.film is None:
        return b"These are notes about a tape, not a tape.\n"
    data = encode_video(video.film)
    return data[: int(len(data) * video.cut_at)]
