"""Decodes the packets of a video stream, and says of each frame which packet it was in and when it is presented."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.container import MAX_DECODE_ERRORS
from avf_curation.media.file_clock import PacketClock
from avf_curation.media.packet_order import MAX_REORDERED, PacketOrder, are_decode_times
from avf_curation.media.picture_format import FrameTraits, credible_pixel_aspect

log = logging.getLogger(__name__)

# In these containers streams may have times of decoding only: AVI always, Matroska in its mode for VfW codecs. FFmpeg
# works out times of presentation for MPEG-4, but not where one packet holds two frames (packed B-frames).
_WITHOUT_PRESENTATION_TIMES = {"avi", "matroska,webm"}
_REORDERING_CODECS = {"h264", "hevc", "mpeg4"}
_UNTIMED = -(2**40)  # made-up timestamps of packets that have none lie below this
# B-frames of these codecs are never referred to.
_B_IS_NO_REFERENCE = {"mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"}
_B_FRAME = 3  # AV_PICTURE_TYPE_B
_HEADER_BYTES = 96  # of a packet, in which its first slice begins unless a long message comes before


class _TooManyFailuresError(Exception):
    """Raised where nothing more of a stream is expected to decode."""


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """A frame with what its packet says."""

    frame: Any  # PyAV's VideoFrame
    pts: int  # timestamp of its packet, which identifies the frame in the file
    time: int | None  # when it is presented, in the same ticks; None: where no packet says so
    number: int  # of its packet, in decoding order
    is_key: bool  # no later frame refers to one before it
    is_damaged: bool  # data are missing
    is_reference: bool  # later frames may refer to it


def nominal_step(video: Any) -> int:
    """Return the ticks from one frame of a stream to the next at its declared rate."""
    rate = float(video.average_rate or FRAMES_PER_SECOND)
    return round(video.time_base.denominator / video.time_base.numerator / rate) or 1


def is_unreferenced(header: memoryview, codec: str) -> bool:
    """Return whether the first slice at the start of a packet of H.264 or HEVC says that no frame refers to it.

    Packets hold either start codes (00 00 01) or lengths of four bytes before each unit.
    """
    if codec not in ("h264", "hevc"):
        return False
    data = bytes(header)
    position = data.find(b"\0\0\1") + 3 if data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1" else 4
    has_start_codes = position == 3 or data[:4] == b"\0\0\0\1"
    while position < len(data):
        unit = data[position]
        if codec == "h264" and unit & 31 in (1, 5):  # a slice; the two bits before its type are 0 without reference
            return not unit & 96
        if codec == "hevc" and (unit >> 1) & 63 < 32:  # even types below 16 are sub-layer non-reference pictures
            return (unit >> 1) & 63 < 16 and not unit & 2
        if has_start_codes:
            following = data.find(b"\0\0\1", position)
            position = following + 3 if following >= 0 else len(data)
        else:
            position += int.from_bytes(data[position - 4 : position]) + 4
    return False


class VideoDecoder:
    """Decodes the rest of an opened video stream.

    Args:
        clock: continues the timestamps of the packets.
        note_failure: called for each packet that does not decode, with its number and whether other frames may refer
            to its frame.
    """

    def __init__(
        self,
        container: Any,
        video: Any,
        clock: PacketClock,
        note_failure: Callable[[int, bool], None] = lambda number, is_reference: None,
    ) -> None:
        self._container, self._video, self._clock, self._note_failure = container, video, clock, note_failure
        self._disposable: deque[int] = deque(maxlen=2 * MAX_REORDERED)  # numbers of packets that no frame refers to
        self.has_untimed = False  # a packet without any timestamp came
        self.repeated_until: int | None = None  # where the latest packet without data ends, in ticks
        #: Number of the first packet of each recording after the first, and how many recordings begin before it.
        self.recordings: list[tuple[int, int]] = []
        self._codec: str = video.codec_context.name
        self._first_pixel_aspect = video.codec_context.sample_aspect_ratio
        self._failures = 0
        self._number = -1  # of the latest packet that was given to the decoder
        self._waiting = 0  # packets that were read and not yet given to the decoder

    def frames(self, find_decode_times: bool = False) -> Iterator[DecodedFrame]:
        """Yield the frames in the order in which they are presented.

        Args:
            find_decode_times: look at the first packets for whether `time` has to be made from times of decoding.
        """
        packets = self._read_packets()
        decode_timed = False
        if find_decode_times and self._may_lack_presentation_times():
            first: list[Any] = []
            for packet in packets:
                first.append(packet)
                self._waiting = len(first)
                if len(first) == MAX_REORDERED:
                    break
            self._waiting = 0
            decode_timed = are_decode_times([p.pts for p in first if p.pts is not None])
            packets = chain(first, packets)
        order = PacketOrder(decode_timed)
        try:
            for packet in packets:
                yield from self._decode(packet, order)
        except _TooManyFailuresError:
            log.warning("%r: more than %d packets fail to decode", self._container.name, MAX_DECODE_ERRORS)

    def _may_lack_presentation_times(self) -> bool:
        return self._container.format.name in _WITHOUT_PRESENTATION_TIMES and self._codec in _REORDERING_CODECS

    def _read_packets(self) -> Iterator[Any]:
        """Yield the packets of the video with their clock continued."""
        packets = self._container.demux(self._video)
        latest: int | None = None
        while True:
            try:
                packet = next(packets)
            except (StopIteration, EOFError):
                return
            except av.error.FFmpegError as error:
                log.debug("reading ends: %s", error)
                self._note_failure(self._number + 1, True)
                return
            recording = self._clock.adjust(packet)
            if latest is not None and recording > latest:
                self.recordings.append((self._number + 1 + self._waiting, recording))
            latest = recording if packet.size else latest
            yield packet

    def _decode(self, packet: Any, order: PacketOrder) -> Iterator[DecodedFrame]:
        is_flush = packet.pts is None and packet.dts is None and not packet.size
        if not packet.size and not is_flush:
            # "Show the picture before once more": Theora, and dropped frames in AVI.
            if packet.pts is not None:
                self.repeated_until = packet.pts + (packet.duration or nominal_step(self._video))
            return
        if not is_flush:
            self._number += 1
            if packet.pts is None:
                self._name_untimed(packet)
            order.send(packet.pts, self._number)
            if packet.is_disposable or is_unreferenced(memoryview(packet)[:_HEADER_BYTES], self._codec):
                self._disposable.append(self._number)
            if packet.is_corrupt:
                self._note_failure(self._number, self._number not in self._disposable)
        try:
            decoded = packet.decode()
        except EOFError:
            return
        except av.error.FFmpegError:
            order.drop(packet.pts)
            self._note_failure(self._number, self._number not in self._disposable)
            self._failures += 1
            if self._failures > MAX_DECODE_ERRORS:
                raise _TooManyFailuresError from None
            return
        for frame in decoded:
            yield self._describe(frame, order)

    def _name_untimed(self, packet: Any) -> None:
        """Give a packet without a time of presentation a timestamp that no other packet has."""
        self.has_untimed = True
        packet.pts = _UNTIMED + self._number * nominal_step(self._video)

    def _describe(self, frame: Any, order: PacketOrder) -> DecodedFrame:
        time, number = order.receive(frame.pts, bool(self._video.codec_context.has_b_frames))
        frame.opaque = FrameTraits(pixel_aspect=self._pixel_aspect())
        is_b = int(frame.pict_type) == _B_FRAME
        return DecodedFrame(
            frame=frame,
            pts=frame.pts,
            time=None if time < _UNTIMED // 2 else time,
            number=number,
            is_key=bool(frame.key_frame),
            is_damaged=bool(frame.is_corrupt),
            is_reference=number not in self._disposable and not (is_b and self._codec in _B_IS_NO_REFERENCE),
        )

    def _pixel_aspect(self) -> float:
        """Return the width over height of the stored pixels of the frame that was decoded last.

        The container's word holds, as for players, until the stream changes its own in mid-stream.
        """
        latest = self._video.codec_context.sample_aspect_ratio
        if latest and self._first_pixel_aspect and latest != self._first_pixel_aspect:
            return credible_pixel_aspect(latest)
        return credible_pixel_aspect(self._video.sample_aspect_ratio, latest)
