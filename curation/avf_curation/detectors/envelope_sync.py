"""Sync without weights: how well mouth and sound explain each other at each shift.

The mouth's box comes from RetinaFace's mouth corners, or from its place in dlib's box. Eleven mouth features (darkness,
redness, motion, vertical profile, four principal components) meet seven band energies and their onsets. Four measures
of dependence over shifts are standardised and averaged; the offset is the peak. The confidence is the peak's lead over
the best shift further than three frames away, scaled with the clip's length, because chance peaks are as high as true
ones in short clips. Shapes: T frames, M mouth features, A audio features, S shifts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from scipy.signal import butter, sosfiltfilt

from avf_curation.media.types import Bytes, Samples

Floats = npt.NDArray[np.float64]
PATCH_W, PATCH_H = 32, 20
SPEECH_HZ = (0.7, 8.0)  # how fast mouths and syllables move
BANDS_HZ = ((80, 300), (300, 700), (700, 1200), (1200, 2200), (2200, 4000), (4000, 8000))
RIDGE = 0.3
APART = 3  # frames: shifts closer than this to the peak belong to it
FULL_LENGTH_S = 8.0  # from here on more length adds no trust
_TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class EnvelopeScore:
    """offset: frames by which the sound must be moved later; confidence: see the module; curve_S: dependence.

    mouth_motion: how much the mouth opens and shuts, over the contrast of its picture.
    """

    offset: int
    confidence: float
    curve_S: Floats
    mouth_motion: float


@dataclass(frozen=True, kw_only=True)
class MouthPosition:
    """Where the mouth is in a clip's frames: centres (T, 2) in pixels of the crop, width of the box in pixels."""

    centres_T2: Floats
    width_px: float


def mouth_from_landmarks(mouths_T2: Floats, face_width_px: float) -> MouthPosition:
    """From the centre between the mouth's corners, in crop pixels."""
    width = 0.75 * face_width_px
    return MouthPosition(centres_T2=np.add(mouths_T2, (0.0, 0.05 * width)), width_px=width)


def mouth_from_box(centres_T2: Floats, face_width_px: float, face_height_px: float) -> MouthPosition:
    """From dlib's box, which holds the mouth about a quarter of its height below its centre."""
    return MouthPosition(centres_T2=np.add(centres_T2, (0.0, 0.26 * face_height_px)), width_px=0.6 * face_width_px)


def mouth_patches(frames_THWC: Bytes, place: MouthPosition) -> Bytes:
    """The mouth in each frame, (T, 20, 32, 3)."""
    width = max(8, round(place.width_px))
    height = max(5, round(place.width_px * PATCH_H / PATCH_W))
    rows, columns = frames_THWC.shape[1:3]
    out = np.empty((len(frames_THWC), PATCH_H, PATCH_W, 3), np.uint8)
    for t, (frame_HWC, (x, y)) in enumerate(zip(frames_THWC, place.centres_T2, strict=True)):
        left = int(np.clip(round(x - width / 2), 0, max(0, columns - width)))
        top = int(np.clip(round(y - height / 2), 0, max(0, rows - height)))
        mouth = frame_HWC[top : top + height, left : left + width]
        out[t] = cv2.resize(mouth, (PATCH_W, PATCH_H), interpolation=cv2.INTER_AREA)
    return out


def score_envelope_sync(patches_THWC: Bytes, samples: Samples, shifts: int) -> EnvelopeScore | None:
    """Offset and confidence over -shifts to +shifts. None when the clip is too short or either side does not move."""
    frames = len(patches_THWC)
    if frames < 3 * shifts:
        return None
    mouth_TM, shape_TK, motion = _mouth(patches_THWC)
    energy_TA, onset_TA = _sound(samples, frames)
    if energy_TA.std() < _TINY or mouth_TM.std() < _TINY:
        return None
    everything_TA = np.concatenate([energy_TA, onset_TA], 1)
    both_TM = np.concatenate([mouth_TM, shape_TK[:, :4]], 1)
    curves = np.zeros((4, 2 * shifts + 1))
    for at, shift in enumerate(range(-shifts, shifts + 1)):
        curves[0, at] = np.sum(_correlations(*_pair(mouth_TM, everything_TA, shift)) ** 2)
        squares = _canonical(*_pair(both_TM, energy_TA, shift), RIDGE) ** 2
        curves[1, at], curves[2, at] = squares[:1].sum(), squares[:3].sum()
        curves[3, at] = np.sum(_canonical(*_pair(shape_TK, energy_TA, shift), RIDGE / 3)[:2] ** 2)
    curve_S = _standard(np.mean([_standard(curve) for curve in curves], axis=0))
    best = int(np.argmax(curve_S))
    away = np.abs(np.arange(len(curve_S)) - best) > APART
    lead = curve_S[best] - max(0.0, float(curve_S[away].max()))
    trust = min(1.0, frames / FRAMES_PER_SECOND / FULL_LENGTH_S) ** 0.5
    return EnvelopeScore(offset=best - shifts, confidence=float(lead * trust), curve_S=curve_S, mouth_motion=motion)


