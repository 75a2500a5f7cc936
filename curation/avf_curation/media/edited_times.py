"""When frames are presented in a track of several edits.

FFmpeg is wrong by the frames that a decoder holds back where an edit behind the first begins between key frames: the
picture is up to 0.2 s late, and the sound is not. Which medium a packet is says its place in the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import av

from avf_curation.media.container import StreamsAppearedError, open_container, read_packets
from avf_curation.media.edit_lists import Edit
from avf_curation.media.joined_clock import StoredKey, StreamClock, stored_key


@dataclass(frozen=True, kw_only=True)
class EditedStream:
    """The video stream of a track with several edits."""

    clock: StreamClock  # with the right times of the packets
    end: int  # of the last frame that is shown, in ticks
    edit_starts: frozenset[StoredKey]  # the first packet of each edit but the first


@dataclass(frozen=True, kw_only=True)
class _PlayedPacket:
    """A packet as FFmpeg plays it, in ticks of the stream."""

    position: int  # byte of the file
    dts: int | None
    pts: int
    duration: int
    is_shown: bool
    run: int  # which edit it belongs to, counted from 0


def list_edited_stream(path: Path, stream_index: int, edits: tuple[Edit, ...]) -> EditedStream | None:
    """Return the right times of a stream, None where FFmpeg does not play one run of packets for each edit.

    Reads all packets of the stream twice and decodes none. Raises MediaError.

    Args:
        edits: of the track, from the first with media on.
    """
    with open_container(path, ignore_edits=True) as container:
        media_times = {packet.pos: packet.pts for packet in _packets(container, stream_index)}
    with open_container(path) as container:
        tick_s = container.streams[stream_index].time_base
        played = list(_played_packets(_packets(container, stream_index), media_times))
    runs = [list(packets) for _, packets in groupby(played, key=lambda packet: packet.run)]
    if len(runs) != len(edits):
        return None
    repairs = {}
    end = 0
    for number, (packets, edit) in enumerate(zip(runs, edits, strict=True)):
        shift = round(edit.begin_s / tick_s) - edit.media_time
        for packet in packets:
            pts = packet.pts
            if number > 0 and not edit.is_empty:
                pts = media_times[packet.position] + shift
                dts = pts if packet.dts is None else packet.dts
                repairs[stored_key(packet.position, packet.dts, packet.pts)] = (dts, pts)
            if packet.is_shown:
                end = max(end, pts + packet.duration)
    starts = (packets[0] for packets in runs[1:])
    return EditedStream(
        clock=StreamClock(repairs=repairs),
        end=end,
        edit_starts=frozenset(stored_key(packet.position, packet.dts, packet.pts) for packet in starts),
    )


def _packets(container: Any, stream_index: int) -> Iterator[Any]:
    """Yield the packets that have a place in the file and a time, up to where reading fails."""
    try:
        for packet in read_packets(container, container.streams[stream_index]):
            if packet.pos is not None and packet.pts is not None:
                yield packet
    except MemoryError:
        raise
    except (av.error.FFmpegError, StreamsAppearedError):
        return


def _played_packets(packets: Iterator[Any], media_times: dict[int, int]) -> Iterator[_PlayedPacket]:
    """Yield the packets with the run that they belong to.

    Within an edit the packets follow in the order of the file, as far from their media times.
    """
    run, before = 0, None
    for packet in packets:
        if packet.pos not in media_times:
            continue
        shift = packet.pts - media_times[packet.pos]
        if before is not None and (packet.pos <= before[0] or shift != before[1]):
            run += 1
        before = packet.pos, shift
        yield _PlayedPacket(
            position=packet.pos,
            dts=packet.dts,
            pts=packet.pts,
            duration=packet.duration or 0,
            is_shown=not packet.is_discard,
            run=run,
        )
