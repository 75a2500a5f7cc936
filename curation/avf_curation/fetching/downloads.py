"""One download with yt-dlp into a temporary folder, and the check that pictures came.

yt-dlp is imported where the first download begins. It reads no configuration of the user, no cookies and no cache.
"""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from avf_shards.errors import UserError

from avf_curation.fetching.id_lists import FetchItem
from avf_curation.fetching.outcomes import FetchOutcome, classify_message
from avf_curation.media.container import open_container, read_packets
from avf_curation.media.types import MediaError

log = logging.getLogger(__name__)

_BEST = "bestvideo[ext=mp4]+bestaudio[ext=m4a]/best[ext=mp4]/bestvideo+bestaudio/best"
_SINGLE_FILE = "best[ext=mp4]"  # sound and pictures in a file: to join two needs ffmpeg
# yt-dlp cuts at the frame by encoding anew; x264's own default loses detail that the gates on quality measure.
_ENCODER = ["-c:v", "libx264", "-crf", "16", "-preset", "veryfast", "-c:a", "aac", "-b:a", "192k"]
_TIMEOUT_S = 30
_RETRIES = 3


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """How to ask for a video."""

    url_template: str  # address with {id} in it
    rate_mb_s: float  # most megabytes per second of a complete video; 0: no limit
    request_pause_s: float  # between the requests that one video takes


class _Quiet:
    """Takes the messages of yt-dlp: the error of a download is raised besides."""

    def debug(self, text: str) -> None:
        log.debug("%s", text)

    def warning(self, text: str) -> None:
        log.debug("%s", text)

    def error(self, text: str) -> None:
        log.debug("%s", text)


class Downloader:
    """Downloads videos and ranges of videos."""

    def __init__(self, settings: DownloadSettings, *, ranges: bool) -> None:
        """Import yt-dlp and look for ffmpeg.

        Raises:
            ModuleNotFoundError: yt-dlp is not installed.
            UserError: ranges are asked for, and there is no ffmpeg.
        """
        import yt_dlp  # noqa: F401  # the extra may lack; better said before the first file

        self._settings = settings
        self._has_ffmpeg = all(shutil.which(program) for program in ("ffmpeg", "ffprobe"))
        if ranges and not self._has_ffmpeg:
            raise UserError(
                "a range of a video is cut by ffmpeg and ffprobe, which are not on the PATH; install them "
                "(apt-get install ffmpeg), or download complete videos with --complete"
            )
        if not self._has_ffmpeg:
            log.warning("no ffmpeg is on the PATH: only files that hold pictures and sound together, often small ones")

    def download(self, item: FetchItem, folder: Path) -> tuple[FetchOutcome, Path | None]:
        """Download a file into the empty folder `folder`; return what came of it, and the file.

        Raises OSError where the machine fails.
        """
        from yt_dlp import YoutubeDL
        from yt_dlp.utils import DownloadError, YoutubeDLError

        url = self._settings.url_template.replace("{id}", item.video_id)
        try:
            with YoutubeDL(self._options(item, folder)) as client:
                client.extract_info(url, download=True)
        except DownloadError as error:
            cause = error.exc_info[1] if error.exc_info else None
            if isinstance(cause, OSError) and cause.filename is not None:
                raise cause from None  # a full disk, not the site
            return classify_message(str(error)), None
        except YoutubeDLError as error:
            return classify_message(str(error)), None
        files = [path for path in folder.iterdir() if path.suffix == ".mp4"]
        if len(files) != 1:
            return FetchOutcome(kind="unusable", reason="the site sent no video as mp4"), None
        if not _has_pictures(files[0]):
            reason = "no picture came: the range may lie behind the end of the video"
            return FetchOutcome(kind="unusable", reason=reason), None
        return FetchOutcome(kind="fetched"), files[0]

    def _options(self, item: FetchItem, folder: Path) -> dict[str, Any]:
        options: dict[str, Any] = {
            "format": _BEST if self._has_ffmpeg else _SINGLE_FILE,
            "merge_output_format": "mp4",
            "outtmpl": {"default": "video.%(ext)s"},
            "paths": {"home": str(folder)},
            "noplaylist": True,
            "playlist_items": "1",
            "cachedir": False,
            "quiet": True,
            "no_warnings": True,
            "noprogress": True,
            "logger": _Quiet(),
            "retries": _RETRIES,
            "fragment_retries": _RETRIES,
            "extractor_retries": _RETRIES,
            "socket_timeout": _TIMEOUT_S,
            "sleep_interval_requests": self._settings.request_pause_s,
            "updatetime": False,
            "postprocessors": [{"key": "FFmpegVideoRemuxer", "preferedformat": "mp4"}] if self._has_ffmpeg else [],
        }
        if self._settings.rate_mb_s:
            options["ratelimit"] = self._settings.rate_mb_s * 1e6
        if item.start_s is not None:
            options |= {
                "download_ranges": _range_of(item),
                "force_keyframes_at_cuts": True,
                "external_downloader_args": {"ffmpeg_o": _ENCODER},
            }
        return options


def _range_of(item: FetchItem) -> Callable[[Any, Any], list[dict[str, float | None]]]:
    return lambda info, client: [{"start_time": item.start_s, "end_time": item.stop_s}]


def _has_pictures(path: Path) -> bool:
    """Return whether the file holds a packet of video."""
    try:
        with open_container(path) as container:
            streams = [stream for stream in container.streams if stream.type == "video"]
            return any(packet.size for packet in read_packets(container, streams[:1])) if streams else False
    except (MediaError, av.error.FFmpegError):
        return False
