"""The real clips, shot by shot, as the gates see them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import Bytes
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_shards.timeline import Span

from benchmarks.table import SHARED

FOLDERS = ("assets/video", "assets/video_more")
FILMS = ("psd_", "sintel_", "nasa_")  # begin the names of films that have dissolves and fades of their own
#: Cut from the same recording as syncnet_example.avi, with other sound.
COPIES = ("syncnet_example_offset5.avi", "syncnet_example_offset12.avi")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A stretch of a clip without a cut."""

    clip: str  # name of the file
    number: int  # of the clip in the order of names: even ones set the limits, odd ones tell them
    span: Span
    frames_THWC: Bytes  # BGR


def read_shots(side_px: int, every: int, *, min_frames: int = 60, max_frames: int = 200) -> Iterator[Shot]:
    """Yield the shots of the real clips, but for the films with dissolves; nothing where the clips are not here.

    Args:
        side_px: longer side of the frames.
        every: each every-th frame is read.
        min_frames: shorter shots are left out.
        max_frames: only so many frames of a shot are read.
    """
    paths = sorted(path for folder in FOLDERS for path in (SHARED / folder).glob("*.*") if path.suffix != ".md")
    paths = [path for path in paths if path.name not in COPIES and not path.name.startswith(FILMS)]
    settings, converter = load_recipe().defaults, FrameConverter()
    for number, path in enumerate(paths):
        with MediaFile(path, settings.media) as media:
            cuts_only = replace(settings.scenes, detectors=("adaptive",))
            _, shots = screen_shots(media, cuts_only, settings.faces, finder=None)
            for shot in shots:
                span = Span(shot.span.start_frame, min(shot.span.stop_frame, shot.span.start_frame + max_frames))
                if span.frames >= min_frames:
                    frames = [
                        converter.long_side(frame, side_px, "bgr24")[0] for frame in list(media.read(span))[::every]
                    ]
                    yield Shot(clip=path.name, number=number, span=span, frames_THWC=np.stack(frames))
