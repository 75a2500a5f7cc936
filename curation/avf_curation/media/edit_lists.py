"""Finds the edits of MP4 and QuickTime files that FFmpeg plays otherwise than the file says.

An edit list tells for stretches of the presentation which media they show. FFmpeg plays the media from its beginning
where an edit shows nothing, and at normal speed where an edit lets a picture stand or changes the speed.
ISO/IEC 14496-12: 8.6.5 (edts), 8.6.6 (elst).
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from avf_curation.media.input_file import InputFile
from avf_curation.media.mp4_boxes import Mp4Box, walk_boxes

_CONTAINERS = frozenset({b"moov", b"trak", b"edts"})
_MAX_EDITS = 10_000  # of a track; what is behind them is played as FFmpeg plays it
_EMPTY = -1  # media time of an edit that shows nothing
_NORMAL_SPEED = 1 << 16
_TOLERANCE_S = 0.001  # FFmpeg rounds the ends of edits to ticks of the track


@dataclass(frozen=True, kw_only=True)
class Edit:
    """An entry of an edit list: a stretch of the presentation and what it shows."""

    begin_s: Fraction  # of the presentation
    end_s: Fraction
    media_time: int  # with which it begins, in ticks of the track; -1: it shows nothing
    speed: int  # 65,536: normal; 0: a picture stands

    @property
    def is_empty(self) -> bool:
        """Whether it shows nothing."""
        return self.media_time == _EMPTY


@dataclass(frozen=True, kw_only=True)
class TimeSpans:
    """Stretches of the presentation that follow each other and do not overlap, in seconds."""

    begins_s: tuple[float, ...]
    ends_s: tuple[float, ...]

    @classmethod
    def make(cls, spans: Iterable[tuple[Fraction, Fraction]]) -> "TimeSpans":
        """Return stretches of (begin, end) in ascending order, each earlier by what FFmpeg may round."""
        ordered = tuple(spans)
        return cls(
            begins_s=tuple(begin - _TOLERANCE_S for begin, _ in ordered),
            ends_s=tuple(end - _TOLERANCE_S for _, end in ordered),
        )

    def cover(self, time_s: Fraction) -> bool:
        """Return whether a time lies in a stretch. Each packet asks, and a track may have thousands of stretches."""
        latest = bisect_right(self.begins_s, time_s) - 1
        return latest >= 0 and time_s < self.ends_s[latest]


def read_edit_lists(file: InputFile) -> Mapping[int, tuple[Edit, ...]]:
    """Return the edits of each track that has some, by the number of the track. The file is rewound.

    Empty edits before all media are left out: they are a delay, which FFmpeg keeps.
    """
    ticks_per_s, track_id = 0, 0
    edits: dict[int, tuple[Edit, ...]] = {}
    for box in walk_boxes(file, _CONTAINERS):
        if box.kind == b"mvhd":
            ticks_per_s = _read_number(file, box, offset=20 if _has_long_times(file, box) else 12)
        elif box.kind == b"tkhd":
            track_id = _read_number(file, box, offset=20 if _has_long_times(file, box) else 12)
        elif box.kind == b"elst" and ticks_per_s:  # the headers of the file and of the track are written first
            edits[track_id] = _read_edits(file, box, ticks_per_s)
    file.seek(0)
    return {track: listed for track, listed in edits.items() if listed}


def misplayed_spans(edits: tuple[Edit, ...]) -> TimeSpans:
    """Return the stretches for which FFmpeg plays other media than the edits of a track say.

    The only edit that has media is played at normal speed, as FFmpeg and players do: nothing else of the film tells
    that its speed is meant, and with a speed of 0 all of it would be one still.
    """
    is_only = sum(not edit.is_empty for edit in edits) == 1
    return TimeSpans.make(
        (edit.begin_s, edit.end_s) for edit in edits if edit.is_empty or (edit.speed != _NORMAL_SPEED and not is_only)
    )


def _read_edits(file: InputFile, box: Mp4Box, ticks_per_s: int) -> tuple[Edit, ...]:
    time_bytes = 8 if _has_long_times(file, box) else 4
    entry_bytes = 2 * time_bytes + 4
    count = min(_read_number(file, box, offset=4), (box.stop - box.start - 8) // entry_bytes, _MAX_EDITS)
    file.seek(box.start + 8)
    data = file.read(max(0, count) * entry_bytes)
    edits: list[Edit] = []
    begin_s = Fraction(0)
    for start in range(0, len(data) - entry_bytes + 1, entry_bytes):
        entry = data[start : start + entry_bytes]
        end_s = begin_s + Fraction(int.from_bytes(entry[:time_bytes], "big"), ticks_per_s)
        edit = Edit(
            begin_s=begin_s,
            end_s=end_s,
            media_time=int.from_bytes(entry[time_bytes : 2 * time_bytes], "big", signed=True),
            speed=int.from_bytes(entry[2 * time_bytes :], "big", signed=True),
        )
        if edits or not edit.is_empty:
            edits.append(edit)
        begin_s = end_s
    return tuple(edits)


def _has_long_times(file: InputFile, box: Mp4Box) -> bool:
    """Return whether the times of a box have 64 bits: its version is 1."""
    file.seek(box.start)
    return file.read(1) == b"\1"


def _read_number(file: InputFile, box: Mp4Box, *, offset: int) -> int:
    file.seek(box.start + offset)
    return int.from_bytes(file.read(4), "big")
