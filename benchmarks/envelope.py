"""Measure the embedded sync score on pairs in sync and shifted pairs, from the real clips and the demo corpus."""

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
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from benchmarks.table import SHARED, Section

REAL = (
    *("syncnet_example.avi", "latentsync_demo1.mp4", "latentsync_demo2.mp4", "retalking_face_1.mp4"),
    *("retalking_face_2.mp4", "retalking_face_4.mp4", "grid_s1_bbaf2n.mpg", "grid_brbk7n.mpg", "grid_lbax4n.mpg"),
    *("grid_lrwp9a.mpg", "grid_lwbsza.mpg", "grid_swiz3n.mpg"),
)
# The clip's own offset in frames, where the clip is long enough to measure it; the others count as in sync.
TRUE_OFFSETS = {
    "syncnet_example.avi": 3,
    "retalking_face_1.mp4": 2,
    "retalking_face_2.mp4": -1,
    "retalking_face_4.mp4": 1,
}
TRUE_OFFSETS |= {"latentsync_demo1.mp4": 1, "grid_s1_bbaf2n.mpg": -1}
SECONDS = (3, 5, 8, 12)
TOLERANCE_FRAMES = 2


def run() -> list[Section]:
    sections = []
    weights = SHARED / "assets/weights" / KNOWN["retinaface_mobilenet"].file_name
    if weights.is_file():
        for name, backends in (
            (
                "RetinaFace",
                BackendSelection(track="retinaface-mobilenet", sync="envelope", weights={"retinaface": weights}),
            ),
            ("dlib", BackendSelection(track="dlib", sync="envelope", weights={})),
        ):
            pairs = [pair for clip in _real_clips() for pair in _pairs(*clip, Detectors(backends))]
            sections.append(_table(f"Envelope on the real clips, mouth from {name}", pairs))
    pairs = [
        pair
        for clip in _demo_clips()
        for pair in _pairs(*clip, Detectors(BackendSelection(track="dlib", sync="envelope", weights={})))
    ]
    sections.append(_table("Envelope on the demo corpus, mouth from dlib", pairs))
    return sections


def _real_clips() -> Iterator[tuple[Path, int]]:
    for name in REAL:
        yield SHARED / "assets/video" / name, TRUE_OFFSETS.get(name, 0)


def _demo_clips() -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory() as folder:
        for video in demo_videos():
            if video.script is not None and video.path.startswith(("studio/talk", "dubbed/on")):
                path = Path(folder) / Path(video.path).name
                path.write_bytes(encode_video(video.script))
                yield path, 0


def _pairs(path: Path, true_offset: int, detectors: Detectors) -> list[tuple[int, int, envelope_sync.EnvelopeScore]]:
    """Return (seconds, true offset in frames, score) for pieces of the clip, with their own sound and with shifted sound."""
    settings = load_recipe().defaults
    draw = np.random.default_rng(len(path.name))
    with MediaFile(path, settings.media) as media:
        video_track, _ = screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        span = Span(0, min(500, video_track.decoded_frames))
        audio_track = media.audio(video_track.frames)
        detector_frames = refining.decode_for_detector(media, span, settings.track.side_px, detectors)
        (track, *_) = refining.track_faces(detector_frames, detectors, settings.track) or (None,)
        if track is None or audio_track is None:
            return []
        crops = refining.crop_clip(media, detector_frames, track, settings, detectors)
    patches = envelope_sync.mouth_patches(crops.face_THWC, refining.mouth_position(crops, track))
    samples = audio_track.cut(span)
    pairs = []
    for seconds in SECONDS:
        frames = seconds * FRAMES_PER_SECOND
        for start in range(0, span.frames - frames + 1, max(FRAMES_PER_SECOND, frames // 2)):
            for shift in (0, *(int(s) for s in draw.choice([-10, -9, -8, -7, 7, 8, 9, 10], 2, replace=False))):
                piece = np.roll(samples, shift * SAMPLES_PER_FRAME)[
                    start * SAMPLES_PER_FRAME : (start + frames) * SAMPLES_PER_FRAME
                ]
                score = envelope_sync.score_envelope_sync(patches[start : start + frames], piece, settings.sync.shifts)
                if score is not None:
                    pairs.append((seconds, true_offset - shift, score))
    return pairs


def _table(title: str, pairs: list[tuple[int, int, envelope_sync.EnvelopeScore]]) -> Section:
    limit = load_recipe().defaults.sync
    rows = [
        [
            "length",
            "pairs",
            "correct within 2 frames",
            "confident",
            "confident and correct",
            "ROC area in-sync / shifted",
        ]
    ]
    for seconds in SECONDS:
        scores = [(true, score) for length, true, score in pairs if length == seconds]
        if not scores:
            continue
        correct = [abs(score.offset - true) <= TOLERANCE_FRAMES for true, score in scores]
        confident = [score.confidence >= limit.envelope_min_confidence for _, score in scores]
        confident_and_correct = sum(c and k for c, k in zip(confident, correct, strict=True))
        rows.append(
            [
                f"{seconds} s",
                str(len(scores)),
                f"{np.mean(correct):.2f}",
                f"{np.mean(confident):.2f}",
                f"{confident_and_correct / max(1, sum(confident)):.2f}",
                f"{_area(scores):.2f}",
            ]
        )
    note = (
        "Pieces of clips with their own sound, and with the sound moved by 7 to 10 frames. Confident: confidence of "
        f"{limit.envelope_min_confidence:g} and more; below that the stage is undecided, and does not reject. ROC: the "
        "curve's best value within 3 frames of no offset against its best elsewhere."
    )
    return Section(title, note, rows)


def _area(pairs: list[tuple[int, envelope_sync.EnvelopeScore]]) -> float:
    """Return the ROC area that separates in-sync pairs (true offset within 3 frames) from shifted pairs, by the curve's best value near zero minus its best elsewhere."""
    values = []
    for true, score in pairs:
        shifts = np.arange(len(score.curve_S)) - len(score.curve_S) // 2
        near = np.abs(shifts) <= 3
        values.append((abs(true) <= 3, float(score.curve_S[near].max() - score.curve_S[~near].max())))
    in_sync = [value for inside, value in values if inside]
    shifted = [value for inside, value in values if not inside]
    if not in_sync or not shifted:
        return float("nan")
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in in_sync for b in shifted]))
