"""When frames are presented, where a container has times of decoding only.

AVI stores no presentation times. FFmpeg numbers the packets of H.264 and HEVC in AVI in the order in which they are
decoded; with B-frames, frames come out of the decoder in another order, and their numbers are not times.
"""

import heapq
from typing import Any

MAX_REORDERED = 32  # no codec holds back more frames than this (16 frames, or 32 fields)


class PresentationTimes:
    """Gives frames their times of presentation, as they come out of a decoder.

    AVI begins with the first packet at time 0, but FFmpeg presents its frame later by the frames that its decoder holds
    back. The sound of the file does not wait for them, so this delay is taken out.

    Args:
        decode_timed: the timestamps are times of decoding: the frames get the same times in ascending order.
        is_avi: the container is AVI.
    """

    def __init__(self, *, decode_timed: bool, is_avi: bool) -> None:
        self._decode_timed, self._is_avi = decode_timed, is_avi
        self._delay: int | None = None if is_avi else 0  # of FFmpeg's times of presentation, in ticks
        self._times: list[tuple[int, int]] = []  # heap of (time, packet number) that no frame has taken

    def send(self, packet: Any, number: int) -> None:
        """Note a packet that is given to the decoder, and its number in the file."""
        if self._decode_timed:
            is_numbered = self._is_avi and packet.dts is not None
            heapq.heappush(self._times, (packet.dts if is_numbered else packet.pts, number))
        elif self._delay is None:
            self._delay = 0 if packet.dts is None else max(0, packet.pts - packet.dts)

    def drop(self, pts: int, number: int, *, is_next: bool) -> int:
        """Note that a packet gave no frame. Return when its frame would have been presented.

        Args:
            pts: timestamp of the packet.
            number: of the packet.
            is_next: the decoder would have put out the frame of this packet next, as it does with B-frames that no
                other frame refers to.
        """
        if self._decode_timed and self._times:
            return heapq.heappop(self._times)[0] if is_next else self._take(pts, number)
        return pts - (self._delay or 0)

    def receive(self, pts: int, number: int, *, reorders: bool) -> int:
        """Return when a frame that came out of the decoder is presented.

        Args:
            pts: timestamp of the packet that the frame was in.
            number: of that packet.
            reorders: the decoder puts frames into another order.
        """
        if not self._decode_timed:
            return pts - (self._delay or 0)
        self._times = [entry for entry in self._times if entry[1] > number - MAX_REORDERED]
        heapq.heapify(self._times)
        if reorders and self._times:
            return heapq.heappop(self._times)[0]
        return self._take(pts, number)

    def repetition_end(self, packet: Any, duration: int) -> int:
        """Return until when a packet without data repeats the picture before."""
        start = packet.dts if self._decode_timed and self._is_avi and packet.dts is not None else packet.pts
        return int(start) + duration - (self._delay or 0)

    def _take(self, pts: int, number: int) -> int:
        """Return the time of a packet, which no other frame gets."""
        time = next((entry[0] for entry in self._times if entry[1] == number), pts)
        self._times = [entry for entry in self._times if entry[1] != number]
        heapq.heapify(self._times)
        return time


def are_decode_times(timestamps: list[int]) -> bool:
    """Return whether the timestamps of the first packets of a stream ascend in decoding order.

    Times of presentation do not, where frames are reordered; without reordering the two are the same.
    """
    return len(timestamps) > 1 and all(a < b for a, b in zip(timestamps, timestamps[1:], strict=False))
