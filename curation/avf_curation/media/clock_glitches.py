"""Finds packets whose timestamp is wrong although the clock before and after them goes on: a flipped bit, for example.

ffmpeg takes each such timestamp for two restarts of the clock. Here the packet gets the time that its neighbours leave
for it, and nothing else moves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from avf_curation.media.packet_table import NO_TIME, StreamPackets, Ticks

JUMP_S = 0.1  # ffmpeg: a clock that runs back by more than this was started again
AHEAD_S = 10.0  # ffmpeg's dts_delta_threshold, in formats that may be joined
_MAX_GLITCH_S = 2.0  # a longer run of packets has a clock of its own
_WRONG_PTS_S = 1.0  # no frame waits so much longer, or shorter, than usual between decoding and presentation


@dataclass(kw_only=True, eq=False)
class ContinuousTimes:
    """The times of one stream in its ticks, without gaps; all arrays have the shape (packets,)."""

    dts: Ticks  # when a packet is decoded
    pts: Ticks  # when its frame is presented
    steps: Ticks  # from a packet to where the next one is expected
    jumps: Ticks  # by how much a packet is decoded later than expected; 0 for the first
    runs_back: npt.NDArray[np.bool_]  # a packet is decoded before the one in front of it
    repaired: list[int]  # packets with a wrong stored timestamp, ascending


def repair_glitches(packets: StreamPackets, has_stored_dts: bool) -> ContinuousTimes:
    """Return the times of a stream, with those that contradict their neighbours on both sides replaced.

    Args:
        has_stored_dts: the format stores times of decoding. Where it does not, FFmpeg makes them up, and behind a join
            they run back with each frame that is reordered.
    """
    dts = _stored_times(packets) if has_stored_dts else _decoding_order(packets)
    steps = _steps(dts, packets.durations)
    _fill_missing(dts, steps)
    repaired: set[int] = set()
    if has_stored_dts or not packets.is_video:
        repaired = _repair_dts(dts, steps, packets)
    jumps = np.concatenate([np.zeros(1, np.int64), dts[1:] - dts[:-1] - steps[:-1]])
    pts, wrong = _presentation(packets, dts, repaired, has_stored_dts)
    return ContinuousTimes(
        dts=dts,
        pts=pts,
        steps=steps,
        jumps=jumps,
        runs_back=np.diff(dts, prepend=dts[:1]) < 0,
        repaired=sorted(repaired | wrong),
    )


def _stored_times(packets: StreamPackets) -> Ticks:
    has_dts = bool((packets.stored_dts != NO_TIME).any())
    return (packets.stored_dts if has_dts else packets.stored_pts).copy()


def _decoding_order(packets: StreamPackets) -> Ticks:
    """Return times that ascend wherever the clock goes on: the latest time of presentation since the last key frame.

    In decoding order, a key frame is presented after all frames in front of it, with or without reordering.
    """
    times = packets.stored_pts.copy()
    inner = times[1:-1]
    second = round(1 / packets.tick_s)
    known = (times[:-2] != NO_TIME) & (times[2:] != NO_TIME)
    limit = np.maximum(times[:-2], times[2:]) + second
    np.copyto(inner, np.minimum(inner, limit), where=known & ~packets.is_key[1:-1])  # a lone time far ahead is wrong
    edges = [0, *map(int, np.flatnonzero(packets.is_key[1:]) + 1), len(times)]
    for start, stop in zip(edges, edges[1:], strict=False):
        if stop > start + 1:
            times[start:stop] = np.maximum.accumulate(times[start:stop])
    return times


def _steps(dts: Ticks, durations: Ticks) -> Ticks:
    """Return the declared duration of each packet, or the usual step of the stream where none or an absurd one is."""
    known = np.flatnonzero(dts != NO_TIME)
    if len(known) < 2:
        return durations.copy()
    steps = np.diff(dts[known]) / np.diff(known)  # units of several packets have one timestamp
    positive = steps[steps > 0]
    usual = max(1, round(float(np.median(positive)))) if len(positive) else 1
    return np.where((durations > 0) & (durations <= 2 * usual), durations, usual)


def _fill_missing(dts: Ticks, steps: Ticks) -> None:
    """Give packets without a time of decoding the one that follows from the packet before, or behind, in place."""
    known = np.flatnonzero(dts != NO_TIME)
    if not len(known):
        dts[:] = np.cumsum(steps) - steps
        return
    for index in reversed(range(known[0])):
        dts[index] = dts[index + 1] - steps[index]
    for index in map(int, np.flatnonzero(dts == NO_TIME)):
        dts[index] = dts[index - 1] + steps[index - 1]


def _repair_dts(dts: Ticks, steps: Ticks, packets: StreamPackets) -> set[int]:
    """Replace times of decoding that the clock around them contradicts, in place. Return their packets."""
    threshold = round(JUMP_S / packets.tick_s)
    elapsed = np.cumsum(steps) - steps  # from the first packet, where the clock goes on
    jumps = dts[1:] - dts[:-1] - steps[:-1]
    candidates = np.flatnonzero(np.abs(jumps) > threshold) + 1
    repaired: set[int] = set()
    for number, index in enumerate(map(int, candidates)):
        if index in repaired or index - 1 in repaired:  # the return from a glitch
            continue
        stop = _end_of_glitch(dts, elapsed, index, candidates[number + 1 : number + 65], packets.tick_s)
        for glitch in range(index, stop):
            dts[glitch] = dts[glitch - 1] + steps[glitch - 1]
        repaired.update(range(index, stop))
        if stop > index or not (dts[index] < dts[index - 1] or jumps[index - 1] * packets.tick_s > AHEAD_S):
            continue
        # Nothing confirms the clock in front of the first unit, or behind the last one: these are single units.
        if packets.positions[index - 1] == packets.positions[0] != packets.positions[-1]:
            for glitch in reversed(range(index)):
                dts[glitch] = dts[glitch + 1] - steps[glitch]
            repaired.update(range(index))
        elif packets.positions[index] == packets.positions[-1] != packets.positions[0]:
            for glitch in range(index, len(dts)):
                dts[glitch] = dts[glitch - 1] + steps[glitch - 1]
            repaired.update(range(index, len(dts)))
    return repaired


def _end_of_glitch(dts: Ticks, elapsed: Ticks, first: int, later_jumps: Ticks, tick_s: float) -> int:
    """Return the packet at which the clock from before `first` goes on; `first` where it does not within 2 seconds."""
    starts_back = dts[first] < dts[first - 1]
    for stop in map(int, later_jumps):
        expected = dts[first - 1] + elapsed[stop] - elapsed[first - 1]
        if (elapsed[stop] - elapsed[first]) * tick_s > _MAX_GLITCH_S:
            break
        # A clock that only ever goes on, fast or slow, is right.
        if not starts_back and dts[stop] >= dts[stop - 1]:
            continue
        if abs(dts[stop] - expected) * tick_s <= JUMP_S / 2 and _goes_on(dts, elapsed, stop, tick_s):
            return stop
    return first


def _goes_on(dts: Ticks, elapsed: Ticks, index: int, tick_s: float) -> bool:
    """Return whether the packet after `index`, if there is any, follows it."""
    if index + 1 >= len(dts):
        return True
    late = dts[index + 1] - dts[index] - (elapsed[index + 1] - elapsed[index])
    return bool(abs(late) * tick_s <= JUMP_S)


def _presentation(
    packets: StreamPackets, dts: Ticks, repaired: set[int], has_stored_dts: bool
) -> tuple[Ticks, set[int]]:
    """Return the times of presentation, (packets,), and the packets whose stored one contradicts their decoding."""
    pts = packets.stored_pts.copy()
    if not has_stored_dts:
        return np.where(pts == NO_TIME, dts, pts), set()
    for index in repaired:  # of the stored time, what the bit that moved both leaves; else that of decoding
        moved = packets.stored_dts[index]
        if pts[index] != NO_TIME and moved != NO_TIME:
            pts[index] = _closer(int(pts[index]), int(pts[index] - moved + dts[index]), int(dts[index]))
    late = pts - dts
    known = pts != NO_TIME
    usual = int(np.median(late[known])) if known.any() else 0
    is_wrong = known & (np.abs(late - usual) * packets.tick_s > _WRONG_PTS_S)
    return np.where(is_wrong | ~known, dts + usual, pts), set(map(int, np.flatnonzero(is_wrong)))


def _closer(first: int, second: int, dts: int) -> int:
    """Return which of two times of presentation comes sooner after the time of decoding."""
    return min((first, second), key=lambda pts: (pts < dts, abs(pts - dts)))
