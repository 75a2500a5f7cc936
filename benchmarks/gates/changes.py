"""Cuts, dissolves and wipes between two clips and shots without any, by each choice of detectors of the scenes stage.

TransNetV2 takes a core-second for two seconds of film without a GPU, so it sees fewer films than the dissolve detector alone does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from avf_curation.detectors.package_weights import TRANSNETV2
from avf_curation.pipeline.shot_ends import ShotEnd, ShotEnds, ShotSearch
from avf_curation.recipe import load_recipe
from avf_curation.stages.scenes import DetectorName, ScenesConfig
from avf_shards.timeline import Span

from benchmarks.gates.footage import Shot, read_shots
from benchmarks.gates.transitions import PURE_FRAMES, Film, cover, make_single_shots, make_transition
from benchmarks.table import Section

if TYPE_CHECKING:  # it imports torch
    from avf_curation.detectors.transnetv2 import TransNetV2

SCENES = load_recipe().defaults.scenes
CHOICES: tuple[tuple[DetectorName, ...], ...] = (("adaptive", "dissolve"), ("transnetv2",), ("adaptive", "transnetv2"))
HALVES = ("sets the limits", "tells them")
TRANSITIONS = (
    ("dissolve", 8),
    ("dissolve", 25),
    ("dissolve", 75),
    ("wipe right", 8),
    ("wipe right", 25),
    ("circle", 25),
)
MAX_FRAMES = 100  # of a shot
_EVERY = 3  # a film begins with each third clip
_LATE_FRAMES = 1  # by which a cut may be told too early or too late


@dataclass(frozen=True, kw_only=True)
class ChangeFilm:
    """A film with a change of shots, or with none."""

    kind: str  # what was made
    half: int  # of the clips
    film: Film  # at a cut, the span of the transition is empty


def make_films() -> Iterator[ChangeFilm]:
    """Yield films of the real clips; nothing where they are not here."""
    shots = {shot.clip: shot for shot in read_shots(SCENES.width_px, 1, max_frames=MAX_FRAMES)}
    for half in range(len(HALVES)):
        own = [shot for shot in shots.values() if shot.number % len(HALVES) == half]
        for number in range(0, len(own), _EVERY):
            first = own[number]
            yield from _join(first, own[(number + 1) % len(own)], half)
            for film in make_single_shots(first.clip, first.frames_THWC):
                kind = film.name.removeprefix(first.clip).removeprefix(", ") or "as it is"
                yield ChangeFilm(kind=f"no change: {kind}", half=half, film=film)


def _join(first: Shot, second: Shot, half: int) -> Iterator[ChangeFilm]:
    """Yield the films in which one clip gives way to another."""
    height, width = first.frames_THWC.shape[1:3]
    before = first.frames_THWC[:PURE_FRAMES]
    after = np.stack([cover(frame, width, height) for frame in second.frames_THWC[:PURE_FRAMES]])
    edge = Span(len(before), len(before))
    yield ChangeFilm(
        kind="cut", half=half, film=Film(name=first.clip, frames_THWC=np.concatenate([before, after]), transition=edge)
    )
    for kind, length in TRANSITIONS:
        film = make_transition(first.clip, first.frames_THWC, second.frames_THWC, kind, length)
        yield ChangeFilm(kind=f"{kind}, {length} frames", half=half, film=film)


def find_ends(film: Film, scenes: ScenesConfig, network: "TransNetV2 | None") -> list[ShotEnd]:
    """Return where the scenes stage ends the shots of a film."""
    ends = ShotEnds(scenes, first_index=0, search=ShotSearch(network=network))
    shot_ends = [end for index, frame in enumerate(film.frames_THWC) for end in ends.feed(index, frame)]
    return shot_ends + ends.finish()


def is_told(film: Film, ends: Sequence[ShotEnd]) -> bool:
    """Return whether the change of a film is told: a cut at its frame, any other as a span that is cut out.

    A film without a change tells one where any shot ends in it.
    """
    truth = film.transition
    if truth is None:
        return bool(ends)
    if truth.frames == 0:
        return any(abs(end.stop_frame - truth.start_frame) <= _LATE_FRAMES for end in ends)
    return any(
        span.start_frame < truth.stop_frame and truth.start_frame < span.stop_frame for span in removed_spans(ends)
    )


def removed_spans(ends: Sequence[ShotEnd]) -> list[Span]:
    """Return the spans that are cut out as changes."""
    starts = [0, *(end.stop_frame for end in ends)]
    return [
        Span(start, end.stop_frame)
        for start, end in zip(starts, ends, strict=False)
        if (end.dissolve or end.transition) and start < end.stop_frame
    ]


def frames_left(film: Film, ends: Sequence[ShotEnd]) -> int:
    """Return how many frames that show something of two shots are in no span that is cut out."""
    truth = film.transition
    assert truth is not None
    removed = {frame for span in removed_spans(ends) for frame in range(span.start_frame, span.stop_frame)}
    return len(set(range(truth.start_frame, truth.stop_frame)) - removed)


def changes_section(network: "TransNetV2 | None") -> Section:
    """Return what each choice of detectors tells; those with TransNetV2 only where its network is given."""
    choices = [names for names in CHOICES if network is not None or "transnetv2" not in names]
    settings = {names: replace(SCENES, detectors=names) for names in choices}
    verdicts_of: dict[tuple[str, tuple[DetectorName, ...], int], list[bool]] = {}
    left: dict[tuple[str, tuple[DetectorName, ...]], list[int]] = {}
    for item in make_films():
        for names, scenes in settings.items():
            ends = find_ends(item.film, scenes, network)
            verdicts_of.setdefault((item.kind, names, item.half), []).append(is_told(item.film, ends))
            if verdicts_of[item.kind, names, item.half][-1] and item.film.transition and item.film.transition.frames:
                left.setdefault((item.kind, names), []).append(frames_left(item.film, ends))
    rows = [["film", *(f"{' and '.join(names)}, half that {half}" for names in choices for half in HALVES)]]
    rows[0] += [f"{' and '.join(names)}, frames left" for names in choices]
    for kind in dict.fromkeys(key[0] for key in verdicts_of):
        row = [kind]
        for names in choices:
            for half in range(len(HALVES)):
                verdicts = verdicts_of.get((kind, names, half), [])
                row.append(f"{sum(verdicts)} of {len(verdicts)}")
        for names in choices:
            frames = left.get((kind, names))
            row.append(f"{np.mean(frames):.1f}" if frames else "")
        rows.append(row)
    note = (
        "Films of the real clips, by `scenes.detectors`: how many of them have a change that was told (a cut within a frame, any other as a "
        "span that is cut out), and for films without a change how many were divided. Frames left: frames of a told dissolve or wipe that "
        "stay in a shot, on average. No limit was set on either half for TransNetV2, whose threshold is its authors'."
    )
    return Section("Cuts, dissolves and wipes by detectors", note, rows)


def run() -> list[Section]:
    """Return the figures of all choices whose network is installed."""
    network = None
    if TRANSNETV2.find() is not None:
        from avf_curation.detectors.transnetv2 import TransNetV2

        network = TransNetV2.from_package()
    return [changes_section(network)]
