"""Measure what tells speech from other sound: frame F1 with noise and music added, shares of speech, time and memory."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.detectors.silero_vad import SileroVad
from avf_curation.media.decode import MediaFile
from avf_curation.recipe import load_recipe
from avf_curation.stages import silence
from avf_shards.timeline import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, Span

from benchmarks.table import SHARED, Section, cpu_s

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.speech_truth import frame_f1, load_speech_truth, speech_f1

ASSETS = SHARED / "assets"
MUSIC = "video/liveportrait_s18_music_not_talking.mp4"
LEVELS_DB = (20, 10, 5)
# What is no speech; of all other recordings with sound somebody speaks. Its first six were there when the threshold was set.
OTHER_SOUND = (
    MUSIC,
    "video/street_many_faces_facenet.mp4",
    "video/pyfeat_no_face.mp4",
    "video/pyfeat_face_then_noface.mov",
    "video_more/liveportrait_d14_music_not_talking.mp4",
    "audio/trumpet_no_speech.ogg",
)
SKIPPED = ("two_faces_datajuicer_video4.mp4",)  # a home video: who speaks when is not known
MEMORY_PROBE = """\
import numpy as np, tracemalloc
from avf_curation.detectors.silero_vad import SileroVad
from avf_curation.detectors.threads import limit_threads
limit_threads()
network = SileroVad.from_program()
samples = np.resize(np.random.default_rng(0).integers(-3000, 3000, 16_000).astype(np.int16), 3600 * 16_000)
tracemalloc.start()
network.find_speech(samples)
print(tracemalloc.get_traced_memory()[1] / 2**20)
"""


def run() -> list[Section]:
    if not (ASSETS / "audio").is_dir():
        return [Section("Speech", "Not measured: the real recordings are not here.", [["", ""]])]
    network = SileroVad.from_program()
    return [_score_with_background(network), _share_per_stretch(network), _cost(network)]


def _score_with_background(network: SileroVad) -> Section:
    config = load_recipe().defaults.silence
    sounds = load_speech_truth(ASSETS / "audio")
    noise = np.random.default_rng(0).normal(0, 3000, 60 * SAMPLE_RATE_HZ)
    backgrounds = [("clean", None, 0), *((name, sound, db) for name, sound in _backgrounds(noise) for db in LEVELS_DB)]
    rows = [["Background", *(f"{name}, {by}" for name in sounds for by in ("librosa", "Silero"))]]
    for name, background, level_db in backgrounds:
        row = [name if background is None else f"{name}, {level_db} dB below"]
        for samples, speech_T in sounds.values():
            mixed = samples if background is None else _mix(samples, background, level_db)
            spoken_T = network.find_speech(mixed)[: len(speech_T)]
            row += [f"{speech_f1(mixed, speech_T, config):.3f}", f"{frame_f1(spoken_T, speech_T):.3f}"]
        rows.append(row)
    note = (
        "Frame F1 against pyannote's RTTM and SpeechBrain's JSON, with noise and music added. librosa: the silence stage with its "
        "pauses and padding, which cuts clips; Silero: the frames whose share decides whether a clip is speech."
    )
    return Section("Speech", note, rows)


def _backgrounds(noise: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "white noise", noise
    yield "music", _read(ASSETS / MUSIC).astype(float)


def _mix(samples: np.ndarray, background: np.ndarray, level_db: float) -> np.ndarray:
    """Return the sound with a background whose mean power is so many decibels below its own."""
    loop = np.resize(background, len(samples))
    gain = np.sqrt(np.mean(samples.astype(float) ** 2) / np.mean(loop**2) / 10 ** (level_db / 10))
    return np.asarray((samples + gain * loop).clip(-32768, 32767), np.int16)


def _read(path: Path) -> np.ndarray:
    """Return the sound of a file, 16 kHz; nothing where it has none."""
    with MediaFile(path, load_recipe().defaults.media) as media:
        track = media.audio(None)
    samples = np.zeros(0, np.int16) if track is None else track.samples
    return samples[: len(samples) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME]


def _share_per_stretch(network: SileroVad) -> Section:
    config = load_recipe().defaults.silence
    rows = [["Recordings", "stretches", "smallest share", "median", "largest", f"at least {config.min_speech_share:g}"]]
    for folders, label in ((("video",), "the threshold was set on"), (("video_more", "audio"), "held out")):
        shares: dict[bool, list[float]] = {True: [], False: []}
        for path in sorted(path for folder in folders for path in (ASSETS / folder).iterdir()):
            if path.suffix in (".md", ".json", ".rttm") or path.name in SKIPPED:
                continue
            samples = _read(path)
            if not len(samples):
                continue
            span = Span(0, len(samples) // SAMPLES_PER_FRAME)
            for stretch in silence.measure(span, samples, split_silence, config, network.find_speech):
                if stretch.speech and stretch.span.seconds >= config.min_clip_s:
                    is_speech = f"{path.parent.name}/{path.name}" not in OTHER_SOUND
                    shares[is_speech].append(stretch.speech_share or 0.0)
        for is_speech, name in ((True, "somebody speaks"), (False, "music, street, animation")):
            share_S = np.array(shares[is_speech])
            passed = int((share_S >= config.min_speech_share).sum())
            figures = [f"{value:.3f}" for value in (share_S.min(), np.median(share_S), share_S.max())]
            rows.append([f"{name}, {label}", str(len(share_S)), *figures, f"{passed} of {len(share_S)}"])
    note = "Share of speech in each stretch of 2 s and more that the silence stage cuts, of the real recordings of the tests."
    return Section("Speech: shares", note, rows)


def _cost(network: SileroVad) -> Section:
    samples = _read(ASSETS / "audio/silero_vad_test.wav")
    minutes = len(samples) / SAMPLE_RATE_HZ / 60
    hour_s = cpu_s(lambda: network.find_speech(samples)) / minutes * 60
    probe = subprocess.run([sys.executable, "-c", MEMORY_PROBE], capture_output=True, text=True, check=True)
    rows = [
        ["", "Silero in numpy"],
        ["core-seconds for an hour of sound", f"{hour_s:.1f}"],
        ["memory for an hour of sound, beside the sound itself, MB", f"{float(probe.stdout):.0f}"],
    ]
    return Section("Speech: cost", "One thread; the hour is one sound.", rows)
