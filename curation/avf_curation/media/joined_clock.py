"""Continues the clock of a file that was joined from several, as `cat a.ts b.ts` does.

Where the clock of one stream starts again, another recording begins, and all of the file behind that byte belongs to
it. The recording begins where the one before it ends, with the longer of its picture and its sound. (ffmpeg continues
the stream whose packet comes first, which puts the new recording over the rest of the old one's sound.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avf_curation.media.clock_glitches import AHEAD_S, JUMP_S, ContinuousTimes, repair_glitches
from avf_curation.media.packet_table import NO_TIME, StreamPackets, Ticks
from avf_curation.media.presentation_times import MAX_REORDERED

_CONTRADICTION_S = 0.5  # a stream that goes on where another jumps by more than this belongs to no joined file


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A point of a file where the clock of some stream starts again."""

    position: int  # byte of the file
    #: Another recording begins. False: the clock of another stream goes on, as in no joined file.
    begins_recording: bool = True
    #: How picture and sound belong together is not known from here to the next restart: one clock jumped alone.
    is_out_of_step: bool = False


@dataclass(frozen=True, kw_only=True)
class StreamClock:
    """How the timestamps of one stream are changed, in its ticks."""

    positions: tuple[int, ...] = ()  # byte of the stream's first packet after each restart
    offsets: tuple[int, ...] = ()  # to add to the timestamps after each restart
    begins: tuple[int, ...] = ()  # continued time of decoding of the first packet after each restart
    #: New (dts, pts) of packets with wrong timestamps, before the offset, by (position, stored dts, stored pts).
    repairs: Mapping[tuple[int, int, int], tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Jump:
    """A restart of the clock of one stream."""

    stream: int
    packet: int  # the first packet with the new clock
    after: int  # byte of the last packet with the old clock
    position: int  # byte of the first packet with the new clock
    seconds: float


def continue_clock(
    streams: Mapping[int, StreamPackets], may_jump_ahead: bool
) -> tuple[tuple[Restart, ...], dict[int, StreamClock]]:
    """Return where other recordings begin, and how the timestamps of each stream are changed so that all go on.

    Args:
        streams: the packets by number of the stream.
        may_jump_ahead: a jump of more than ten seconds ahead, of all streams, is a restart as well.
    """
    times = {index: repair_glitches(packets) for index, packets in streams.items()}
    jumps = [jump for index in streams for jump in _jumps(streams, times, index, may_jump_ahead)]
    jumps += _jumps_between_streams(streams, times, may_jump_ahead)
    groups = _group(jumps)
    firsts = {index: _first_packets(streams[index], times[index], groups, index) for index in streams}
    contradicted = [_is_contradicted(streams, times, firsts, number, group) for number, group in enumerate(groups)]
    offsets_s = _Offsets(streams=streams, times=times, firsts=firsts, groups=groups, contradicted=contradicted).find()
    restarts = tuple(
        Restart(
            position=min(jump.position for jump in group),
            begins_recording=not contradicted[number],
            is_out_of_step=max(offsets_s[number].values()) - min(offsets_s[number].values()) > JUMP_S,
        )
        for number, group in enumerate(groups)
    )
    clocks = {}
    for index, packets in streams.items():
        inside = [number for number, first in enumerate(firsts[index]) if first < len(packets)]
        clocks[index] = StreamClock(
            positions=tuple(int(packets.positions[firsts[index][number]]) for number in inside),
            offsets=tuple(round(offsets_s[number][index] / packets.tick_s) for number in inside),
            begins=tuple(
                int(times[index].dts[firsts[index][number]]) + round(offsets_s[number][index] / packets.tick_s)
                for number in inside
            ),
            repairs=_repairs(packets, times[index]),
        )
    return restarts, clocks


def _jumps(
    streams: Mapping[int, StreamPackets], times: Mapping[int, ContinuousTimes], index: int, may_jump_ahead: bool
) -> list[_Jump]:
    """Return the restarts of the clock of one stream."""
    packets, tick_s = streams[index], streams[index].tick_s
    jumps_s = times[index].jumps() * tick_s
    is_back = jumps_s < -JUMP_S
    is_ahead = (jumps_s > AHEAD_S) & may_jump_ahead
    found = []
    for packet in map(int, np.flatnonzero(is_back | is_ahead)):
        if is_ahead[packet] and _another_stream_leads_to(streams, times, index, packet):
            continue
        found.append(
            _Jump(
                stream=index,
                packet=packet,
                after=int(packets.positions[packet - 1]),
                position=int(packets.positions[packet]),
                seconds=float(jumps_s[packet]),
            )
        )
    return found


def _jumps_between_streams(
    streams: Mapping[int, StreamPackets], times: Mapping[int, ContinuousTimes], may_jump_ahead: bool
) -> list[_Jump]:
    """Return the restarts at which a recording has streams of its own, which begin where those before them end."""
    found = []
    for index, packets in streams.items():
        before = [other for other in streams if takes_part_of(packets, streams[other])]
        if not before:
            continue
        latest = max(before, key=lambda other: int(streams[other].positions[-1]))
        end_s = float((times[latest].dts[-1] + times[latest].steps[-1]) * streams[latest].tick_s)
        seconds = float(times[index].dts[0] * packets.tick_s) - end_s
        if seconds < -JUMP_S or (may_jump_ahead and seconds > AHEAD_S):
            found.append(
                _Jump(
                    stream=index,
                    packet=0,
                    after=int(streams[latest].positions[-1]),
                    position=int(packets.positions[0]),
                    seconds=seconds,
                )
            )
    return found


def takes_part_of(later: StreamPackets, earlier: StreamPackets) -> bool:
    """Return whether a stream is of the kind of another and begins in the file where that has ended."""
    return later.is_video == earlier.is_video and bool(later.positions[0] > earlier.positions[-1])


def _another_stream_leads_to(
    streams: Mapping[int, StreamPackets], times: Mapping[int, ContinuousTimes], index: int, packet: int
) -> bool:
    """Return whether the latest packet of another stream ends shortly before this one: then the stream had a pause."""
    order = streams[index].orders[packet]
    time_s = float(times[index].dts[packet] * streams[index].tick_s)
    for other, packets in streams.items():
        latest = int(np.searchsorted(packets.orders, order)) - 1
        if other != index and latest >= 0:
            end_s = float((times[other].dts[latest] + times[other].steps[latest]) * packets.tick_s)
            if -JUMP_S < time_s - end_s < AHEAD_S and not _just_jumped(times[other], latest, packets.tick_s):
                return True
    return False


def _just_jumped(times: ContinuousTimes, latest: int, tick_s: float) -> bool:
    """Return whether the clock of a stream jumped ahead within its last 32 packets."""
    return bool((times.jumps()[max(0, latest - MAX_REORDERED) : latest + 1] * tick_s > AHEAD_S).any())


def _group(jumps: list[_Jump]) -> list[list[_Jump]]:
    """Return the jumps of different streams that can be one restart together, in the order of the file.

    Jumps belong together if their stretches of the file overlap. A stream that has no packet in a recording jumps once
    over two restarts, and belongs to the second of them.
    """
    groups: list[list[_Jump]] = []  # the last one of the file first
    for jump in sorted(jumps, key=lambda jump: (jump.after, jump.position), reverse=True):
        for group in groups:
            low, high = max(other.after for other in group), min(other.position for other in group)
            if low < jump.position and jump.after < high and all(jump.stream != other.stream for other in group):
                group.append(jump)
                break
        else:
            groups.append([jump])
    return sorted(groups, key=lambda group: min(jump.position for jump in group))


def _first_packets(packets: StreamPackets, times: ContinuousTimes, groups: list[list[_Jump]], index: int) -> list[int]:
    """Return the stream's first packet of each recording after the first; its number of packets where it has none."""
    firsts: list[int] = []
    for group in groups:
        own = [jump.packet for jump in group if jump.stream == index]
        if own:
            first = own[0]
        else:
            position = min(jump.position for jump in group)
            first = int(np.searchsorted(np.maximum.accumulate(packets.positions), position))
            first = _largest_jump(packets, times, max(jump.after for jump in group), first)
        firsts.append(max(first, firsts[-1]) if firsts else first)
    return firsts


def _largest_jump(packets: StreamPackets, times: ContinuousTimes, after: int, first: int) -> int:
    """Return where a stream passes a restart that is no jump of its own clock.

    Args:
        after: byte of the last packet that is known to lie before the restart.
        first: the stream's first packet that is known to lie behind it.
    """
    low = int(np.searchsorted(np.maximum.accumulate(packets.positions), after, "right"))
    if low >= first or first >= len(packets):
        return first
    jumps = np.abs(times.jumps()[low : first + 1])
    return low + int(np.argmax(jumps)) if jumps.max() * packets.tick_s > JUMP_S / 2 else first


@dataclass(frozen=True, kw_only=True)
class _Offsets:
    """Works out what is added to the timestamps after each restart."""

    streams: Mapping[int, StreamPackets]  # by number of the stream, as the next ones
    times: Mapping[int, ContinuousTimes]
    firsts: Mapping[int, list[int]]  # first packet of the stream after each restart
    groups: list[list[_Jump]]  # the jumps of each restart
    contradicted: list[bool]  # for each restart: the clock of another stream goes on

    def find(self) -> list[dict[int, float]]:
        """Return the seconds to add after each restart by number of the stream.

        A recording begins where all before it end. Where only some clocks jump, each of them goes on by itself.
        """
        offsets = dict.fromkeys(self.streams, 0.0)
        _, end_s = self._edges(0, offsets)
        found = []
        for number, group in enumerate(self.groups):
            if self.contradicted[number]:
                offsets = offsets | {jump.stream: offsets[jump.stream] - jump.seconds for jump in group}
            else:
                start_s, _ = self._edges(number + 1, dict.fromkeys(self.streams, 0.0))
                offsets = dict.fromkeys(self.streams, end_s - start_s if np.isfinite(end_s - start_s) else 0.0)
            end_s = max(end_s, self._edges(number + 1, offsets)[1])
            found.append(offsets)
        return found

    def _edges(self, part: int, offsets: Mapping[int, float]) -> tuple[float, float]:
        """Return when the first stream begins and the last one ends between two restarts, with offsets added."""
        start_s, end_s = np.inf, -np.inf
        for index, packets in self.streams.items():
            low = 0 if part == 0 else self.firsts[index][part - 1]
            stop = self.firsts[index][part] if part < len(self.groups) else len(packets)
            if stop > low:
                pts = presentation_times(packets, self.times[index])[low:stop]
                ends = (pts + self.times[index].steps[low:stop])[-MAX_REORDERED:]
                start_s = min(start_s, float(pts[:MAX_REORDERED].min() * packets.tick_s) + offsets[index])
                end_s = max(end_s, float(ends.max() * packets.tick_s) + offsets[index])
        return start_s, end_s


def presentation_times(packets: StreamPackets, times: ContinuousTimes) -> Ticks:
    """Return the times of presentation of a stream, (packets,) in ticks; wrong ones are those of decoding."""
    pts = packets.stored_pts.copy()
    late = pts - times.dts
    usual = int(np.median(late[pts != NO_TIME])) if (pts != NO_TIME).any() else 0
    is_wrong = (pts == NO_TIME) | (np.abs(late - usual) * packets.tick_s > AHEAD_S / 10)
    return np.where(is_wrong, times.dts + usual, pts)


def _is_contradicted(
    streams: Mapping[int, StreamPackets],
    times: Mapping[int, ContinuousTimes],
    firsts: Mapping[int, list[int]],
    number: int,
    group: list[_Jump],
) -> bool:
    """Return whether another stream goes on at a restart as if there were none."""
    for index, packets in streams.items():
        first = firsts[index][number]
        if 0 < first < len(packets) and all(jump.stream != index for jump in group):
            own_s = float(times[index].jumps()[first] * packets.tick_s)
            if abs(own_s) < JUMP_S and all(abs(jump.seconds - own_s) > _CONTRADICTION_S for jump in group):
                return True
    return False


def _repairs(packets: StreamPackets, times: ContinuousTimes) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Return the new (dts, pts) of packets with wrong timestamps by (position, stored dts, stored pts)."""
    repairs = {}
    late = packets.stored_pts - packets.stored_dts
    good = late[(packets.stored_pts != NO_TIME) & (packets.stored_dts != NO_TIME)]
    longest = int(np.percentile(good, 99)) if len(good) else 0
    for index in times.glitches:
        dts, stored_dts, stored_pts = (
            int(times.dts[index]),
            int(packets.stored_dts[index]),
            int(packets.stored_pts[index]),
        )
        pts = stored_pts
        if pts == NO_TIME or not 0 <= pts - dts <= longest:  # the time of presentation is wrong, too
            moved = stored_pts - stored_dts
            pts = dts + (moved if 0 <= moved <= longest else 0)
        repairs[int(packets.positions[index]), stored_dts, stored_pts] = dts, pts
    return repairs
