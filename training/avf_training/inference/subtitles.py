"""Predictions of one video as subtitles: SubRip (.srt) and WebVTT (.vtt), a cue for each segment of one label."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from avf_training.inference.person_prediction import PersonPrediction
from avf_training.inference.prediction_kinds import VTT_NOTE
from avf_training.inference.timeline import label_segments, score_segments

# SubRip has no escapes: players take <...> and {...} for formatting, and `-->` for a line of times.
_SUBRIP_LOOKALIKES = str.maketrans("<>{}", "‹›()")


@dataclass(frozen=True, kw_only=True)
class _Cue:
    """A text that is shown for a time."""

    start_ms: int  # of the video's own time
    stop_ms: int  # of the video's own time
    text: str  # one line, not escaped


def as_subrip(people: Sequence[PersonPrediction]) -> str:
    """Return the predictions for the people of one video as SubRip. `<`, `>`, `{` and `}` become look-alikes."""
    blocks = []
    for number, cue in enumerate(_cues(people), 1):
        times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.stop_ms, ',')}"
        blocks.append(f"{number}\n{times}\n{cue.text.translate(_SUBRIP_LOOKALIKES)}\n")
    return "\n".join(blocks)


def as_webvtt(people: Sequence[PersonPrediction]) -> str:
    """Return the predictions for the people of one video as WebVTT."""
    blocks = ["WEBVTT\n", f"{VTT_NOTE}\n"]
    for cue in _cues(people):
        times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.stop_ms, '.')}"
        blocks.append(f"{times}\n{html.escape(cue.text, quote=False)}\n")
    return "\n".join(blocks)


def single_line(text: str) -> str:
    """Return a text without line breaks and control characters, which subtitles and XML cannot hold."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _cues(people: Sequence[PersonPrediction]) -> list[_Cue]:
    """Return the cues of all people by time; those of several people overlap and name the person."""
    cues = []
    for person in people:
        who = f"person {person.person + 1}: " if len(people) > 1 else ""
        texts: list[tuple[float, float, str]] = []
        for segment in label_segments(person) if person.classes else score_segments(person):
            shown = [segment.best] if person.classes else range(len(person.names))
            text = ", ".join(f"{person.names[index]} {segment.scores[index]:.2f}" for index in shown)
            if texts and texts[-1][1:] == (segment.start_s, text):
                texts[-1] = (texts[-1][0], segment.stop_s, text)
            else:
                texts.append((segment.start_s, segment.stop_s, text))
        cues += [
            _Cue(start_ms=round(1000 * start_s), stop_ms=round(1000 * stop_s), text=single_line(who + text))
            for start_s, stop_s, text in texts
        ]
    return sorted(cues, key=lambda cue: (cue.start_ms, cue.text))


def _clock(milliseconds: int, point: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{point}{fraction:03d}"
