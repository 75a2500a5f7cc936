"""Lists the packets of a file without decoding them: where each lies, and when it is decoded and presented."""

import logging
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from avf_curation.media.audio_stream import choose_audio_stream
from avf_curation.media.container import StreamsAppearedError, is_cover_art, open_container, read_packets
from avf_curation.media.types import MediaError

log = logging.getLogger(__name__)

MAX_PACKETS = 10_000_000  # 12 hours have 5 million of picture and sound; each takes 56 bytes of memory
NO_TIME = -(2**62)  # stands for a timestamp that the file does not give
_MAX_TICKS = 2**53  # three years in ticks of 10 nanoseconds; hostile files give more
Ticks = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class StreamPackets:
    """The packets of one stream in the order of decoding; all arrays have the shape (packets,)."""

    tick_s: float  # seconds of a tick
    is_video: bool
    is_read: bool  # the video or the sound track that the input is read from
    orders: Ticks  # number of each packet among the packets of all streams, as the demuxer gives them
    positions: Ticks  # byte of the file at which the packet, or one before it in the same unit, begins
    stored_dts: Ticks  # as the file has it; NO_TIME: not given
    stored_pts: Ticks  # likewise
    durations: Ticks  # 0: not given
    is_key: npt.NDArray[np.bool_]
    begins_unit: npt.NDArray[np.bool_]  # the packet has a position of its own

    def __len__(self) -> int:
        return len(self.orders)


def list_packets(path: Path, audio_languages: Sequence[str]) -> dict[int, StreamPackets]:
    """Return the packets of each stream of picture and sound by the stream's number; one without packets is left out.

    Reads all of the file and decodes nothing: about 10 microseconds for a packet. Raises MediaError.

    Args:
        audio_languages: as in `choose_audio_stream`.
    """
    try:
        return _list_packets(path, audio_languages, find_all_streams=False)
    except StreamsAppearedError:
        log.info("%r: more streams begin in mid-file", str(path))
        return _list_packets(path, audio_languages, find_all_streams=True)


def _list_packets(path: Path, audio_languages: Sequence[str], find_all_streams: bool) -> dict[int, StreamPackets]:
    columns: dict[int, list[array[int]]] = {}
    streams: dict[int, Any] = {}
    with open_container(path, find_all_streams) as container:
        for stream in (*container.streams.video, *container.streams.audio):
            if not is_cover_art(stream):
                streams[stream.index] = stream
                columns[stream.index] = [array("q") for _ in range(7)]
        read = _streams_that_are_read(container, audio_languages)
        ticks = {index: float(stream.time_base) for index, stream in streams.items()}
        try:
            for order, packet in enumerate(read_packets(container, list(streams.values()))):
                if order >= MAX_PACKETS:
                    raise MediaError("absurd_packets", f"there are more than {MAX_PACKETS:,} packets")
                if packet.size or packet.pts is not None or packet.dts is not None:  # the others flush decoders
                    _append(columns[packet.stream_index], order, packet)
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            log.debug("%r: the list of packets ends: %s", str(path), error)
        except StreamsAppearedError:
            if not find_all_streams:
                raise
            log.warning("%r: some streams of the file cannot be read", str(path))
        return {
            index: _as_arrays(
                rows,
                ticks[index],
                is_video=streams[index].type == "video",
                is_read=index in read,
                has_blocks=container.format.name == "mpegts",
            )
            for index, rows in columns.items()
            if rows[0]
        }


def _credible(ticks: int | None) -> int:
    return NO_TIME if ticks is None or abs(ticks) > _MAX_TICKS else ticks


def _append(rows: list["array[int]"], order: int, packet: Any) -> None:
    carried = rows[1][-1] if rows[1] else 0
    values = (
        order,
        carried if packet.pos is None else packet.pos,
        _credible(packet.dts),
        _credible(packet.pts),
        min(max(packet.duration or 0, 0), _MAX_TICKS),
        packet.is_keyframe,
        packet.pos is not None,
    )
    for column, value in zip(rows, values, strict=True):
        column.append(int(value))


def _streams_that_are_read(container: Any, audio_languages: Sequence[str]) -> set[int]:
    """Return the numbers of the video and of the sound track that the input is read from."""
    read = {stream.index for stream in container.streams.video if not is_cover_art(stream)}
    read = {min(read)} if read else set()
    if container.streams.audio:
        read.add(container.streams.audio[choose_audio_stream(container.streams.audio, audio_languages).index].index)
    return read


def _as_arrays(
    rows: list["array[int]"], tick_s: float, *, is_video: bool, is_read: bool, has_blocks: bool
) -> StreamPackets:
    orders, positions, dts, pts, durations, keys, begins = (np.array(row, np.int64) for row in rows)
    if has_blocks and not is_video:
        _spread_guessed_times(dts, pts, durations, begins.astype(bool))
    return StreamPackets(
        tick_s=tick_s,
        is_video=is_video,
        is_read=is_read,
        orders=orders,
        positions=positions,
        stored_dts=dts,
        stored_pts=pts,
        durations=durations,
        is_key=keys.astype(bool),
        begins_unit=begins.astype(bool),
    )


def _spread_guessed_times(dts: Ticks, pts: Ticks, durations: Ticks, begins_unit: npt.NDArray[np.bool_]) -> None:
    """Change, in place, the times of packets of sound that lie in one block behind its first packet.

    FFmpeg counts them on by the sample rate at the start of the file. Where that leads beyond the first packet of the
    next block, as in a recording of a higher rate that was joined to the first one, they are spread evenly up to it:
    else the clock would seem to start again at each block.
    """
    firsts = np.flatnonzero(begins_unit & (dts != NO_TIME) & (pts != NO_TIME))
    before, after = firsts[:-1], firsts[1:]
    too_late = (after - before > 1) & (dts[before] < dts[after]) & (dts[after - 1] >= dts[after])
    for first, stop in zip(before[too_late], after[too_late], strict=True):
        steps = np.arange(stop - first) * (dts[stop] - dts[first]) // (stop - first)
        dts[first:stop], pts[first:stop] = dts[first] + steps, pts[first] + steps
        durations[first:stop] = (dts[stop] - dts[first]) // (stop - first)
