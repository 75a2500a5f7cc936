"""When frames are presented, where a container has times of decoding only.

AVI stores no presentation times. FFmpeg numbers the packets of H.264 and HEVC in AVI in the order in which they are
decoded; with B-frames, frames come out of the decoder in another order, and their numbers are not times.
"""

import heapq

MAX_REORDERED = 32  # no codec holds back more frames than this (16 frames, or 32 fields)


class PresentationTimes:
    """Gives frames their times of presentation, as they come out of a decoder.

    Args:
        decode_timed: the timestamps are times of decoding: the frames get the same times in ascending order.
    """

    def __init__(self, decode_timed: bool) -> None:
        self._decode_timed = decode_timed
        self._times: list[tuple[int, int]] = []  # heap of (timestamp, packet number) that no frame has taken

    def send(self, pts: int, number: int) -> None:
        """Note a packet that is given to the decoder: its timestamp and its number in the file."""
        if self._decode_timed:
            heapq.heappush(self._times, (pts, number))

    def drop(self, pts: int, *, is_next: bool) -> int:
        """Note that a packet gave no frame. Return when its frame would have been presented.

        Args:
            pts: timestamp of the packet.
            is_next: the decoder would have put out the frame of this packet next, as it does with B-frames that no
                other frame refers to.
        """
        if not self._decode_timed or not self._times:
            return pts
        if is_next:
            return heapq.heappop(self._times)[0]
        self._remove(pts)
        return pts

    def receive(self, pts: int, number: int, *, reorders: bool) -> int:
        """Return when a frame that came out of the decoder is presented.

        Args:
            pts: timestamp of the packet that the frame was in.
            number: of that packet.
            reorders: the decoder puts frames into another order.
        """
        if not self._decode_timed:
            return pts
        self._times = [entry for entry in self._times if entry[1] > number - MAX_REORDERED]
        heapq.heapify(self._times)
        if not self._times:
            return pts
        if reorders:
            return heapq.heappop(self._times)[0]
        self._remove(pts)
        return pts

    def _remove(self, pts: int) -> None:
        self._times = [entry for entry in self._times if entry[0] != pts]
        heapq.heapify(self._times)


def are_decode_times(timestamps: list[int]) -> bool:
    """Return whether the timestamps of the first packets of a stream ascend in decoding order.

    Times of presentation do not, where frames are reordered; without reordering the two are the same.
    """
    return len(timestamps) > 1 and all(a < b for a, b in zip(timestamps, timestamps[1:], strict=False))
