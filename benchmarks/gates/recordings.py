"""Recordings of people who talk and of people who do not, of other voices and of other sounds, read for made films.

Shapes: T frames, H height, W width, C = 3 channels (BGR).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import Bytes
from avf_curation.recipe import load_recipe
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from benchmarks.table import SHARED

ASSETS = SHARED / "assets"
SIDE_PX = 640  # longer side of the films
MAX_FRAMES = 200  # eight seconds of each recording

#: One face that talks, from a second to a second.
TALKERS: dict[str, tuple[float, float]] = {
    "video/grid_brbk7n.mpg": (0, 3),
    "video/grid_lbax4n.mpg": (0, 3),
    "video/grid_lrwp9a.mpg": (0, 3),
    "video/grid_lwbsza.mpg": (0, 3),
    "video/grid_s1_bbaf2n.mpg": (0, 3),
    "video/grid_swiz3n.mpg": (0, 3),
    "video/latentsync_demo1.mp4": (0, 8),
    "video/latentsync_demo2.mp4": (10.2, 18.2),
    "video/retalking_face_1.mp4": (0, 6),
    "video/retalking_face_2.mp4": (0, 5),
    "video/retalking_face_4.mp4": (0, 6.6),
    "video/syncnet_example.avi": (5.6, 12.6),
    "video_more/grid_pwij3p.mpg": (0, 3),
    "video_more/grid_sbia1a.mpg": (0, 3),
    "video_more/grid_sbwe5n.mpg": (0, 3),
    "video_more/retalking_face_3.mp4": (0, 5),
    "video_more/talkvid_10_talking.mp4": (0, 4.4),
}
#: One face that does not talk, whatever its own sound is.
SILENT_FACES: dict[str, tuple[float, float]] = {
    "video/liveportrait_d18_silent_audio.mp4": (0, 7.2),
    "video/liveportrait_s18_music_not_talking.mp4": (0, 8),
    "video/pyfeat_single_face_not_talking.mp4": (0, 2.4),
    "video_more/liveportrait_d14_music_not_talking.mp4": (0, 8),
    "video_more/liveportrait_d19_not_talking.mp4": (0, 8),
}
#: Voices of people whom no picture shows, from a second on in which they speak.
VOICES: dict[str, float] = {
    "audio/jfk.flac": 0.3,
    "audio/libri_198-209-0000.ogg": 0.3,
    "audio/libri_3436-172162-0000.ogg": 0.3,
    "audio/libri_5703-47212-0000.ogg": 0.3,
}
#: Sound in which nobody speaks.
OTHER_SOUNDS = (
    "video/liveportrait_s18_music_not_talking.mp4",
    "video/street_many_faces_facenet.mp4",
    "audio/trumpet_no_speech.ogg",
)
#: The recording's own offset in frames, where it is long enough to measure it: the sound has to move so much later.
OWN_OFFSETS = {
    "video/syncnet_example.avi": 3,
    "video/retalking_face_1.mp4": 2,
    "video/retalking_face_2.mp4": -1,
    "video/retalking_face_4.mp4": 1,
    "video/latentsync_demo1.mp4": 1,
}


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Pictures and sound of one person."""

    name: str  # of the file, without its ending
    number: int  # among its kind in the order of names: even ones are one half of the people, odd ones the other
    frames_THWC: Bytes  # at 25 frames a second, both sides even
    samples: np.ndarray  # int16 at 16 kHz, as long as the pictures

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures in pixels."""
        return self.frames_THWC.shape[2], self.frames_THWC.shape[1]


def read_recordings(spans: dict[str, tuple[float, float]]) -> Iterator[Recording]:
    """Yield the recordings of `spans`, path below the assets -> first and last second; those that are not here are left out."""
    for number, (name, (start_s, stop_s)) in enumerate(sorted(spans.items())):
        path = ASSETS / name
        if path.is_file():
            start = round(start_s * FRAMES_PER_SECOND)
            stop = min(round(stop_s * FRAMES_PER_SECOND), start + MAX_FRAMES)
            yield _read(path, number, Span(start, stop))


def _read(path: Path, number: int, span: Span) -> Recording:
    converter = FrameConverter()
    with MediaFile(path, load_recipe().defaults.media) as media:
        for _ in media.frames():  # the timeline is known when the pictures have been counted
            pass
        assert media.video_track is not None
        span = Span(span.start_frame, min(span.stop_frame, media.video_track.decoded_frames))
        images = [converter.long_side(frame, SIDE_PX, "bgr24")[0] for frame in media.read(span)]
        track = media.audio(media.video_track.frames)
        assert track is not None
        samples = track.cut(span)
    height, width = (side - side % 2 for side in images[0].shape[:2])
    frames_THWC = np.stack([image[:height, :width] for image in images])
    return Recording(name=path.stem, number=number, frames_THWC=frames_THWC, samples=samples)


def read_sounds(starts_s: dict[str, float]) -> dict[str, np.ndarray]:
    """Return the samples of sounds without pictures, int16 at 16 kHz, from the given second on."""
    return {
        Path(name).stem: read_sound(ASSETS / name)[round(start_s * FRAMES_PER_SECOND) * SAMPLES_PER_FRAME :]
        for name, start_s in starts_s.items()
        if (ASSETS / name).is_file()
    }


def read_other_sounds(names: Iterable[str] = OTHER_SOUNDS) -> dict[str, np.ndarray]:
    """Return the samples of sounds in which nobody speaks, int16 at 16 kHz."""
    return read_sounds(dict.fromkeys(names, 0.0))


def read_sound(path: Path) -> np.ndarray:
    """Return the samples of a file's sound, int16 at 16 kHz."""
    with MediaFile(path, load_recipe().defaults.media) as media:
        track = media.audio(None)
        assert track is not None
        return np.asarray(track.samples)
