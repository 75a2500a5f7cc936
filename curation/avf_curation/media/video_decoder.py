"""Decodes the packets of a video stream, and says of each frame which packet it was in and when it is presented."""

import logging
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import av
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.media.container import MAX_DECODE_ERRORS, StreamsAppearedError, read_packets
from avf_curation.media.decoder_memory import DecoderMemory
from avf_curation.media.file_clock import PacketClock
from avf_curation.media.packet_damage import PacketDamage
from avf_curation.media.packet_syntax import HEADER_BYTES, is_unreferenced
from avf_curation.media.picture_format import FrameTraits, credible_pixel_aspect
from avf_curation.media.presentation_times import MAX_REORDERED, PresentationTimes, are_decode_times
from avf_curation.media.types import MediaError

log = logging.getLogger(__name__)

# In these containers streams may have times of decoding only: AVI always, Matroska in its mode for VfW codecs. FFmpeg
# works out times of presentation for MPEG-4, but not where one packet holds two frames (packed B-frames).
_WITHOUT_PRESENTATION_TIMES = {"avi", "matroska,webm"}
_REORDERING_CODECS = {"h264", "hevc", "mpeg4"}
_UNTIMED = -(2**40)  # made-up timestamps of packets that have none lie below this
# B-frames of these codecs are never referred to.
_B_IS_NO_REFERENCE = {"mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"}
_TS_DISCONT = 0x200  # AVFMT_TS_DISCONT: MPEG program and transport streams
_B_FRAME = 3  # AV_PICTURE_TYPE_B
# Decoders that fill damaged parts of a picture without a word. Told to, they fail instead; a strange header beside the
# picture is no failure to them.
_FAIL_ON_DAMAGE = {"mjpeg"}


class _TooManyFailuresError(Exception):
    """Raised where nothing more of a stream is expected to decode."""


@dataclass(frozen=True, kw_only=True)
class DecodedFrame:
    """A frame with what its packet says."""

    frame: Any  # PyAV's VideoFrame
    pts: int  # timestamp of its packet
    copy: int  # how many frames before this one have the same timestamp, which together with it identifies the frame
    time: int | None  # when it is presented, in the same ticks; None: where no packet says so
    number: int  # of its packet, in decoding order
    is_key: bool  # no later frame refers to one before it
    is_damaged: bool  # data are missing
    is_reference: bool  # later frames may refer to it


def nominal_step(video: Any) -> int:
    """Return the ticks from one frame of a stream to the next at its declared rate."""
    rate = float(video.average_rate or FRAMES_PER_SECOND)
    return round(video.time_base.denominator / video.time_base.numerator / rate) or 1


def set_up_decoder(video: Any, max_pixels: int) -> None:
    """Set the options of a stream's decoder, which is not open yet. Raises MediaError where FFmpeg has none for it."""
    codec = video.codec_context
    if codec is None:
        raise MediaError("no_frames", "there is no decoder for its codec")
    video.thread_count = 1  # a worker owns one core
    codec.options = {"max_pixels": str(max_pixels)}
    if codec.name in _FAIL_ON_DAMAGE:
        codec.options = codec.options | {"err_detect": "explode"}


@dataclass(kw_only=True, eq=False)
class _PacketNote:
    """What is known of a packet, which the decoder hands on to its frame."""

    number: int  # in decoding order
    is_reference: bool  # other frames may refer to its frame
    is_damaged: bool = False  # data of the packet are missing
    pixel_aspect: float = 1.0  # width over height of a stored pixel


def _ignore_failure(number: int, is_reference: bool, time: int | None) -> None:
    """Note nothing."""


