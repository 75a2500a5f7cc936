"""Synthetic shards of labelled clips: the bright half and the tone give the label, the background the person."""

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.sources.types import Video
from avf_curation.stages import scenes
from avf_curation.stages.candidate import Candidate
from avf_shards.schema.ledger import Check
from avf_shards.timeline import FRAMES_PER_SECOND, Span
from avf_training.tasks.catalog import Dataset

from support.clips import SIZE_PX, pack_drawn_clips
from support.curation_runs import make_recipe
from support.stages import CurateVideo

LABELS = ("left", "right")
FRAMES = 64


def make_dataset(name: str = "lab", people: int = 4, **changes: object) -> Dataset:
    """Return a data set with two labels, split by subjects into two folds."""
    dataset = Dataset(
        name=name, title=name.title(), source=name, task="emotion", labels=LABELS, folds=2, split="subject_blocks",
        metrics=("UAR", "WAR"), clips=0, label_field="label",
        alignment={"left": "happy", "right": "sadness"},
    )  # fmt: skip
    return replace(dataset, **changes)


def make_labelled_shards(
    folder: Path,
    sources: Mapping[str, Sequence[Mapping[str, str]]],
    curate_video: CurateVideo | None = None,
) -> Path:
    """Pack shards with a clip for each row of each source's labels.csv; a row with mute=yes has no sound."""
    roots = {}
    for source, rows in sources.items():
        roots[source] = folder / "in" / source
        roots[source].mkdir(parents=True)
        columns = sorted({name for row in rows for name in row})
        with (roots[source] / "labels.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, ["file", *columns])
            table.writeheader()
            for number, row in enumerate(rows):
                name = f"{number:03d}.mp4"
                (roots[source] / name).write_bytes(f"{source} {number}".encode())
                table.writerow({"file": name, **row})
    return pack_drawn_clips(folder, roots, curate_video or curate_labelled_clip, clips_per_shard=8)


def make_label_rows(people: int, each: int = 2, first: int = 0) -> list[dict[str, str]]:
    """Return rows of labels.csv in which each person has each label `each` times."""
    return [
        {"label": label, "subject": f"p{first + person}"}
        for person in range(people)
        for _ in range(each)
        for label in LABELS
    ]


def curate_labelled_clip(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Replace `curate_video`: return a clip whose frames and sound follow from the labels of the video."""
    assert video.labels is not None
    mute = video.labels.values.get("mute") == "yes"
    right = video.labels.values.get("label") == "right" or video.labels.values.get("valence", "-")[0] in "12"
    checks = (Check(stage=scenes.STAGE, reason="too_short", score=FRAMES / 25, operator=">=", threshold=1.5),)
    seconds = FRAMES / FRAMES_PER_SECOND
    scores = scenes.ScenesScores(length_s=seconds, cut_off_s=0.0, no_picture_s=0.0, no_sound_s=seconds if mute else 0.0)
    measured = {scenes.STAGE: scores.record()}
    media = _encode_labelled_clip(sum(map(ord, video.labels.subject or "")), right=right, mute=mute)
    outcome = SpanOutcome(
        candidate=Candidate(span=Span(0, FRAMES), checks=checks, measurements=measured),
        clips=(EncodedClip(media=media, window_px=300.0, size_px=SIZE_PX, shift_frames=0),),
    )
    return VideoOutcomes(video=video, outcomes=(outcome,), sha256=input_digest(root / video.path, None))


@functools.cache
def _encode_labelled_clip(person: int, *, right: bool, mute: bool) -> dict[str, bytes]:
    """Return the mp4 and FLAC files of a clip by their extension."""
    frames_bgr = []
    for t in range(FRAMES):
        frame = np.full((SIZE_PX, SIZE_PX, 3), 60 + person * 7 % 80, np.uint8)
        columns = slice(SIZE_PX // 2, None) if right else slice(0, SIZE_PX // 2)
        frame[:, columns] = 200 + 10 * (t % 4)
        frames_bgr.append(frame)
    times_S = np.arange(FRAMES * 640) / 16000
    samples = ((0 if mute else 8000) * np.sin(2 * np.pi * (880 if right else 330) * times_S)).astype(np.int16)
    return {
        "mp4": encode_mp4(frames_bgr, replace(make_recipe().defaults.clip, size_px=SIZE_PX)),
        "flac": encode_flac(samples),
    }
