"""Precision and recall of the gates on made failures, over the real clips: dissolves and wipes, burnt-in marks, and
letterboxes.

A gate joins by a function in `GATES` that yields its verdicts on films of which the truth is known. Limits are set on
one half of the clips and told on the other.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from avf_curation.audit.gates import GateVerdict, Outcome, summarize_gates
from avf_curation.detectors.blurred_bars import find_blurred_bars
from avf_curation.detectors.burnt_in_text import find_burnt_in_text
from avf_curation.detectors.dissolves import Dissolve, DissolveDetector
from avf_curation.detectors.overlay import find_overlay
from avf_curation.detectors.still_text import choose_frames, count_still_letters
from avf_curation.media import crop
from avf_curation.media.types import Bytes
from avf_curation.recipe import load_recipe
from avf_curation.stages.quality import bars_in_window
from avf_curation.stages.tracking import CropWindow
from avf_shards.timeline import FRAMES_PER_SECOND

from benchmarks.gates.bars import BARS, draw_bars
from benchmarks.gates.footage import read_shots
from benchmarks.gates.marks import MARKS, SCENERY, draw_mark, draw_scenery
from benchmarks.gates.transitions import KINDS, LENGTHS, Film, make_single_shots, make_transition, shake
from benchmarks.table import Section

SETTINGS = load_recipe().defaults
HALVES = ("sets the limits", "tells them")
_MARK_SIDE_PX = 640  # marks are drawn at this size, before frames are shrunk to the quality stage's
_OWN_BAR = "liveportrait_d14_music_not_talking.mp4"  # has a black bar at its left
_STEPS = (1, 3)  # from a clip to the one that it turns into


@dataclass(frozen=True, kw_only=True)
class Case:
    """A film of which the truth is known, and what a gate said of it."""

    half: int  # 0: of the clips that set the limits, 1: of those that tell them
    kind: str  # what was made
    verdict: GateVerdict


def judge_transitions() -> Iterator[Case]:
    """Yield what the scenes stage says of transitions between two clips, and of single shots."""
    clips = {shot.clip: shot for shot in read_shots(SETTINGS.scenes.width_px, 1)}
    for half in range(len(HALVES)):
        shots = [shot for shot in clips.values() if shot.number % 2 == half]
        for step in _STEPS:
            for number, first in enumerate(shots):
                second = shots[(number + step) % len(shots)]
                for kind in KINDS:
                    for length in LENGTHS:
                        film = make_transition(first.clip, first.frames_THWC, second.frames_THWC, kind, length)
                        yield _judge_film(film, half, f"{kind}, {length} frames")
        for shot in shots:
            for film in make_single_shots(shot.clip, shot.frames_THWC):
                yield _judge_film(film, half, "single shot")


def _judge_film(film: Film, half: int, kind: str) -> Case:
    detector = DissolveDetector(SETTINGS.scenes.max_dissolve)
    dissolves: list[Dissolve] = [found for frame in film.frames_THWC for found in detector.feed(frame)]
    dissolves += detector.finish()
    truth = film.transition
    if truth is not None:  # elsewhere than over the transition it is none
        dissolves = [
            dissolve
            for dissolve in dissolves
            if dissolve.span.start_frame < truth.stop_frame and truth.start_frame < dissolve.span.stop_frame
        ]
    outcome: Outcome = "rejected" if dissolves else "passed"
    return Case(
        half=half, kind=kind, verdict=GateVerdict(gate="scenes/dissolve", is_bad=truth is not None, outcome=outcome)
    )


def judge_marks() -> Iterator[Case]:
    """Yield what the quality stage says of marks over still and shaking scenes, and of scenery that is no mark."""
    config = SETTINGS.quality
    rate = FRAMES_PER_SECOND / config.every
    for shot in read_shots(_MARK_SIDE_PX, config.every, min_frames=75):
        half = shot.number % 2
        for scene, frames_THWC in (("still", shot.frames_THWC), ("shaking", shake(shot.frames_THWC, rate))):
            yield from _judge_span(frames_THWC, half, f"nothing, {scene} scene", "")
            for mark in MARKS:
                yield from _judge_span(
                    draw_mark(frames_THWC, mark, shot.number, rate), half, f"{mark}, {scene} scene", mark
                )
        for thing in SCENERY:
            yield from _judge_span(draw_scenery(shot.frames_THWC, thing, shot.number), half, thing, "")


def _judge_span(frames_THWC: Bytes, half: int, kind: str, mark: str) -> Iterator[Case]:
    """Yield the verdicts of the four gates on marks. A mark counts for its own gate, nothing and scenery for all."""
    config = SETTINGS.quality
    frames = _shrink(frames_THWC)
    overlay, text = find_overlay(frames), find_burnt_in_text(frames, FRAMES_PER_SECOND / config.every)
    outcomes: dict[str, Outcome] = {
        "subtitles": "rejected" if text.subtitle_px > config.max_subtitle_px else "passed",
        "ticker": "rejected" if text.ticker_share > config.max_ticker_share else "passed",
        "watermark": "undecided"
        if overlay is None
        else "rejected"
        if overlay.edge_px > config.max_overlay_px
        else "passed",
    }
    letters = count_still_letters([crop.to_grey(frame) for frame in choose_frames(list(frames_THWC))])
    outcomes["still_text"] = "rejected" if letters > config.max_still_letters else "passed"
    own = (mark,) if mark in outcomes else ("watermark", "still_text")
    for gate, outcome in outcomes.items():
        if not mark or gate in own:
            yield Case(
                half=half,
                kind=kind,
                verdict=GateVerdict(gate=f"quality/{gate}", is_bad=bool(mark), outcome=outcome),
            )


def judge_letterboxes() -> Iterator[Case]:
    """Yield what the quality stage says of bars around the picture, and of scenes without any."""
    config = SETTINGS.quality
    rate = FRAMES_PER_SECOND / config.every
    for shot in read_shots(_MARK_SIDE_PX, config.every, min_frames=75):
        if shot.clip == _OWN_BAR:
            continue
        half, frames_THWC = shot.number % 2, shot.frames_THWC
        for kind in BARS:
            yield _judge_bars(draw_bars(frames_THWC, kind, shot.number), half, kind, is_bad=True)
        yield _judge_bars(frames_THWC, half, "no bars, still scene", is_bad=False)
        yield _judge_bars(shake(frames_THWC, rate), half, "no bars, shaking scene", is_bad=False)
        for thing in SCENERY:
            if "letterbox" not in thing:
                yield _judge_bars(
                    draw_scenery(frames_THWC, thing, shot.number), half, f"no bars, {thing}", is_bad=False
                )


def _judge_bars(frames_THWC: Bytes, half: int, kind: str, *, is_bad: bool) -> Case:
    """Return the verdict on a crop that is as large as the frame."""
    frames = _shrink(frames_THWC)
    height, width = frames[0].shape
    window = CropWindow(side_px=max(width, height), centres_T2=np.full((len(frames), 2), (width / 2, height / 2)))
    share = bars_in_window(frames, 1.0, window, find_blurred_bars(frames))
    outcome: Outcome = "rejected" if share > SETTINGS.quality.max_bars else "passed"
    return Case(half=half, kind=kind, verdict=GateVerdict(gate="quality/letterbox", is_bad=is_bad, outcome=outcome))


def _shrink(frames_THWC: Bytes) -> list[Bytes]:
    """Return frames in grey, as large as the quality stage looks at them."""
    height, width = frames_THWC.shape[1:3]
    shrink = min(1.0, SETTINGS.quality.side_px / max(height, width))
    size = round(width * shrink), round(height * shrink)
    return [crop.resize_grey(crop.to_grey(frame), *size) for frame in frames_THWC]


GATES: tuple[Callable[[], Iterable[Case]], ...] = (judge_transitions, judge_marks, judge_letterboxes)


def run() -> list[Section]:
    """Return the figures of all gates, and what each kind of film gave."""
    cases = [case for judge in GATES for case in judge()]
    if not cases:
        return [Section("Gates", "Not measured: the real clips are not here.", [["", ""]])]
    rows = [["gate", "clips", "bad, rejected", "good, rejected", "undecided", "precision", "recall"]]
    for half, name in enumerate(HALVES):
        for gate in summarize_gates(case.verdict for case in cases if case.half == half):
            rejected = f"{gate.rejected_bad} of {gate.bad}", f"{gate.rejected_good} of {gate.good}"
            shares = gate.precision.as_percent(), gate.recall.as_percent()
            rows.append([gate.gate, name, *rejected, str(gate.undecided), *shares])
    note = "Failures made of the real clips; 95 % Wilson intervals; undecided counts as passed."
    return [Section("Gates", note, rows), Section("Gates, by kind", "Films that a gate rejects.", _rows_by_kind(cases))]


def _rows_by_kind(cases: list[Case]) -> list[list[str]]:
    rows = [["gate", "film", *HALVES]]
    for gate, kind in dict.fromkeys((case.verdict.gate, case.kind) for case in cases):
        row = [gate, kind]
        for half in range(len(HALVES)):
            verdicts = [
                case.verdict for case in cases if (case.verdict.gate, case.kind, case.half) == (gate, kind, half)
            ]
            rejected = sum(verdict.outcome == "rejected" for verdict in verdicts)
            row.append(f"{rejected} of {len(verdicts)}")
        rows.append(row)
    return rows
