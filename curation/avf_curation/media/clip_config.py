"""Settings of the clip that is stored for a kept span; media/encode.py encodes it."""

from dataclasses import dataclass
from typing import Literal

from avf_shards.settings.config import refuse


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Settings of the clip encoder. Measured quality and speed per setting: docs/benchmarks.md."""

    size_px: int  # side of the stored square
    codec: Literal["h264", "jpeg"]  # jpeg: packed JPEG frames, about five times the bytes
    preset: str  # x264's
    crf: int  # x264's constant rate factor: 0 is lossless, 51 the worst
    fastdecode: bool  # x264's tuning without deblocking and CABAC, which halves the decoding time of a reader
    jpeg_quality: int  # OpenCV's, 0 to 100

    def __post_init__(self) -> None:
        # H.264 codes macroblocks of 16 x 16 pixels: another size would be padded.
        codable = self.size_px % 16 == 0 and 64 <= self.size_px <= 1024
        refuse(
            (not codable, f"size_px {self.size_px} is not a multiple of 16 between 64 and 1024"),
            (not 0 <= self.crf <= 51, f"crf {self.crf} is not between 0 and 51"),
        )
