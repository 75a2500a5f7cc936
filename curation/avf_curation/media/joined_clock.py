"""Continues the clock of a file that was joined from several, as `cat a.ts b.ts` does.

The rules are those of the ffmpeg program (`-dts_delta_threshold`): where the clock of a stream jumps, the clock of the
file goes on as if it had not, for all of its streams.
"""

from dataclasses import dataclass, field
from typing import Any

_BACK_S = 0.1  # ffmpeg: a clock that runs back by more than this was started again
_AHEAD_S = 10.0  # ffmpeg's dts_delta_threshold, in formats that may be joined
_TS_DISCONT = 0x200  # AVFMT_TS_DISCONT: MPEG program and transport streams


@dataclass(frozen=True, kw_only=True)
class Restart:
    """A point of a file where the clock starts again."""

    position: int  # byte of the file at which the first packet with the new clock was found; -1: unknown
    offset_s: float  # to add to the timestamps from here on


@dataclass(kw_only=True)
class _StreamClock:
    """How far one stream has come."""

    tick_s: float  # of the stream's timestamps
    expected_s: float | None = None  # timestamp of the next packet, as stored
    position: int = -1  # of the latest packet in the file
    used: int = 0  # number of restarts that the stream has passed


def may_be_joined(container: Any) -> bool:
    """Return whether the format of a container is one whose files may be joined byte by byte."""
    return bool(int(container.format.flags) & _TS_DISCONT)


@dataclass(kw_only=True)
class JoinedClock:
    """Moves the timestamps of packets so that each stream goes on after a restart."""

    may_jump_ahead: bool  # the format is one whose files may be joined: a long jump ahead is a restart
    restarts: list[Restart] = field(default_factory=list)  # those found so far, or by an earlier pass
    _streams: dict[int, _StreamClock] = field(default_factory=dict)  # by number of the stream

    def adjust(self, packet: Any) -> bool:
        """Move the timestamps of a packet in place. Return whether the clock starts again with this packet."""
        clock = self._streams.get(packet.stream_index)
        if clock is None:
            clock = self._streams[packet.stream_index] = _StreamClock(tick_s=float(packet.time_base))
        tick_s = clock.tick_s
        jumped = False
        if packet.dts is not None:  # times of presentation run back wherever frames are reordered
            stored_s = packet.dts * tick_s
            jump_s = 0.0 if clock.expected_s is None else stored_s - clock.expected_s
            jumped = jump_s < -_BACK_S or (self.may_jump_ahead and jump_s > _AHEAD_S)
            if jumped:
                self._pass_restart(clock, packet.pos, jump_s)
            clock.expected_s = stored_s + (packet.duration or 0) * tick_s
            clock.position = clock.position if packet.pos is None else packet.pos
        if clock.used:
            ticks = round(self.restarts[clock.used - 1].offset_s / tick_s)
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks
        return jumped

    def _pass_restart(self, clock: _StreamClock, position: int | None, jump_s: float) -> None:
        """Take the restart that another stream has found after this stream's latest packet, or note a new one."""
        offset_s = self.restarts[clock.used - 1].offset_s if clock.used else 0.0
        for number in range(clock.used, len(self.restarts)):
            if self.restarts[number].position < 0 or self.restarts[number].position > clock.position:
                clock.used = number + 1
                return
        self.restarts.append(Restart(position=-1 if position is None else position, offset_s=offset_s - jump_s))
        clock.used = len(self.restarts)
