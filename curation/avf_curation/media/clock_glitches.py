"""Finds packets whose timestamp is wrong although the clock before and after them goes on: a flipped bit, for example.

ffmpeg takes each such timestamp for two restarts of the clock. Here the packet gets the time that its neighbours leave
for it, and nothing else moves.
"""

from dataclasses import dataclass

import numpy as np

from avf_curation.media.packet_table import NO_TIME, StreamPackets, Ticks

JUMP_S = 0.1  # ffmpeg: a clock that runs back by more than this was started again
AHEAD_S = 10.0  # ffmpeg's dts_delta_threshold, in formats that may be joined
_MAX_GLITCH_S = 2.0  # a longer run of packets has a clock of its own
_MAX_GLITCH_PACKETS = 8  # at the start and the end of a stream, where no clock before or after confirms it


@dataclass(kw_only=True)
class ContinuousTimes:
    """The times of decoding of one stream without gaps, and which of them are not those of the file."""

    dts: Ticks  # (packets,) in ticks
    steps: Ticks  # (packets,) from a packet to where the next is expected
    glitches: list[int]  # packets whose stored timestamp is wrong, ascending

    def jumps(self) -> Ticks:
        """Return by how many ticks each packet is later than expected; 0 for the first."""
        return np.concatenate([np.zeros(1, np.int64), self.dts[1:] - self.dts[:-1] - self.steps[:-1]])


def repair_glitches(packets: StreamPackets) -> ContinuousTimes:
    """Return the times of decoding, with those that contradict their neighbours on both sides replaced."""
    has_dts = bool((packets.stored_dts != NO_TIME).any())
    dts = (packets.stored_dts if has_dts else packets.stored_pts).copy()
    steps = _steps(dts, packets.durations)
    _fill_missing(dts, steps)
    times = ContinuousTimes(dts=dts, steps=steps, glitches=[])
    threshold = JUMP_S / packets.tick_s
    repaired: set[int] = set()
    jumps = np.flatnonzero(np.abs(times.jumps()) > threshold)
    for number, index in enumerate(map(int, jumps)):
        if index not in repaired and index - 1 not in repaired:  # else this is the return from a glitch
            repaired.update(_repair_at(times, index, jumps[number + 1 :], threshold))
    times.glitches = sorted(repaired)
    return times


def _repair_at(times: ContinuousTimes, jump_index: int, later_jumps: Ticks, threshold: float) -> range:
    """Repair the glitch at a jump of the clock, in place; return its packets, none where the jump is no glitch."""
    dts, steps = times.dts, times.steps
    glitch = range(jump_index, _end_of_glitch(times, jump_index, later_jumps, threshold))
    jump = int(dts[jump_index] - dts[jump_index - 1] - steps[jump_index - 1])
    is_restart = jump < -threshold or jump > AHEAD_S / JUMP_S * threshold
    if not glitch and is_restart and jump_index <= _MAX_GLITCH_PACKETS < len(dts) // 2:
        glitch = range(jump_index)  # the stream begins with it
        for index in reversed(glitch):
            dts[index] = dts[index + 1] - steps[index]
        return glitch
    if not glitch and is_restart and len(dts) - jump_index <= _MAX_GLITCH_PACKETS < len(dts) // 2:
        glitch = range(jump_index, len(dts))  # the stream ends with it
    for index in glitch:
        dts[index] = dts[index - 1] + steps[index - 1]
    return glitch


def _steps(dts: Ticks, durations: Ticks) -> Ticks:
    """Return the declared duration of each packet, or the usual step of the stream where none or an absurd one is."""
    differences = np.diff(dts[dts != NO_TIME])
    positive = differences[differences > 0]
    usual = int(np.median(positive)) if len(positive) else 0
    return np.where((durations > 0) & (durations <= 2 * max(1, usual)), durations, usual)


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


def _end_of_glitch(times: ContinuousTimes, first: int, later_jumps: Ticks, threshold: float) -> int:
    """Return the packet at which the clock from before `first` goes on; `first` where it does not within 2 seconds."""
    dts, steps = times.dts, times.steps
    start = dts[first - 1] + steps[first - 1]
    for stop in map(int, later_jumps):
        expected = start + steps[first:stop].sum()
        if expected - start > _MAX_GLITCH_S / JUMP_S * threshold:
            break
        if abs(dts[stop] - expected) <= threshold / 2 and _goes_on(times, stop, threshold):
            return stop
    return first


def _goes_on(times: ContinuousTimes, index: int, threshold: float) -> bool:
    """Return whether the packet after `index`, if there is any, follows it."""
    if index + 1 >= len(times.dts):
        return True
    return bool(abs(times.dts[index + 1] - times.dts[index] - times.steps[index]) <= threshold)
