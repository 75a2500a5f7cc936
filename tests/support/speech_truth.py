"""Human speech annotations of real audio files, and the frame F1 of the silence stage against them."""

import json
from pathlib import Path

import numpy as np
import soundfile
from avf_curation.detectors.librosa_split import split_silence
from avf_curation.stages import silence
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, Span


def load_speech_truth(audio: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return by file name: the samples (int16, 16 kHz), and for each frame at 25 fps whether somebody speaks."""
    turns = []
    for line in (audio / "pyannote_two_speakers.rttm").read_text().splitlines():
        fields = line.split()
        turns.append((float(fields[3]), float(fields[3]) + float(fields[4])))
    blocks = json.loads((audio / "speechbrain_vad_valid.json").read_text())
    speech = []
    for block in blocks.values():  # "0.38 2 2.1 2.5": pairs of seconds inside the block
        times = [block["wav"]["start"] / 16_000 + float(word) for word in block["speech"].split()]
        speech += list(zip(times[::2], times[1::2], strict=True))
    return {
        "pyannote_two_speakers": _frames(audio / "pyannote_two_speakers.wav", turns),
        "speechbrain_vad_valid": _frames(audio / "speechbrain_vad_valid.wav", speech),
    }


def _frames(path: Path, spans: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == 16_000
    times_T = (np.arange(len(samples) // SAMPLES_PER_FRAME) + 0.5) / FRAMES_PER_SECOND
    return samples, np.any([(a <= times_T) & (times_T < b) for a, b in spans], axis=0)


def speech_f1(samples: np.ndarray, speech_T: np.ndarray, config: silence.SilenceConfig) -> float:
    """Return the F1 score, over frames, of the speech that the stage finds."""
    predicted_T = np.zeros(len(speech_T), bool)
    for stretch in silence.measure(
        Span(0, len(speech_T)), samples[: len(speech_T) * SAMPLES_PER_FRAME], split_silence, config
    ):
        predicted_T[stretch.span.start_frame : stretch.span.stop_frame] = stretch.speech
    return frame_f1(predicted_T, speech_T)


def frame_f1(predicted_T: np.ndarray, speech_T: np.ndarray) -> float:
    """Return the F1 score of the frames that are taken for speech."""
    hits = int((predicted_T & speech_T).sum())
    return 2 * hits / max(1, int(predicted_T.sum() + speech_T.sum()))
