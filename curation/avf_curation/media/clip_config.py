"""How a kept span is stored: config of the clip's encoding (backends/encode.py does it)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """size_px: side of the stored square. codec: h264, or packed JPEG frames. preset, crf, fastdecode: x264's."""

    size_px: int
    codec: Literal["h264", "jpeg"]
    preset: str
    crf: int
    fastdecode: bool
    jpeg_quality: int

    def __post_init__(self) -> None:
        if self.size_px % 16 or not 64 <= self.size_px <= 1024:
            raise ValueError(f"size_px {self.size_px} is not a multiple of 16 between 64 and 1024")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf {self.crf} is not between 0 and 51")
