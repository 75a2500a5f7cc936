"""The clock of a file: where other recordings begin in it, which timestamps are wrong, and where to seek to.

Only files of formats that have no index that says so, and that people join byte by byte, are listed. Of MP4 and
QuickTime files the edit lists are read.
"""

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from avf_shards.system.storage_faults import retry_read

from avf_curation.media.clock_glitches import repair_glitches
from avf_curation.media.container import open_container
from avf_curation.media.edit_lists import TimeSpans, misplayed_spans, read_edit_lists
from avf_curation.media.edited_times import list_edited_stream
from avf_curation.media.input_file import InputFile
from avf_curation.media.joined_clock import (
    Restart,
    StoredKey,
    StreamClock,
    TimedStream,
    continue_clock,
    stored_key,
    takes_part_of,
)
from avf_curation.media.packet_table import StreamPackets, Ticks, list_packets
from avf_curation.media.presentation_times import MAX_REORDERED

log = logging.getLogger(__name__)

EDITED_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2"}  # have edit lists, and an index in a box
_LISTED_FORMATS = {"mpegts", "mpeg", "matroska,webm", "nut"}
_STORE_DTS = {"mpegts", "mpeg"}  # formats with times of decoding, which may jump ahead (AVFMT_TS_DISCONT)
_SEEK_STEP_S = 0.5  # between the packets of sound to which a seek may lead


@dataclass(frozen=True, kw_only=True, eq=False)
class SeekPoints:
    """Packets at which reading a stream may begin, in the order of the file."""

    times: Ticks  # (points,) of presentation, in ticks of the stream, on the continued clock
    positions: Ticks  # (points,) bytes of the file

    def before(self, time: int) -> int | None:
        """Return the byte of the last point that is presented at or before a time; None: the start of the file."""
        count = int(np.searchsorted(self.times, time, "right"))
        return int(self.positions[count - 1]) if count else None


@dataclass(frozen=True, kw_only=True)
class FileClock:
    """What the packets of a file say of its clock."""

    restarts: tuple[Restart, ...] = ()
    streams: Mapping[int, StreamClock] = field(default_factory=dict)  # by number of the stream
    seek_points: Mapping[int, SeekPoints] = field(default_factory=dict)  # likewise; none: seek by timestamp
    starts: Mapping[int, int] = field(default_factory=dict)  # first time of presentation of each stream, in its ticks
    #: Where each stream ends on the continued clock, or a later one of its kind in a recording that it has no part in.
    ends: Mapping[int, int] = field(default_factory=dict)
    repaired: int = 0  # timestamps that contradicted their neighbours
    has_equal_times: bool = False  # pictures of the video that is read have one time of presentation
    #: By number of the track in the file: when FFmpeg plays other media than the edit list says.
    misplayed: Mapping[int, TimeSpans] = field(default_factory=dict)
    has_moved_edits: bool = False  # times of pictures in later edits are changed
    edit_starts: frozenset[StoredKey] = frozenset()  # the first packets of later edits

    @property
    def is_changed(self) -> bool:
        """Whether some timestamp of the file is changed, so that FFmpeg cannot seek by it."""
        return bool(self.restarts or self.repaired or self.has_moved_edits)


class PacketClock:
    """Moves the timestamps of the packets of an opened file as its clock says.

    Packets without a position of their own lie where the packet of their stream before them does.
    """

    def __init__(self, clock: FileClock) -> None:
        self._clock = clock
        self._positions: dict[int, int] = {}  # of the latest packet of each stream
        self.begins_edit = False  # the latest packet is the first of an edit behind the first one

    def adjust(self, packet: Any) -> int:
        """Move the timestamps of a packet in place. Return how many recordings begin before it."""
        position = self._positions.get(packet.stream_index, 0) if packet.pos is None else packet.pos
        self._positions[packet.stream_index] = position
        stream = self._clock.streams.get(packet.stream_index)
        if stream is None or not (stream.positions or stream.repairs):
            return 0
        dts, pts = packet.dts, packet.pts
        stored = stored_key(position, dts, pts)
        self.begins_edit = stored in self._clock.edit_starts
        if stored in stream.repairs:
            dts, pts = stream.repairs[stored]
        recordings = bisect_right(stream.positions, position)
        offset = stream.offsets[recordings - 1] if recordings else 0
        packet.dts = None if dts is None else dts + offset
        packet.pts = None if pts is None else pts + offset
        return recordings

    def is_misplayed(self, packet: Any) -> bool:
        """Return whether a packet is presented where the edit list of its track shows something else, or nothing.

        Packets that are decoded and not shown are none: others need them.
        """
        if not self._clock.misplayed or packet.pts is None or packet.is_discard:
            return False
        spans = self._clock.misplayed.get(packet.stream.id)
        return spans is not None and spans.cover(packet.pts * packet.time_base)


