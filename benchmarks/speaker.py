"""Measure whether the speaker stage passes faces that talk and rejects others, in windows of 2 s of the real clips, and its cost."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from avf_curation.audit.confidence import wilson_interval
from avf_curation.detectors.detector_set import BackendSelection, Detectors
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import Bytes, Samples
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.recipe import load_recipe
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span

from benchmarks.table import SHARED, Section

ASSETS = SHARED / "assets"
TALKING = (
    *("video/latentsync_demo1.mp4", "video/latentsync_demo2.mp4", "video/syncnet_example.avi"),
    *("video/retalking_face_1.mp4", "video/retalking_face_2.mp4", "video/retalking_face_4.mp4"),
    *("video/grid_s1_bbaf2n.mpg", "video/grid_brbk7n.mpg", "video/grid_lbax4n.mpg", "video/grid_lrwp9a.mpg"),
    *("video/grid_lwbsza.mpg", "video/grid_swiz3n.mpg", "video/talkvid_generated_watermark.mp4"),
    *("video_more/retalking_face_3.mp4", "video_more/talkvid_10_talking.mp4", "video_more/grid_pwij3p.mpg"),
    *("video_more/grid_sbia1a.mpg", "video_more/grid_sbwe5n.mpg"),
)
STREET = "video/street_many_faces_facenet.mp4"
SILENT = (
    *("video/liveportrait_d18_silent_audio.mp4", "video/liveportrait_s18_music_not_talking.mp4"),
    *("video/pyfeat_single_face_not_talking.mp4", "video/pyfeat_face_then_noface.mov", STREET),
    *("video_more/liveportrait_d14_music_not_talking.mp4", "video_more/liveportrait_d19_not_talking.mp4"),
)
VOICES = ("audio/libri_198-209-0000.ogg", "video/latentsync_demo2.mp4")  # laid over faces that do not talk
WINDOW, STEP = 50, 25  # frames


@dataclass(frozen=True)
class Window:
    """The share of frames in which the face of a window speaks, by the network."""

    clip: str
    sound: str  # own, rolled or foreign
    share: float


def run() -> list[Section]:
    files = {name: ASSETS / "weights" / KNOWN[key].file_name for name, key in WEIGHTS.items()}
    if not all(path.is_file() for path in files.values()):
        return [Section("Does the face speak", "Not measured: the real clips and weights are not here.", [["", ""]])]
    detectors = Detectors(
        BackendSelection(track="retinaface-mobilenet", sync="envelope", speaker="lr-asd", weights=files)
    )
    voices = [_read_sound(ASSETS / name, detectors) for name in VOICES]
    talking = [window for name in TALKING for window in _windows(name, [], detectors)]
    silent = [window for name in SILENT for window in _windows(name, voices, detectors)]
    return [_verdicts(talking, silent), _shares(talking, silent), _cost(detectors)]


WEIGHTS = {"retinaface": "retinaface_mobilenet", "lr_asd": "lr_asd"}


def _read_sound(path: Path, detectors: Detectors) -> Samples:
    with MediaFile(path, load_recipe().defaults.media) as media:
        track = media.audio(None)
    assert track is not None
    return track.samples


def _windows(name: str, voices: list[Samples], detectors: Detectors) -> Iterator[Window]:
    """Yield the windows of a clip with its own sound and, if `voices` are given, with that rolled by half and with each."""
    faces_THW, own = _read_face(ASSETS / name, detectors)
    sounds = [("own", own)]
    if voices:
        sounds.append(("rolled", np.roll(own, len(own) // 2)))
        sounds += [("foreign", np.resize(voice, len(own))) for voice in voices]
    for start in range(0, len(faces_THW) - WINDOW + 1, STEP):
        embeddings_TD = detectors.lr_asd.embed_span(faces_THW[start : start + WINDOW])
        for kind, sound in sounds:
            piece = sound[start * SAMPLES_PER_FRAME : (start + WINDOW) * SAMPLES_PER_FRAME]
            scores_T = detectors.lr_asd.score_embeddings(embeddings_TD, piece)
            yield Window(name, kind, float((scores_T > 0).mean()))


def _read_face(path: Path, detectors: Detectors) -> tuple[Bytes, Samples]:
    """Return LR-ASD's crop of the largest face of the first shot, and the sound of the same frames."""
    settings = load_recipe().defaults
    with MediaFile(path, settings.media) as media:
        video_track, shots = screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        sound = media.audio(video_track.frames)
        assert sound is not None
        frames = refining.decode_for_detector(media, shots[0].span, settings.track.side_px, detectors)
        (track,) = refining.track_faces(frames, detectors, settings.track)
        path_T = refining.speaker_path(track)
        faces = [path_T.crop(frame, t) for t, frame in enumerate(refining.read_source_frames(media, frames, detectors))]
    return np.stack(faces), sound.cut(Span(shots[0].span.start_frame, shots[0].span.stop_frame))


