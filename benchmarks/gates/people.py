"""Whether the embeddings of a face tell two people in one track from one person: clips joined by a cut that no detector sees."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from avf_curation.audit.confidence import wilson_interval
from avf_curation.detectors.detector_set import Detectors, resolve_backends
from avf_curation.media import crop
from avf_curation.pipeline.refining import FaceCrops, face_embeddings
from avf_curation.recipe import load_recipe
from avf_curation.stages import identity, tracking
from avf_curation.stages.faces import Box

from benchmarks.gates.recordings import SILENT_FACES, TALKERS, Recording, read_recordings
from benchmarks.gates.transitions import cover
from benchmarks.table import Section

SETTINGS = load_recipe().defaults
HALVES = ("sets the limit", "tells it")
_STEPS = (1, 2)  # from a person to the one who takes the picture
_MAX_FRAMES = 100  # of each person, so that two have eight seconds
_INTERVALS_S = (1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class TrackOfPeople:
    """A track and what the network says of it."""

    half: int  # of the people
    name: str
    cut: int | None  # first frame of the second person; None: there is one person
    identity: identity.Identity
    cpu_s: float  # of the embeddings


class _FacesOf:
    """Finds the faces of a recording, each frame once."""

    def __init__(self, recording: Recording, detectors: Detectors) -> None:
        self.frames_THWC = recording.frames_THWC[:_MAX_FRAMES]
        self.name, self.half = recording.name, recording.number % len(HALVES)
        self._detectors, self._boxes = detectors, dict[int, list[Box]]()

    def find(self, frame: int) -> list[Box]:
        """Return the largest face of a frame, or none."""
        if frame not in self._boxes:
            (boxes,) = self._detectors.faces([self.frames_THWC[frame]], 1.0, SETTINGS.track)
            self._boxes[frame] = sorted(boxes, key=lambda box: -box.side)[:1]
        return self._boxes[frame]


def measure_people(detectors: Detectors, interval_s: float) -> Iterator[TrackOfPeople]:
    """Yield each person of the real recordings alone, then joined with others of the same half in one track."""
    people = [
        _FacesOf(recording, detectors) for spans in (TALKERS, SILENT_FACES) for recording in read_recordings(spans)
    ]
    for half in range(len(HALVES)):
        own = [person for person in people if person.half == half]
        for number, first in enumerate(own):
            yield _measure([first], half, detectors, interval_s)
            for step in _STEPS:
                yield _measure([first, own[(number + step) % len(own)]], half, detectors, interval_s)


def _measure(people: Sequence[_FacesOf], half: int, detectors: Detectors, interval_s: float) -> TrackOfPeople:
    height, width = people[0].frames_THWC.shape[1:3]
    frames_THWC = np.concatenate(
        [np.stack([cover(frame, width, height) for frame in person.frames_THWC]) for person in people]
    )
    cut = len(people[0].frames_THWC)

    def find(numbers: Sequence[int]) -> list[list[Box]]:
        places = [(people[0], t) if t < cut else (people[-1], t - cut) for t in numbers]
        return [
            [_cover_box(box, person.frames_THWC.shape[1:3], (height, width)) for box in person.find(t)]
            for person, t in places
        ]

    config = replace(SETTINGS.track, link_iou=0.0, identity_s=interval_s)  # whatever comes next belongs to the track
    (track, *_) = tracking.measure(len(frames_THWC), find, width, height, config)
    pictures = [
        crop.crop_square(frame, tuple(centre), track.window.side_px, SETTINGS.clip.size_px)
        for frame, centre in zip(frames_THWC, track.window.centres_T2, strict=True)
    ]
    crops = FaceCrops(face_THWC=np.stack(pictures), faces_NHW=np.zeros((0, 1, 1), np.uint8))
    start_s = time.process_time()
    result = identity.measure(len(frames_THWC), face_embeddings(crops, track, detectors), config)
    return TrackOfPeople(
        half=half,
        name=" and ".join(person.name for person in people),
        cut=cut if len(people) > 1 else None,
        identity=result,
        cpu_s=time.process_time() - start_s,
    )


def _cover_box(box: Box, size: tuple[int, int], target: tuple[int, int]) -> Box:
    """Return where a box of a frame of one size (height, width) is in the frame that `cover` makes of it."""
    scale = max(target[0] / size[0], target[1] / size[1])
    top, left = ((size[axis] * scale - target[axis]) / 2 for axis in (0, 1))
    return Box(
        left=box.left * scale - left,
        top=box.top * scale - top,
        right=box.right * scale - left,
        bottom=box.bottom * scale - top,
    )


def people_section(detectors: Detectors) -> Section:
    """Return how often two people in one track are told, and one person is taken for two."""
    limit = SETTINGS.track.max_identity_jump
    rows = [
        [
            "faces every",
            "half",
            "one person, rejected",
            "their largest jump",
            "two people, told",
            "their smallest jump",
            "cut told, frames off",
            "core-s of 8 s",
        ]
    ]
    for interval_s in _INTERVALS_S:
        tracks = list(measure_people(detectors, interval_s))
        for half, name in enumerate(HALVES):
            alone = [track for track in tracks if track.half == half and track.cut is None]
            joined = [track for track in tracks if track.half == half and track.cut is not None]
            divided = [track for track in joined if track.identity.jump > limit]
            wrong = sum(track.identity.jump > limit for track in alone)
            off = [abs(track.identity.change.stop_frame - 2 - (track.cut or 0)) for track in divided]
            share = wilson_interval(len(divided), len(joined))
            rows.append(
                [
                    f"{interval_s:g} s",
                    name,
                    f"{wrong} of {len(alone)}",
                    f"{max(track.identity.jump for track in alone):.2f}",
                    f"{len(divided)} of {len(joined)} ({share.low:.0%} to {share.high:.0%})",
                    f"{min(track.identity.jump for track in joined):.2f}",
                    f"{np.median(off):.0f}, at most {max(off)}" if off else "",
                    f"{np.median([track.cpu_s for track in joined]):.2f}",
                ]
            )
    note = (
        "Four seconds of each person of the real recordings, alone and with the next two people of the same half behind them, as one track: the cut "
        f"between them is hidden from all detectors. `track.max_identity_jump` {limit:g} was set on the first half. Backend dlib-resnet, faces by dlib."
    )
    return Section("Two people in one track", note, rows)


def run(weights: Path) -> list[Section]:
    """Return the figures; nothing where the weights are not in a folder."""
    backends = resolve_backends(
        load_recipe(overrides=["track.backend=dlib", "faces.backend=dlib", "sync.backend=envelope"]), weights
    )
    if backends.identity == "none":
        return [
            Section(
                "Two people in one track",
                f"Not measured: {weights} has no weights: avf-curate weights pull dlib_resnet",
                [["", ""]],
            )
        ]
    return [people_section(Detectors(backends))]
