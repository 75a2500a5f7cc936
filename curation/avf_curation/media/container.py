"""Opens inputs with PyAV (FFmpeg's libraries).

Inputs are untrusted. Only container formats that hold everything in one file are allowed, because a playlist could name
other files or addresses, and FFmpeg opens nothing itself: it reads through a file object of this package.
"""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.subtitles.stream  # noqa: F401  PyAV imports it at the first opening, where the limit on memory would stop it
import psutil
from avf_shards.system.memory_limit import can_reserve, limit_memory
from avf_shards.system.storage_faults import is_machine_fault, retry_read

from avf_curation.media.channel_order import use_native_order
from avf_curation.media.declared_samples import declared_memory_bytes
from avf_curation.media.input_file import InputContainer, InputFile
from avf_curation.media.types import MediaError

av.logging.set_level(None)  # FFmpeg would write a line to stderr for each damaged packet

MAX_DECODE_ERRORS = 10_000  # after so many packets of one stream nothing more of it is expected to decode
_MAX_PROBED_BYTES = 64 << 20  # FFmpeg keeps in memory what it has looked through
_OPENING_BYTES, _OPENING_BYTES_PER_BYTE = 500_000_000, 50  # an index takes 24 bytes for the 4 of a frame's size
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,wav,w64,flac,mp3,aac,rm,"
    "h264,hevc,m4v,dv,nut,mxf,ivf,yuv4mpegpipe,aiff,caf,au,amr,ac3,eac3,dts,obu,av1,vc1,rawvideo,gif"
)


class StreamsAppearedError(Exception):
    """Raised at the end of a file that has more streams than were known when it was opened."""


class _DeclaredMemoryError(MemoryError):
    """Raised where a file declares more than one of its size can have, on every machine."""


def open_container(path: Path, find_all_streams: bool = False, *, ignore_edits: bool = False) -> InputContainer:
    """Open a media file, or a folder of numbered images.

    Raises MediaError; OSError or MemoryError where the machine fails, which says nothing about the content.

    Args:
        find_all_streams: look for streams that begin late in the first 64 MB of the file, not only in the first 5.
        ignore_edits: times are those of the media, as if an MP4 file had no edit lists.
    """
    if retry_read(path.is_dir, path):
        return _open_image_folder(path)
    try:
        file = InputFile(path)
    except OSError as error:
        if is_machine_fault(error):
            raise
        raise MediaError("missing", f"the file cannot be opened ({error.strerror})") from None
    # No protocol: FFmpeg opens no file and no address itself.
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    if find_all_streams:
        options |= {"probesize": str(min(file.size, _MAX_PROBED_BYTES)), "analyzeduration": str(2**60)}
    if ignore_edits:
        options |= {"ignore_editlist": "1"}
    limit_bytes = _OPENING_BYTES + _OPENING_BYTES_PER_BYTE * file.size
    try:
        # Asked first, because FFmpeg may crash where its memory ends.
        if declared_memory_bytes(file) > limit_bytes:
            raise _DeclaredMemoryError
        # A few bytes can declare a hundred million frames, for which FFmpeg makes a table before it reads one.
        with limit_memory(limit_bytes):
            container = av.open(file, "r", options=options, metadata_errors="replace")
        file.check()
    except Exception as error:
        try:
            file.check()  # what FFmpeg makes of a failed read says nothing about the file
        finally:
            file.close()
        no_memory = isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
        if isinstance(error, _DeclaredMemoryError) or (no_memory and _has_memory(limit_bytes)):
            message = f"opening its {file.size} bytes asks for more than {limit_bytes / 1e6:.0f} MB of memory"
            raise MediaError("memory_limit", message) from None
        if isinstance(error, MemoryError) or not isinstance(error, av.error.FFmpegError | ValueError | OverflowError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise MediaError("not_media", f"cannot be opened as audio or video ({reason})") from None
    opened = InputContainer(container, file)
    for stream in container.streams.audio:
        order = use_native_order(stream)
        if order is not None:
            opened.channel_orders[stream.index] = order
    return opened


def _has_memory(size_bytes: int) -> bool:
    """Return whether the machine has so much memory left, and lets this process have it: what lacks is not the file's.

    Asked beyond `limit_memory`, which has ended by then.
    """
    return psutil.virtual_memory().available > size_bytes and can_reserve(size_bytes)


def is_cover_art(stream: Any) -> bool:
    """Return whether a stream of pictures is the cover of a recording, and no video."""
    return bool(int(stream.disposition) & _ATTACHED_PICTURE)


def read_packets(container: Any, streams: Any) -> Iterator[Any]:
    """Yield the packets of some streams and then a packet without data that flushes each decoder.

    Raises av.error.FFmpegError where data are damaged, OSError where a read fails, and StreamsAppearedError at the end
    of a file in which streams appeared that were not known when it was opened.
    """
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, EOFError):
            return
        except IndexError:  # PyAV looks for the new streams when it flushes, after the known ones
            raise StreamsAppearedError from None
        yield packet


def _open_image_folder(folder: Path) -> InputContainer:
    from avf_curation.media.image_sequence import image_sequence_video

    try:
        return InputContainer(image_sequence_video(folder))
    except (av.error.FFmpegError, ValueError, OSError) as error:
        if is_machine_fault(error) or isinstance(error, MemoryError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise MediaError("not_media", f"its images cannot be opened as a video ({reason})") from None
