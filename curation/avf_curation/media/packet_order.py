"""Which packet a decoded frame came from, and when it is presented where a container has only decode times.

AVI stores no presentation times. FFmpeg numbers the packets of H.264 and HEVC in AVI in the order in which they are
decoded; with B-frames, frames come out of the decoder in another order, and their numbers are not times.
"""

import heapq

MAX_REORDERED = 32  # no codec holds back more frames than this (16 frames, or 32 fields)


class PacketOrder:
    """The packets that were given to a decoder and did not come out as a frame yet.

    Args:
        decode_timed: the timestamps are times of decoding: the frames get the same times in ascending order.
    """

    def __init__(self, decode_timed: bool) -> None:
        self._decode_timed = decode_timed
        self._number_by_pts: dict[int, int] = {}  # of the packets in the decoder
        self._times: list[tuple[int, int]] = []  # heap of (timestamp, number) that no frame has taken

    def send(self, pts: int, number: int) -> None:
        """Note a packet that is given to the decoder: its timestamp and its number in the file."""
        self._number_by_pts[pts] = number
        if len(self._number_by_pts) > 2 * MAX_REORDERED:  # packets that give no frame of their own
            self._number_by_pts = {p: n for p, n in self._number_by_pts.items() if n > number - MAX_REORDERED}
        if self._decode_timed:
            heapq.heappush(self._times, (pts, number))

    def drop(self, pts: int) -> None:
        """Note that a packet failed to decode: its time belongs to no frame."""
        self._number_by_pts.pop(pts, None)
        self._times = [entry for entry in self._times if entry[0] != pts]
        heapq.heapify(self._times)

    def receive(self, pts: int, reorders: bool) -> tuple[int, int]:
        """Return when a frame that came out of the decoder is presented, and the number of its packet.

        Args:
            pts: timestamp of the packet that the frame was in.
            reorders: the decoder puts frames into another order.
        """
        number = self._number_by_pts.pop(pts, -1)
        if number < 0:
            number = max(self._number_by_pts.values(), default=0)
        if not self._decode_timed:
            return pts, number
        self._times = [entry for entry in self._times if entry[1] > number - MAX_REORDERED]
        heapq.heapify(self._times)
        if not self._times:
            return pts, number
        if reorders:
            return heapq.heappop(self._times)[0], number
        self._times = [entry for entry in self._times if entry[0] != pts]
        heapq.heapify(self._times)
        return pts, number


def are_decode_times(timestamps: list[int]) -> bool:
    """Return whether the timestamps of the first packets of a stream ascend in decoding order.

    Times of presentation do not, where frames are reordered; without reordering the two are the same.
    """
    return len(timestamps) > 1 and all(a < b for a, b in zip(timestamps, timestamps[1:], strict=False))
