"""Says of the packets of a video which of them lack data, before they are decoded."""

from typing import Any

from avf_curation.media.packet_syntax import codec_of_header, has_zero_fill, has_zeros_in_units, nal_length_bytes
from avf_curation.media.transport_stream import is_whole_unit, unit_bytes

LOST_STEPS = 1.5  # nominal steps from one frame to the next, around damage, above which one between them is lost
_REPORTING_DECODERS = {
    "h264",
    "mpeg1video",
    "mpeg2video",
}  # they see that the end of a packet is missing; HEVC's does not
_FAMILIES = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "mpeg1video": ("mpeg",),
    "mpeg2video": ("mpeg",),
    "mpeg4": ("mpeg4", "mpeg"),
}
_TS_DISCONT = 0x200  # AVFMT_TS_DISCONT: MPEG program and transport streams


class PacketDamage:
    """Examines the packets of a video stream in decoding order.

    FFmpeg cuts MPEG streams into packets itself. The end of a packet is found in the data after it, so that missing
    data are said of the packet before the one that lacks them.

    Args:
        container, video: PyAV's.
        step: ticks from one frame to the next at the declared rate.
    """

    def __init__(self, container: Any, video: Any, step: int) -> None:
        self._container, self._stream_id = container, int(video.id)
        self._codec: str = video.codec_context.name
        self._length_bytes = nal_length_bytes(video.codec_context)
        self._is_parsed = bool(int(container.format.flags) & _TS_DISCONT)
        self._step = step
        self._is_reported = False  # of the packet before
        self._is_foreign = False  # likewise

    def is_foreign(self, packet: Any) -> bool:
        """Return whether the next packet is of another codec, as in joined files: its decoder makes noise of it."""
        families = _FAMILIES.get(self._codec)
        header_codec = codec_of_header(memoryview(packet)) if self._is_parsed and families else ""
        if header_codec:
            self._is_foreign = header_codec not in (families or ())
        if self._is_foreign:
            self._is_reported = bool(packet.is_corrupt)
        return self._is_foreign

    def is_damaged(self, packet: Any, following: Any | None, *, begins_recording: bool) -> bool:
        """Return whether data of the next packet are missing.

        Where another recording, or a segment of the same one, was put behind its last packet, counters begin again:
        MPEG-TS reports data as missing that never were. The last packet before a key frame on time is taken for whole
        if the decoder would see that it is not, or its last bytes are there.

        Args:
            packet: the next one for the decoder.
            following: the one after it, or None at the end.
            begins_recording: `following` is the first packet of another recording.
        """
        is_reported = bool(packet.is_corrupt)
        if self._is_parsed:
            is_reported, self._is_reported = self._is_reported, is_reported
        if is_reported and following is not None and following.is_keyframe:
            is_checked = self._codec in _REPORTING_DECODERS or self._has_its_end(packet, following)
            is_reported = not (is_checked and (begins_recording or not self.is_last_before_loss(packet, following)))
        return is_reported or self._has_zeros(memoryview(packet))

    def _has_zeros(self, packet: memoryview) -> bool:
        """Return whether zeros stand where the codec allows none."""
        if self._length_bytes:
            return has_zero_fill(packet, self._codec, self._length_bytes)
        return self._codec in ("h264", "hevc") and has_zeros_in_units(packet)

    def _has_its_end(self, packet: Any, following: Any) -> bool:
        """Return whether a packet of a transport stream is there to its last byte."""
        if self._container.format.name != "mpegts" or packet.pos is None or following.pos is None:
            return False
        size = unit_bytes(packet.pos, following.pos)
        return is_whole_unit(self._container.read_bytes(packet.pos, size), self._stream_id)

    def is_last_before_loss(self, packet: Any, following: Any | None) -> bool:
        """Return whether the timestamps say that a packet between two others is missing."""
        if following is None or not following.size:
            return False
        if packet.dts is None or following.dts is None:
            return True
        return bool(following.dts - packet.dts > LOST_STEPS * self._step)
