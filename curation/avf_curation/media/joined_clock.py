"""Continues the clock of a file that was joined from several, as `cat a.ts b.ts` does.

Where the clock of one stream starts again, another recording begins, and all of the file behind that byte belongs to
it. The recording begins where the one before it ends, with the longer of its picture and its sound. (ffmpeg continues
the stream whose packet comes first, which puts the new recording over the rest of the old one's sound.)
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avf_curation.media.clock_glitches import AHEAD_S, JUMP_S, ContinuousTimes
from avf_curation.media.packet_table import NO_TIME, StreamPackets, Ticks
from avf_curation.media.presentation_times import MAX_REORDERED
from avf_curation.media.types import MediaError

MAX_RESTARTS = 20_000  # 12 hours in recordings of four seconds have half as many
_CONTRADICTION_S = 0.5  # a stream that goes on where another jumps by more than this belongs to no joined file


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A point of a file where the clock of some stream starts again."""

    position: int  # byte of the file
    start_s: float  # seconds on the continued clock
    #: Another recording begins. False: the clock of another stream goes on, as in no joined file.
    begins_recording: bool = True
    #: How picture and sound belong together is not known from here to the next restart: one clock jumped alone.
    is_out_of_step: bool = False


StoredKey = tuple[int, int, int]
"""(position, stored dts, stored pts) of a packet."""


