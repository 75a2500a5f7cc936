"""How good the embedded sync is: in-sync against shifted pairs, from the real clips and the demo corpus."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from avf_curation.demo.corpus import demo_videos
from avf_curation.demo.video import encode_video
from avf_curation.detectors import envelope_sync
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_shards.timeline import Span

from benchmarks.table import SHARED, Section

REAL = (
    *("syncnet_example.avi", "latentsync_demo1.mp4", "latentsync_demo2.mp4", "retalking_face_1.mp4"),
    *("retalking_face_2.mp4", "retalking_face_4.mp4", "grid_s1_bbaf2n.mpg", "grid_brbk7n.mpg", "grid_lbax4n.mpg"),
    *("grid_lrwp9a.mpg", "grid_lwbsza.mpg", "grid_swiz3n.mpg"),
)
# The clip's own offset in frames, where the whole clip is long enough to tell; the others are taken as in sync.
OWN = {"syncnet_example.avi": 3, "retalking_face_1.mp4": 2, "retalking_face_2.mp4": -1, "retalking_face_4.mp4": 1}
OWN |= {"latentsync_demo1.mp4": 1, "grid_s1_bbaf2n.mpg": -1}
SECONDS = (3, 5, 8, 12)
NEAR = 2


def run() -> list[Section]:
    sections = []
    weights = SHARED / "assets/weights" / KNOWN["retinaface_mobilenet"].file_name
    if weights.is_file():
        for name, choice in (
            (
                "RetinaFace",
                BackendSelection(track="retinaface-mobilenet", sync="envelope", weights={"retinaface": weights}),
            ),
            ("dlib", BackendSelection(track="dlib", sync="envelope", weights={})),
        ):
            pairs = [pair for clip in _real() for pair in _pairs(*clip, Detectors(choice))]
            sections.append(_table(f"Envelope on the real clips, mouth from {name}", pairs))
    pairs = [
        pair
        for clip in _made()
        for pair in _pairs(*clip, Detectors(BackendSelection(track="dlib", sync="envelope", weights={})))
    ]
    sections.append(_table("Envelope on the demo corpus, mouth from dlib", pairs))
    return sections


def _real() -> Iterator[tuple[Path, int]]:
    for name in REAL:
        yield SHARED / "assets/video" / name, OWN.get(name, 0)


def _made() -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory() as folder:
        for video in demo_videos():
            if video.script is not None and video.path.startswith(("studio/talk", "dubbed/on")):
                path = Path(folder) / Path(video.path).name
                path.write_bytes(encode_video(video.script))
                yield path, 0


def _pairs(path: Path, own: int, tools: Detectors) -> list[tuple[int, int, envelope_sync.EnvelopeScore]]:
    """(seconds, true offset, what was found) for pieces of the clip, in sync and with the sound moved."""
    settings = load_recipe().defaults
    draw = np.random.default_rng(len(path.name))
    with MediaFile(path, settings.media) as media:
        picture, _ = screen_shots(media, settings.scenes, settings.faces, tools.dlib)
        span = Span(0, min(500, picture.decoded_frames))
        sound = media.audio(picture.frames)
        seen = refining.decode_for_detector(media, span, settings.track.side_px, tools)
        (found, *_) = refining.track_faces(seen, tools, settings.track) or (None,)
        if found is None or sound is None:
            return []
        crops = refining.crop_clip(media, seen, found, settings, tools, with_sync=False)
    patches = envelope_sync.mouth_patches(crops.face_THWC, refining.mouth_position(crops, found))
    samples = sound.cut(span)
    result = []
    for seconds in SECONDS:
        frames = seconds * 25
        for start in range(0, span.frames - frames + 1, max(25, frames // 2)):
            for moved in (0, *(int(s) for s in draw.choice([-10, -9, -8, -7, 7, 8, 9, 10], 2, replace=False))):
                piece = np.roll(samples, moved * 640)[start * 640 : (start + frames) * 640]
                score = envelope_sync.score_envelope_sync(patches[start : start + frames], piece, settings.sync.shifts)
                if score is not None:
                    result.append((seconds, own - moved, score))
    return result


def _table(title: str, pairs: list[tuple[int, int, envelope_sync.EnvelopeScore]]) -> Section:
    limit = load_recipe().defaults.sync
    rows = [["length", "pairs", "right within 2", "told (confident)", "told and right", "ROC area in-sync / shifted"]]
    for seconds in SECONDS:
        mine = [(true, score) for length, true, score in pairs if length == seconds]
        if not mine:
            continue
        right = [abs(score.offset - true) <= NEAR for true, score in mine]
        told = [score.confidence >= limit.envelope_min_confidence for _, score in mine]
        both = sum(r and t for r, t in zip(right, told, strict=True))
        rows.append(
            [
                f"{seconds} s",
                str(len(mine)),
                f"{np.mean(right):.2f}",
                f"{np.mean(told):.2f}",
                f"{both / max(1, sum(told)):.2f}",
                f"{_area(mine):.2f}",
            ]
        )
    note = (
        "Pieces of clips with their own sound, and with it moved by 7 to 10 frames. Told: confidence of "
        f"{limit.envelope_min_confidence:g} and more; below it the stage says undecided, which is no rejection. ROC: the "
        "curve's best value within 3 frames of no offset against its best elsewhere."
    )
    return Section(title, note, rows)


def _area(pairs: list[tuple[int, envelope_sync.EnvelopeScore]]) -> float:
    """Area under the ROC of `best near zero - best elsewhere` for in-sync (true offset within 3) against shifted."""
    values = []
    for true, score in pairs:
        shifts = np.arange(len(score.curve_S)) - len(score.curve_S) // 2
        near = np.abs(shifts) <= 3
        values.append((abs(true) <= 3, float(score.curve_S[near].max() - score.curve_S[~near].max())))
    good = [v for inside, v in values if inside]
    bad = [v for inside, v in values if not inside]
    if not good or not bad:
        return float("nan")
    return float(np.mean([(g > b) + 0.5 * (g == b) for g in good for b in bad]))
