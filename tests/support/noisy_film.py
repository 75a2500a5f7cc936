"""Films of noise, whose damage shows, and where pictures and transport packets lie in them."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import VideoTrack

from support.curation_runs import make_recipe

CONFIG = make_recipe().defaults.media


def spoil(data: bytes, first_packet: int, packets: int = 1) -> bytes:
    """Overwrite the payload of some transport packets that hold video and begin no picture."""
    spoilt = bytearray(data)
    video = [
        offset
        for offset in range(0, len(data), 188)
        if (data[offset + 1] & 31) << 8 | data[offset + 2] == 256 and not data[offset + 1] & 64
    ]
    for offset in video[first_packet : first_packet + packets]:
        spoilt[offset + 20 : offset + 188] = bytes(168)
    return bytes(spoilt)


def frames_by_time(path: Path, data: bytes) -> tuple[dict[int, np.ndarray], VideoTrack]:
    """Write a film to `path`; return its grey pictures by their frame, and what its decoding says of it."""
    path.write_bytes(data)
    with MediaFile(path, CONFIG) as media:
        pictures = {entry.index: entry.frame.to_ndarray(format="gray").astype(int) for entry in media.frames()}
        assert media.video_track is not None
        return pictures, media.video_track


def noisy_film(container: str, codec: str, options: dict[str, str], pixels: str = "yuv420p") -> bytes:
    """Return 80 frames of noise that moves and flickers: enough bytes that a picture has several transport packets."""
    sink, draw = io.BytesIO(), np.random.default_rng(0)
    texture = draw.integers(0, 255, (128, 400), np.uint8)
    with av.open(sink, "w", format=container) as out:
        video = out.add_stream(codec, rate=25, options=options)
        video.width, video.height, video.pix_fmt = 192, 128, pixels
        for n in range(80):
            image = texture[:, 2 * n : 2 * n + 192] // 2 + draw.integers(0, 64, (128, 192), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = n, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return sink.getvalue()


X264 = {"g": "40", "sc_threshold": "0", "bf": "0", "preset": "veryfast", "qp": "24"}


def ruined_pictures(pictures: dict[int, np.ndarray], clean: dict[int, np.ndarray]) -> list[int]:
    """Return the frames whose pictures differ visibly from those of the clean film."""
    return [n for n in pictures if n in clean and ((pictures[n] - clean[n]) ** 2).mean() > 30]


def damaged_indices(track: VideoTrack) -> set[int]:
    """Return the frames that count as damaged."""
    return {index for span in track.damaged for index in range(span.start_frame, span.stop_frame)}


def video_packets(data: bytes) -> tuple[list[int], list[int]]:
    """Return the offsets of the transport packets of video, and the positions in them at which pictures begin."""
    offsets = [n for n in range(0, len(data), 188) if (data[n + 1] & 31) << 8 | data[n + 2] == 256]
    return offsets, [position for position, offset in enumerate(offsets) if data[offset + 1] & 64]


def without(data: bytes, lost: list[int]) -> bytes:
    """Return a transport stream without the packets at these offsets."""
    return b"".join(data[n : n + 188] for n in range(0, len(data), 188) if n not in lost)


X265 = {"x265-params": "keyint=20:min-keyint=20:scenecut=0:bframes=2:qp=24:log-level=none", "preset": "veryfast"}
