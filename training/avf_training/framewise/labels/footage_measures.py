"""What the records of clips say of the footage of a video, for a proposal of its scene.

Curation has measured faces, cuts, text and the movement of the mouth; nothing is decoded here. The motion of the
background is in no record, and the rule does without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_shards.schema.clip_record import ClipRecord

from avf_training.data.storage import StorageConfig
from avf_training.framewise.ensemble.scenes import SceneChoice, SceneMeasures, propose_scene
from avf_training.framewise.tracks.errors import MissingTrackError
from avf_training.framewise.tracks.identity import TrackSubject
from avf_training.framewise.tracks.track_folder import TrackFolder
from avf_training.framewise.tracks.voice_extractors import open_frames
from avf_training.tasks.labelled_shards import LabelledShards

VOICE_EXTRACTORS = ("mouth", "speech")  # whose tracks tell when somebody speaks, the better one first
_FRAME_S = 0.04  # of the timeline; shots and spans are rounded to it


@dataclass(frozen=True, kw_only=True)
class FootageMeasures:
    """A video as its clips of the largest face were measured."""

    rule: SceneMeasures  # what the proposal looks at
    faces_per_frame: float  # mean over sampled frames
    face_px: float | None  # median width over clips, in pixels of the source; None: no clip has a face
    text: bool  # whether lines of text were seen on some clip

    def propose(self) -> SceneChoice:
        """Return the proposed scene; the reason names the other measures too, for the person who corrects it."""
        choice = propose_scene(self.rule)
        size = "no face" if self.face_px is None else f"{self.face_px:.0f} px wide"
        others = f"{self.faces_per_frame:.1f} faces a frame, {size}{', text' if self.text else ''}"
        return SceneChoice(scene=choice.scene, reason=f"{choice.reason}; {others}")


def measure_footage(
    shards: str, voice: Path | None, on_fault: Callable[[str], None]
) -> dict[tuple[str, str], FootageMeasures]:
    """Return the measures of each video of the shards, by source and video.

    Args:
        shards: a folder of shards or its address.
        voice: tracks of `mouth` or `speech`, for videos whose records do not say whether the mouth moves; or None.
        on_fault: called with a sentence for each video that cannot be measured.
    """
    reader = LabelledShards([shards], StorageConfig())
    clips_of: dict[tuple[str, str], list[ClipRecord]] = {}
    for _, record in reader.records():
        if record.track == 0:
            clips_of.setdefault((record.source, record.video_id), []).append(record)
    measures = {}
    for (source, video), clips in clips_of.items():
        clips.sort(key=lambda record: record.span.start_frame)
        share = _share_of_moving_mouth(clips)
        if share is None and voice is not None:
            share = _share_of_voice(voice, TrackSubject(source=source, video_id=video))
        if share is None:
            on_fault(
                f"{source}/{video}: nothing says how often the mouth is open; curate with the stage sync, or name "
                "tracks of mouth or speech with --voice"
            )
            continue
        faces = [record.measurements.faces for record in clips]
        if any(each is None for each in faces):
            on_fault(f"{source}/{video}: its records do not say in how many frames a face was; curate with faces")
            continue
        measures[source, video] = _measure(clips, share)
    return measures


def _measure(clips: Sequence[ClipRecord], share: float) -> FootageMeasures:
    faces = [record.measurements.faces for record in clips if record.measurements.faces is not None]
    counts: dict[int, int] = {}
    for each in faces:
        for number, frames in each.faces_per_frame.items():
            counts[int(number)] = counts.get(int(number), 0) + frames
    frames = max(1, sum(counts.values()))
    minutes = sum(record.span.seconds for record in clips) / 60
    widths = [each.face_px for each in faces if each.face_px is not None]
    qualities = [record.measurements.quality for record in clips]
    return FootageMeasures(
        rule=SceneMeasures(
            open_mouth_share=share,
            face_share=1 - counts.get(0, 0) / frames,
            cuts_per_minute=(count_shots(clips) - 1) / minutes,
        ),
        faces_per_frame=sum(number * count for number, count in counts.items()) / frames,
        face_px=float(np.median(widths)) if widths else None,
        text=any(each is not None and bool(each.subtitle_px) for each in qualities),
    )


def count_shots(clips: Sequence[ClipRecord]) -> int:
    """Return the number of shots that clips, sorted by time, lie in.

    A clip lies in the shot of the one before it where both shots are as long, and both fit into one of that length.
    """
    shots, start_frame, length_s = 0, 0, -1.0
    for record in clips:
        scenes = record.measurements.scenes
        shot_s = record.span.seconds if scenes is None else scenes.length_s
        reach_s = (record.span.stop_frame - start_frame) * _FRAME_S
        if shot_s != length_s or reach_s > length_s + _FRAME_S:
            shots, start_frame, length_s = shots + 1, record.span.start_frame, shot_s
    return shots


def _share_of_moving_mouth(clips: Sequence[ClipRecord]) -> float | None:
    """Return in which share of the time the mouth moves by the recipe's threshold; None where no clip was measured.

    Where the recipe rejects still mouths, they are in no clip: recipes that measure are the ones to ask.
    """
    seconds = {True: 0.0, False: 0.0}
    for record in clips:
        sync = record.measurements.sync
        if sync is not None and sync.mouth_motion is not None:
            seconds["mouth_still" not in sync.would_reject] += record.span.seconds
    total_s = sum(seconds.values())
    return seconds[True] / total_s if total_s else None


def _share_of_voice(voice: Path, subject: TrackSubject) -> float | None:
    """Return in which share of the frames of a track somebody speaks; None without a track."""
    folder = TrackFolder(voice)
    for name in VOICE_EXTRACTORS:
        try:
            track = folder.read(name, subject)
        except MissingTrackError:
            continue
        last = int(track.frames_N[-1])
        return float(open_frames(track, last)[track.frames_N - 1].mean())
    return None