def _pair(mouth: Floats, sound: Floats, shift: int) -> tuple[Floats, Floats]:
    """The parts that meet when the sound is moved later by `shift` frames, each feature standardised."""
    frames = len(mouth)
    m = mouth[shift:] if shift >= 0 else mouth[: frames + shift]
    a = sound[: frames - shift] if shift >= 0 else sound[-shift:]
    return _unit(m), _unit(a)


def _unit(x: Floats) -> Floats:
    standardised: Floats = (x - x.mean(0)) / (x.std(0) + _TINY)
    return standardised


def _standard(curve: Floats) -> Floats:
    """Median and median deviation: the peak itself does not count as noise."""
    middle = np.median(curve)
    return np.asarray((curve - middle) / (1.48 * np.median(np.abs(curve - middle)) + _TINY))


def _correlations(m: Floats, a: Floats) -> Floats:
    return np.asarray(m.T @ a / len(m))


def _canonical(m: Floats, a: Floats, ridge: float) -> Floats:
    """Canonical correlations of two standardised feature sets, largest first, with a ridge on both covariances."""
    mm = m.T @ m / len(m) + ridge * np.eye(m.shape[1])
    aa = a.T @ a / len(a) + ridge * np.eye(a.shape[1])
    left = np.linalg.solve(np.linalg.cholesky(mm), _correlations(m, a))
    return np.asarray(np.linalg.svd(np.linalg.solve(np.linalg.cholesky(aa), left.T), compute_uv=False))


def _band_pass(x: Floats) -> Floats:
    filters = butter(2, SPEECH_HZ, "band", fs=FRAMES_PER_SECOND, output="sos")
    return np.asarray(sosfiltfilt(filters, x, axis=0, padlen=min(len(x) - 1, 30)))


def _mouth(patches_THWC: Bytes) -> tuple[Floats, Floats, float]:
    """Band-passed mouth features (T, 7), principal components of the patch (T, 6), and how much the mouth opens."""
    grey = patches_THWC.astype(np.float64).mean(-1)
    frames = len(grey)
    level = grey.mean((1, 2))
    flat = grey - level[:, None, None]
    middle = grey[:, 5:17, 8:24].reshape(frames, -1)
    red = patches_THWC[..., 2].astype(np.float64) - patches_THWC[..., 1]
    column = flat[:, :, 10:22].mean(2)
    features = [
        np.percentile(grey.reshape(frames, -1), 10, axis=1) - level,
        np.percentile(middle, 15, axis=1) - level,
        red[:, 4:18, 6:26].mean((1, 2)),
        np.abs(np.diff(flat, axis=0, prepend=flat[:1])).mean((1, 2)),
        column[:, 8:14].mean(1),
        column[:, 14:].mean(1),
        flat.reshape(frames, -1).std(1),
    ]
    moving = _band_pass(flat.reshape(frames, -1))
    parts, strength, _ = np.linalg.svd(moving - moving.mean(0), full_matrices=False)
    moves_TM = _band_pass(np.stack(features, 1))
    return moves_TM, parts[:, :6] * strength[:6], float(moves_TM[:, 1].std() / (flat.std() + _TINY))


def _sound(samples: Samples, frames: int) -> tuple[Floats, Floats]:
    """Band-passed log energies (T, 7): whole and in six bands, and their onsets (T, 7)."""
    window = 800  # 50 ms around the middle of each 40 ms frame
    ahead = (window - SAMPLES_PER_FRAME) // 2
    padded = np.concatenate([np.zeros(ahead), samples[: frames * SAMPLES_PER_FRAME] / 32768, np.zeros(window)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::SAMPLES_PER_FRAME][:frames]
    power = np.abs(np.fft.rfft(windows * np.hanning(window), 1024)) ** 2
    hz = np.fft.rfftfreq(1024, 1 / SAMPLE_RATE_HZ)
    bands = [power.sum(1)] + [power[:, (hz >= low) & (hz < high)].sum(1) for low, high in BANDS_HZ]
    levels = np.log(np.stack(bands, 1) + 1e-7)
    levels = np.maximum(levels, levels.max(0) - 9)
    onsets = np.abs(np.diff(levels, axis=0, prepend=levels[:1]))
    return _band_pass(levels), _band_pass(onsets)
