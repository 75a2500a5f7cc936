"""Talkers for tests of the learned sync network: as numbers, and as drawn clips of a run."""

from dataclasses import replace
from functools import cache

import numpy as np
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.demo.speech import speak
from avf_curation.detectors.face_components import VALUES
from avf_curation.detectors.face_mesh import DISTANCES
from avf_curation.detectors.sync_training import Talk
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.sources.types import Video
from avf_curation.stages.candidate import Candidate
from avf_shards.timeline import Span

from support.curation_runs import make_recipe

FRAMES = 125


def with_embeddings(talk: Talk, number: int) -> Talk:
    """Return a talk whose embeddings of the face alone show how the mouth opens: its distances are noise."""
    draw = np.random.default_rng([number, 7])
    opening_TD = talk.distances_TD
    embeddings_TV = opening_TD @ np.random.default_rng(0).normal(0, 1, (opening_TD.shape[1], VALUES))
    embeddings_TV += draw.normal(0, 0.01, embeddings_TV.shape)
    noise_TD = draw.normal(0.3, 0.1, opening_TD.shape)
    return replace(talk, distances_TD=noise_TD.astype(np.float32), embeddings_TV=embeddings_TV.astype(np.float32))


def make_talk(number: int, frames: int = FRAMES) -> Talk:
    """Return a talker whose distances follow the opening of the mouth, each by its own factor, with noise."""
    speech, draw = speak(frames, 100 + 15 * number, number), np.random.default_rng([number, 5])
    distances_TD = 0.3 + speech.mouth_T[:, None] * draw.uniform(0.1, 0.3, len(DISTANCES))
    distances_TD += draw.normal(0, 0.01, distances_TD.shape)
    return Talk(distances_TD=distances_TD.astype(np.float32), samples=(speech.samples * 32767).astype(np.int16))


@cache
def draw_media(number: int) -> dict[str, bytes]:
    """Return the files of a clip of a drawn talker, by extension."""
    speech = speak(FRAMES, 100 + 15 * number, number)
    frames = []
    for opening in speech.mouth_T:
        frame = np.full((224, 224, 3), 80 + 10 * number, np.uint8)
        draw_speaker(frame, make_speaker(number), Pose(x=112, y=108, height=130, mouth=float(opening)))
        frames.append(frame)
    samples = (speech.samples * 32767).astype(np.int16)
    return {"mp4": encode_mp4(frames, make_recipe().defaults.clip), "flac": encode_flac(samples)}


def keep_drawn_talker(video: Video, root: object, settings: object, detectors: object) -> VideoOutcomes:
    """Replace `curate_video`: keep a clip of the talker whose number is the file's name."""
    assert hasattr(root, "joinpath")
    media = draw_media(int(video.path.removesuffix(".mp4")))
    clip = EncodedClip(media=media, window_px=224.0, size_px=224, shift_frames=0)
    track = {"window_px": 224.0, "face_px": 130.0, "detections": 1, "blend": 0.0, "tracks": 1}
    candidate = Candidate(span=Span(0, FRAMES), measurements={"track": track})
    outcome = SpanOutcome(candidate=candidate, clips=(clip,))
    return VideoOutcomes(video=video, outcomes=(outcome,), sha256=input_digest(root.joinpath(video.path), None))