def read_file_clock(path: Path, format_name: str, audio_languages: Sequence[str]) -> FileClock:
    """Return the clock of a file, which is read to its end the first time where its format may be joined.

    Raises OSError.

    Args:
        audio_languages: as in `choose_audio_stream`; the clocks of other tracks do not count.
    """
    if format_name not in _LISTED_FORMATS | EDITED_FORMATS or not retry_read(path.is_file, path):
        return FileClock()
    status = retry_read(path.stat, path)
    if format_name in EDITED_FORMATS:
        return _read_edit_lists(path, status.st_size, status.st_mtime_ns)
    return _list_clock(path, format_name, tuple(audio_languages), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read_edit_lists(path: Path, _size: int, _mtime_ns: int) -> FileClock:
    """Return the clock of an MP4 or QuickTime file, with right times of the pictures where there are several edits."""
    file = InputFile(path)
    try:
        edits_of_tracks = read_edit_lists(file)
        file.check()
    finally:
        file.close()
    misplayed = {track: misplayed_spans(edits) for track, edits in edits_of_tracks.items()}
    streams, ends = {}, {}
    edit_starts: set[StoredKey] = set()
    for track, edits in edits_of_tracks.items():
        index = _video_index(path, track) if len(edits) > 1 else None
        if index is None:
            continue
        edited = list_edited_stream(path, index, edits)
        if edited is None:
            log.info("%r: the edits of track %d behind the first one cannot be placed", str(path), track)
            misplayed[track] = TimeSpans.make([(edits[0].end_s, edits[-1].end_s)])
            continue
        streams[index], ends[index] = edited.clock, edited.end
        edit_starts |= edited.edit_starts
    return FileClock(
        streams=streams,
        ends=ends,
        misplayed={track: spans for track, spans in misplayed.items() if spans.begins_s},
        has_moved_edits=bool(streams),
        edit_starts=frozenset(edit_starts),
    )


def _video_index(path: Path, track: int) -> int | None:
    """Return the number of the video stream that is a track of the file; None: the track is no video."""
    with open_container(path) as container:
        return next((stream.index for stream in container.streams.video if stream.id == track), None)


@lru_cache(maxsize=2)  # the passes over picture and sound of an input, and over its ranges, ask for the same file
def _list_clock(
    path: Path, format_name: str, audio_languages: tuple[str, ...], _size: int, _mtime_ns: int
) -> FileClock:
    stores_dts = format_name in _STORE_DTS
    listed = list_packets(path, audio_languages)
    read = [packets for packets in listed.values() if packets.is_read]
    streams = {
        index: TimedStream.make(packets, repair_glitches(packets, stores_dts))
        for index, packets in listed.items()
        if packets.is_read or any(takes_part_of(packets, other) for other in read)
    }
    restarts, clocks = continue_clock(streams, may_jump_ahead=stores_dts)
    repaired = sum(len(clock.repairs) for clock in clocks.values())
    if restarts or repaired:
        log.info("%r: other recordings begin at %s; %d timestamps are wrong", str(path), restarts[:5], repaired)
    points, starts, ends, has_equal_times = {}, {}, {}, False
    for index, clock in clocks.items():
        packets, times = streams[index].packets, streams[index].times
        recordings = np.searchsorted(np.asarray(clock.positions, np.int64), packets.positions, "right")
        presented = times.pts + np.asarray((0, *clock.offsets), np.int64)[recordings]
        has_equal_times |= packets.is_video and packets.is_read and len(np.unique(presented)) < len(presented)
        starts[index] = int(presented[:MAX_REORDERED].min())
        ends[index] = int((presented + times.steps)[-MAX_REORDERED:].max())
        if stores_dts:  # these formats are read from any byte on
            points[index] = _seek_points(packets, presented)
    ends = {index: max(ends[other] for other in ends if _is_or_follows(streams, other, index)) for index in ends}
    return FileClock(
        restarts=restarts,
        streams=clocks,
        seek_points=points,
        starts=starts,
        ends=ends,
        repaired=repaired,
        has_equal_times=has_equal_times,
    )


def _is_or_follows(streams: Mapping[int, TimedStream], other: int, index: int) -> bool:
    return other == index or takes_part_of(streams[other].packets, streams[index].packets)


def seek_before(container: Any, stream: Any, clock: FileClock, time: int) -> bool:
    """Seek to a packet that is presented at or before a time, in ticks of the stream. Return whether that was possible.

    Where it was not, reading has to begin at the start of the file. Some demuxers seek to a packet behind the time.
    """
    try:
        if stream.index in clock.seek_points:
            position = clock.seek_points[stream.index].before(time)
            if position is None:
                return False
            container.seek(position, unsupported_byte_offset=True)
        elif clock.is_changed:  # FFmpeg knows only the stored timestamps
            return False
        else:
            container.seek(max(time, stream.start_time or 0), stream=stream)
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError):
        log.debug("%r: no seek to timestamp %d of stream %d", container.name, time, stream.index)
        return False
    return True


def _seek_points(packets: StreamPackets, presented: Ticks) -> SeekPoints:
    """Return the key frames of a video, or a packet of sound for each half second.

    Args:
        presented: (packets,) times of presentation on the continued clock, in ticks.
    """
    chosen = packets.is_key & packets.begins_unit
    if not packets.is_video:
        chosen &= np.diff(np.floor(presented * packets.tick_s / _SEEK_STEP_S), prepend=-np.inf) > 0
    # A packet that is presented before an earlier one is none to begin at: the times must ascend.
    chosen &= presented >= np.maximum.accumulate(presented)
    return SeekPoints(times=presented[chosen], positions=packets.positions[chosen])
