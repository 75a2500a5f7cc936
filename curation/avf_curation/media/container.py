"""Opening an input with PyAV (LibAV).

Inputs are hostile: only container formats that hold one plain file are allowed (no playlists, no references to other
files or addresses), and only the `file` protocol.
"""

from pathlib import Path
from typing import Any

import av

from avf_curation.media.types import MediaError

av.logging.set_level(None)

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,wav,w64,flac,mp3,aac,rm,"
    "h264,hevc,m4v,dv,nut,mxf,ivf,yuv4mpegpipe,aiff,caf,au,amr,ac3,eac3,dts,obu,av1,vc1,rawvideo,gif"
)


def open_container(path: Path) -> Any:
    """The opened input: a file, or a folder of numbered pictures. Raises MediaError."""
    if path.is_dir():
        return _film_of(path)
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        return av.open(str(path), "r", options=options, metadata_errors="replace")
    except FileNotFoundError:
        raise MediaError("missing", "the file is not there") from None
    except PermissionError:
        raise MediaError("unreadable", "no permission to read the file") from None
    except av.error.FFmpegError as error:
        raise MediaError("not_media", f"cannot be opened as audio or video ({error.strerror})") from None
    except (ValueError, OverflowError) as error:
        raise MediaError("not_media", f"cannot be opened as audio or video ({type(error).__name__})") from None


def _film_of(folder: Path) -> Any:
    from avf_curation.media.image_sequence import image_sequence_video

    try:
        return image_sequence_video(folder)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError("not_media", f"its pictures cannot be opened as a film ({type(error).__name__})") from None