class VideoDecoder:
    """Decodes the rest of an opened video stream.

    Args:
        clock: continues the timestamps of the packets.
        note_failure: called for each packet that is damaged or does not decode, with its number, whether other frames
            may refer to its frame, and when that would be presented (None: unknown).
    """

    def __init__(
        self,
        container: Any,
        video: Any,
        clock: PacketClock,
        note_failure: Callable[[int, bool, int | None], None] = _ignore_failure,
    ) -> None:
        self._container, self._video, self._clock, self._note_failure = container, video, clock, note_failure
        video.codec_context.copy_opaque = True  # packets hand on their notes to their frames
        self.has_untimed = False  # a packet without any timestamp came
        self.has_copies = False  # two frames with one timestamp came
        self.repeated_until: int | None = None  # where the latest packet without data ends, in ticks
        self.read_bytes = 0  # end of the last packet of any stream in the file; 0: packets have no positions
        #: Number of the first packet of each recording after the first, and how many recordings begin before it.
        self.recordings: list[tuple[int, int]] = []
        self._codec: str = video.codec_context.name
        self._is_intra_only: bool = video.codec_context.codec.intra_only
        self._packet_damage = PacketDamage(container, video, nominal_step(video))
        # MPEG streams have no word of their own on the shape of pixels: FFmpeg fills in what it has seen ahead.
        is_mpeg = bool(int(container.format.flags) & _TS_DISCONT)
        self._container_aspect = None if is_mpeg else video.sample_aspect_ratio
        self._first_pixel_aspect: Any = None  # as the stream says it in its first packet
        self._memory = DecoderMemory(container.size_bytes)
        self._failures = 0
        self._number = -1  # of the latest packet that was given to the decoder
        self._packets_read = 0
        self._edit_starts: set[int] = set()  # numbers of packets with which another edit of an edit list begins
        self._latest_note = _PacketNote(number=0, is_reference=True)
        self._recent_pts: deque[int] = deque(maxlen=MAX_REORDERED)  # of the latest frames

    def frames(self, is_first_pass: bool = False) -> Iterator[DecodedFrame]:
        """Yield the frames in the order in which they are presented.

        Args:
            is_first_pass: look at the first packets for whether `time` has to be made from times of decoding, and note
                in `read_bytes` how far the packets of all streams reach.
        """
        packets = self._read_packets(all_streams=is_first_pass)
        decode_timed = False
        if is_first_pass and self._may_lack_presentation_times():
            first: list[Any] = []
            for packet in packets:
                first.append(packet)
                if len(first) == MAX_REORDERED:
                    break
            decode_timed = are_decode_times([p.pts for p in first if p.pts is not None])
            packets = chain(first, packets)
        times = PresentationTimes(decode_timed=decode_timed, is_avi=self._container.format.name == "avi")
        try:
            packet = next(packets, None)
            while packet is not None:
                following = next(packets, None)
                yield from self._decode(packet, following, times)
                packet = following
        except _TooManyFailuresError:
            log.warning("%r: more than %d packets fail to decode", self._container.name, MAX_DECODE_ERRORS)

    def _may_lack_presentation_times(self) -> bool:
        return self._container.format.name in _WITHOUT_PRESENTATION_TIMES and self._codec in _REORDERING_CODECS

    def _read_packets(self, all_streams: bool = False) -> Iterator[Any]:
        """Yield the packets of the video with their clock continued, without those that an edit list does not show."""
        packets = read_packets(self._container, self._container.streams.get() if all_streams else self._video)
        latest: int | None = None
        begins_edit = False
        while True:
            try:
                packet = next(packets)
            except (StopIteration, StreamsAppearedError):
                return
            except MemoryError:  # the machine's, although FFmpeg's error of this name is a FFmpegError
                raise
            except av.error.FFmpegError as error:
                log.debug("reading ends: %s", error)
                self._note_failure(self._packets_read, True, None)
                return
            self.read_bytes = max(self.read_bytes, (packet.pos or 0) + packet.size)
            if packet.stream.index != self._video.index:
                continue
            recording = self._clock.adjust(packet)
            begins_edit |= self._clock.begins_edit
            if self._clock.is_misplayed(packet):
                continue
            if begins_edit:
                self._edit_starts.add(self._packets_read)
                begins_edit = False
            if latest is not None and recording > latest:
                self.recordings.append((self._packets_read, recording))
            if packet.size:
                latest = recording
                self._packets_read += 1
            yield packet

    def _decode(self, packet: Any, following: Any | None, times: PresentationTimes) -> Iterator[DecodedFrame]:
        is_flush = packet.pts is None and packet.dts is None and not packet.size
        if not packet.size and not is_flush:
            # "Show the picture before once more": Theora, and dropped frames in AVI.
            if packet.pts is not None:
                self.repeated_until = times.repetition_end(packet, packet.duration or nominal_step(self._video))
            return
        if not is_flush and self._packet_damage.is_foreign(packet):
            self._number += 1
            self._note_failure(self._number, True, None)
            yield from self._drain(times)
            return
        if not is_flush and self._number + 1 in self._edit_starts:
            yield from self._drain(times)  # HEVC refuses pictures that it was given in the edit before
        note = (
            _PacketNote(number=self._number, is_reference=False) if is_flush else self._send(packet, following, times)
        )
        try:
            self._memory.check(self._video.codec_context)
            decoded = packet.decode()
            self._memory.check(self._video.codec_context)
        except EOFError:
            return
        except MemoryError:
            raise
        except av.error.FFmpegError:
            if is_flush:
                self._note_failure(note.number, True, None)
                return
            is_b = not note.is_reference and not self._is_intra_only
            time = times.drop(packet.pts, note.number, is_next=is_b and bool(self._video.codec_context.has_b_frames))
            self._note_failure(note.number, note.is_reference, self._known_time(time))
            self._failures += 1
            if self._failures > MAX_DECODE_ERRORS:
                raise _TooManyFailuresError from None
            return
        if not is_flush:
            note.pixel_aspect = self._pixel_aspect()
        for frame in decoded:
            yield self._describe(frame, note, times)

    def _drain(self, times: PresentationTimes) -> Iterator[DecodedFrame]:
        """Yield the frames that wait in the decoder, which begins anew with the next packet."""
        for frame in self._video.codec_context.decode(None):
            yield self._describe(frame, self._latest_note, times)
        self._video.codec_context.flush_buffers()

    def _send(self, packet: Any, following: Any | None, times: PresentationTimes) -> _PacketNote:
        """Attach a note to the next packet for the decoder, and return the note."""
        self._number += 1
        if packet.pts is None:
            self._name_untimed(packet)
        is_reference = not (
            self._is_intra_only
            or packet.is_disposable
            or is_unreferenced(memoryview(packet)[:HEADER_BYTES], self._codec)
        )
        begins_recording = bool(self.recordings) and self.recordings[-1][0] == self._number + 1
        is_damaged = self._packet_damage.is_damaged(packet, following, begins_recording=begins_recording)
        note = _PacketNote(number=self._number, is_reference=is_reference, is_damaged=is_damaged)
        packet.opaque = self._latest_note = note
        times.send(packet, self._number)
        if is_damaged:
            self._note_failure(self._number, is_reference, self._known_time(packet.pts))
            may_be_lost = not (is_reference or self._is_intra_only or begins_recording)
            if may_be_lost and self._packet_damage.is_last_before_loss(packet, following):
                self._note_failure(self._number, True, None)  # others may refer to the lost frame
        return note

    def _name_untimed(self, packet: Any) -> None:
        """Give a packet without a time of presentation a timestamp that no other packet has."""
        self.has_untimed = True
        packet.pts = _UNTIMED + self._number * nominal_step(self._video)

    @staticmethod
    def _known_time(time: int) -> int | None:
        return None if time < _UNTIMED // 2 else time

    def _describe(self, frame: Any, latest: _PacketNote, times: PresentationTimes) -> DecodedFrame:
        note = frame.opaque if isinstance(frame.opaque, _PacketNote) else latest
        reorders = bool(self._video.codec_context.has_b_frames)
        time = times.receive(frame.pts, note.number, reorders=reorders)
        frame.opaque = FrameTraits(pixel_aspect=note.pixel_aspect)
        is_b = int(frame.pict_type) == _B_FRAME
        copy = self._recent_pts.count(frame.pts)
        self._recent_pts.append(frame.pts)
        self.has_copies |= copy > 0
        return DecodedFrame(
            frame=frame,
            pts=frame.pts,
            copy=copy,
            time=self._known_time(time),
            number=note.number,
            is_key=bool(frame.key_frame),
            is_damaged=bool(frame.is_corrupt) or note.is_damaged,
            is_reference=note.is_reference and not (is_b and self._codec in _B_IS_NO_REFERENCE),
        )

    def _pixel_aspect(self) -> float:
        """Return the width over height of the stored pixels in the packet that was given to the decoder last.

        The container's word holds, as for players, until the stream changes its own in mid-stream.
        """
        latest = self._video.codec_context.sample_aspect_ratio
        if self._first_pixel_aspect is None:
            self._first_pixel_aspect = latest
        if latest and self._first_pixel_aspect and latest != self._first_pixel_aspect:
            return credible_pixel_aspect(latest)
        return credible_pixel_aspect(self._container_aspect, latest)