def _verdicts(talking: list[Window], silent: list[Window]) -> Section:
    limit = load_recipe().defaults.speaker.min_share
    groups = [
        ("talking", talking),
        ("not talking", silent),
        ("not talking, own sound", [window for window in silent if window.sound == "own"]),
        ("not talking, its sound rolled by half", [window for window in silent if window.sound == "rolled"]),
        ("not talking, somebody else's voice", [window for window in silent if window.sound == "foreign"]),
        ("not talking, without the street", [window for window in silent if window.clip != STREET]),
        ("talking, clips that gave no threshold", [w for w in talking if w.clip.startswith("video_more")]),
        ("not talking, clips that gave no threshold", [w for w in silent if w.clip.startswith("video_more")]),
    ]
    rows = [["Windows of 2 s", "windows", f"pass (share of at least {limit:g})", "95 %"]]
    for name, windows in groups:
        passed = sum(window.share >= limit for window in windows)
        share = wilson_interval(passed, len(windows))
        rows.append([name, str(len(windows)), f"{share.value:.3f}", f"{share.low:.3f} to {share.high:.3f}"])
    area = np.mean([[(t.share > s.share) + 0.5 * (t.share == s.share) for s in silent] for t in talking])
    note = (
        f"Each window is judged by itself, as a clip of 2 s would be. Area under the curve: {area:.3f}. In the street, people walk and "
        "several faces are seen, so that the faces stage rejects it; a dubbed talker counts as talking here, and is for sync."
    )
    return Section("Does the face speak", note, rows)


def _shares(talking: list[Window], silent: list[Window]) -> Section:
    rows = [["Clip", "sound", "windows", "smallest share", "median", "largest"]]
    for kind, windows in (("talking", talking), ("not talking", silent)):
        for clip, sound in dict.fromkeys((window.clip, window.sound) for window in windows):
            shares = [window.share for window in windows if (window.clip, window.sound) == (clip, sound)]
            figures = [f"{value:.2f}" for value in (min(shares), np.median(shares), max(shares))]
            rows.append([f"{Path(clip).stem}, {kind}", sound, str(len(shares)), *figures])
    return Section("Does the face speak: clips", "Share of the frames of each window in which the face speaks.", rows)


def _cost(detectors: Detectors) -> Section:
    path, settings = ASSETS / "video/latentsync_demo2.mp4", load_recipe().defaults
    with MediaFile(path, settings.media) as media:
        screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        frames = refining.decode_for_detector(media, Span(100, 300), settings.track.side_px, detectors)
        (track,) = refining.track_faces(frames, detectors, settings.track)
        path_T = refining.speaker_path(track)
        full = list(refining.read_source_frames(media, frames, detectors))
    seconds = len(full) / FRAMES_PER_SECOND
    start = time.process_time()
    faces_THW = np.stack([path_T.crop(frame, t) for t, frame in enumerate(full)])
    cut = time.process_time()
    embeddings_TD = detectors.lr_asd.embed_span(faces_THW)
    embedded = time.process_time()
    detectors.lr_asd.score_embeddings(embeddings_TD, np.zeros(len(full) * SAMPLES_PER_FRAME, np.int16))
    scored = time.process_time()
    rows = [
        ["Core-seconds for a second of video", ""],
        ["crop", f"{(cut - start) / seconds:.3f}"],
        ["network of the face", f"{(embedded - cut) / seconds:.3f}"],
        ["network of the sound, and both together", f"{(scored - embedded) / seconds:.3f}"],
        ["**all**", f"**{(scored - start) / seconds:.3f}**"],
    ]
    return Section("Does the face speak: cost", "CPU time of one thread, one face; the target is 0.2.", rows)