@dataclass(frozen=True, kw_only=True)
class StreamClock:
    """How the timestamps of one stream are changed, in its ticks."""

    positions: tuple[int, ...] = ()  # byte of the stream's first packet after each restart
    offsets: tuple[int, ...] = ()  # to add to the timestamps after each restart
    begins: tuple[int, ...] = ()  # continued time of decoding of the first packet after each restart
    #: New (dts, pts) of packets with wrong timestamps, before the offset, by (position, stored dts, stored pts).
    repairs: Mapping[StoredKey, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedStream:
    """The packets of one stream with times that go on."""

    packets: StreamPackets
    times: ContinuousTimes
    reached: Ticks  # (packets,) the largest position up to each packet

    @classmethod
    def make(cls, packets: StreamPackets, times: ContinuousTimes) -> "TimedStream":
        """Return a stream with the positions that it has reached at each packet."""
        return cls(packets=packets, times=times, reached=np.maximum.accumulate(packets.positions))


@dataclass(frozen=True, kw_only=True)
class _Jump:
    """A restart of the clock of one stream."""

    stream: int
    packet: int  # the first packet with the new clock
    after: int  # byte of the last packet with the old clock
    position: int  # byte of the first packet with the new clock
    seconds: float


Streams = Mapping[int, TimedStream]
"""The streams of a file that are read, by their numbers."""


def continue_clock(streams: Streams, may_jump_ahead: bool) -> tuple[tuple[Restart, ...], dict[int, StreamClock]]:
    """Return where other recordings begin, and how the timestamps of each stream are changed so that all go on.

    Raises MediaError where the clock starts again absurdly often.

    Args:
        may_jump_ahead: a jump of more than ten seconds ahead, of all streams, is a restart as well.
    """
    jumps = [jump for index in streams for jump in _jumps(streams, index, may_jump_ahead)]
    jumps += _jumps_between_streams(streams, may_jump_ahead)
    if len(jumps) > MAX_RESTARTS:
        raise MediaError("absurd_timestamps", f"the clock of the file starts again more than {MAX_RESTARTS:,} times")
    groups = _group(jumps)
    firsts = {index: _first_packets(stream, groups, index) for index, stream in streams.items()}
    contradicted = [_is_contradicted(streams, firsts, number, group) for number, group in enumerate(groups)]
    offsets_s, starts_s = _Offsets(streams=streams, firsts=firsts, groups=groups, contradicted=contradicted).find()
    restarts = tuple(
        Restart(
            position=min(jump.position for jump in group),
            start_s=starts_s[number],
            begins_recording=not contradicted[number],
            is_out_of_step=max(offsets_s[number].values()) - min(offsets_s[number].values()) > JUMP_S,
        )
        for number, group in enumerate(groups)
    )
    offsets = {index: [offsets_s[number][index] for number in range(len(groups))] for index in streams}
    return restarts, {index: _stream_clock(streams[index], firsts[index], offsets[index]) for index in streams}


def _stream_clock(stream: TimedStream, firsts: list[int], offsets_s: list[float]) -> StreamClock:
    inside = [number for number, first in enumerate(firsts) if first < len(stream.packets)]
    ticks = [round(offsets_s[number] / stream.packets.tick_s) for number in inside]
    packets, times = stream.packets, stream.times
    return StreamClock(
        positions=tuple(int(packets.positions[firsts[number]]) for number in inside),
        offsets=tuple(ticks),
        begins=tuple(int(times.dts[firsts[n]]) + offset for n, offset in zip(inside, ticks, strict=True)),
        repairs={
            (int(packets.positions[index]), int(packets.stored_dts[index]), int(packets.stored_pts[index])): (
                int(times.dts[index]),
                int(times.pts[index]),
            )
            for index in times.repaired
        },
    )


def _jumps(streams: Streams, index: int, may_jump_ahead: bool) -> list[_Jump]:
    """Return the restarts of the clock of one stream."""
    packets, times = streams[index].packets, streams[index].times
    jumps_s = times.jumps * packets.tick_s
    is_back = (jumps_s < -JUMP_S) & times.runs_back
    is_ahead = (jumps_s > AHEAD_S) & may_jump_ahead
    jumps = []
    for packet in map(int, np.flatnonzero(is_back | is_ahead)):
        if is_ahead[packet] and _another_stream_leads_to(streams, index, packet):
            continue
        jumps.append(
            _Jump(
                stream=index,
                packet=packet,
                after=int(packets.positions[packet - 1]),
                position=int(packets.positions[packet]),
                seconds=float(jumps_s[packet]),
            )
        )
    return jumps


def _jumps_between_streams(streams: Streams, may_jump_ahead: bool) -> list[_Jump]:
    """Return the restarts at which a recording has streams of its own, which begin where those before them end."""
    jumps = []
    for index, stream in streams.items():
        before = [other for other in streams.values() if takes_part_of(stream.packets, other.packets)]
        if not before:
            continue
        latest = max(before, key=lambda other: int(other.packets.positions[-1]))
        end_s = float((latest.times.dts[-1] + latest.times.steps[-1]) * latest.packets.tick_s)
        seconds = float(stream.times.dts[0] * stream.packets.tick_s) - end_s
        if seconds < -JUMP_S or (may_jump_ahead and seconds > AHEAD_S):
            jumps.append(
                _Jump(
                    stream=index,
                    packet=0,
                    after=int(latest.packets.positions[-1]),
                    position=int(stream.packets.positions[0]),
                    seconds=seconds,
                )
            )
    return jumps


def takes_part_of(later: StreamPackets, earlier: StreamPackets) -> bool:
    """Return whether a stream is of the kind of another and begins in the file where that has ended."""
    return later.is_video == earlier.is_video and bool(later.positions[0] > earlier.positions[-1])


def _another_stream_leads_to(streams: Streams, index: int, packet: int) -> bool:
    """Return whether the latest packet of another stream ends shortly before this one: then the stream had a pause."""
    stream = streams[index]
    order = stream.packets.orders[packet]
    time_s = float(stream.times.dts[packet] * stream.packets.tick_s)
    for other_index, other in streams.items():
        latest = int(np.searchsorted(other.packets.orders, order)) - 1
        if other_index == index or latest < 0:
            continue
        end_s = float((other.times.dts[latest] + other.times.steps[latest]) * other.packets.tick_s)
        recent = other.times.jumps[max(0, latest - MAX_REORDERED) : latest + 1]
        has_just_jumped = bool((recent * other.packets.tick_s > AHEAD_S).any())
        if -JUMP_S < time_s - end_s < AHEAD_S and not has_just_jumped:
            return True
    return False


def _group(jumps: list[_Jump]) -> list[list[_Jump]]:
    """Return the jumps of different streams that can be one restart together, in the order of the file.

    Jumps belong together if their stretches of the file overlap. A stream that has no packet in a recording jumps once
    over two restarts, and belongs to the second of them.
    """
    groups: list[list[_Jump]] = []  # the last one of the file first
    lows: list[int] = []  # minus the byte behind which each group lies; ascending
    for jump in sorted(jumps, key=lambda jump: (jump.after, jump.position), reverse=True):
        for group in groups[bisect_left(lows, -jump.position + 1) :]:
            high = min(other.position for other in group)
            if jump.after < high and all(jump.stream != other.stream for other in group):
                group.append(jump)
                break
        else:
            groups.append([jump])
            lows.append(-jump.after)
    return sorted(groups, key=lambda group: min(jump.position for jump in group))


def _first_packets(stream: TimedStream, groups: list[list[_Jump]], index: int) -> list[int]:
    """Return the stream's first packet of each recording after the first; its number of packets where it has none."""
    firsts: list[int] = []
    for group in groups:
        own = [jump.packet for jump in group if jump.stream == index]
        first = own[0] if own else _first_behind(stream, group)
        firsts.append(max(first, firsts[-1]) if firsts else first)
    return firsts


def _first_behind(stream: TimedStream, group: list[_Jump]) -> int:
    """Return where a stream passes a restart that is no jump of its own clock."""
    known_before = int(np.searchsorted(stream.reached, max(jump.after for jump in group), "right"))
    known_behind = int(np.searchsorted(stream.reached, min(jump.position for jump in group)))
    if known_before == 0:  # the stream begins behind the last packet of the recording before
        return 0
    if known_before >= known_behind or known_behind >= len(stream.packets):
        return known_behind
    jumps = np.abs(stream.times.jumps[known_before : known_behind + 1])
    is_jump = jumps.max() * stream.packets.tick_s > JUMP_S / 2
    return known_before + int(np.argmax(jumps)) if is_jump else known_behind


@dataclass(frozen=True, kw_only=True)
class _Offsets:
    """Works out what is added to the timestamps after each restart."""

    streams: Streams
    firsts: Mapping[int, list[int]]  # first packet of each stream after each restart, by number of the stream
    groups: list[list[_Jump]]  # the jumps of each restart
    contradicted: list[bool]  # for each restart: the clock of another stream goes on

    def find(self) -> tuple[list[dict[int, float]], list[float]]:
        """Return the seconds to add after each restart by number of the stream, and when each restart takes effect.

        A recording begins where all before it end. Where only some clocks jump, each of them goes on by itself.
        """
        zero = dict.fromkeys(self.streams, 0.0)
        offsets, offsets_s, starts = zero, [], []
        _, end_s = self._edges(0, offsets)
        for number, group in enumerate(self.groups):
            if self.contradicted[number]:
                offsets = offsets | {jump.stream: offsets[jump.stream] - jump.seconds for jump in group}
            else:
                start_s, _ = self._edges(number + 1, zero)
                offsets = dict.fromkeys(self.streams, end_s - start_s if np.isfinite(end_s - start_s) else 0.0)
            start_s, part_end_s = self._edges(number + 1, offsets)
            starts.append(min(start_s, end_s))
            end_s = max(end_s, part_end_s)
            offsets_s.append(offsets)
        return offsets_s, starts

    def _edges(self, part: int, offsets: Mapping[int, float]) -> tuple[float, float]:
        """Return when the first stream begins and the last one ends between two restarts, with offsets added."""
        start_s, end_s = np.inf, -np.inf
        for index, stream in self.streams.items():
            low = 0 if part == 0 else self.firsts[index][part - 1]
            stop = self.firsts[index][part] if part < len(self.groups) else len(stream.packets)
            if stop > low:
                times, tick_s = stream.times, stream.packets.tick_s
                last = slice(max(low, stop - MAX_REORDERED), stop)
                start_s = min(
                    start_s, float(times.pts[low : min(stop, low + MAX_REORDERED)].min() * tick_s) + offsets[index]
                )
                end_s = max(end_s, float((times.pts[last] + times.steps[last]).max() * tick_s) + offsets[index])
        return start_s, end_s


def _is_contradicted(streams: Streams, firsts: Mapping[int, list[int]], number: int, group: list[_Jump]) -> bool:
    """Return whether another stream goes on at a restart as if there were none."""
    for index, stream in streams.items():
        first = firsts[index][number]
        if 0 < first < len(stream.packets) and all(jump.stream != index for jump in group):
            own_s = float(stream.times.jumps[first] * stream.packets.tick_s)
            if abs(own_s) < JUMP_S and all(abs(jump.seconds - own_s) > _CONTRADICTION_S for jump in group):
                return True
    return False


def stored_key(position: int, dts: int | None, pts: int | None) -> StoredKey:
    """Return what identifies a packet with a wrong timestamp in `StreamClock.repairs`."""
    return position, NO_TIME if dts is None else dts, NO_TIME if pts is None else pts
