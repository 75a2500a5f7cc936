"""Audio-visual sync without weights: how strongly mouth and sound depend on each other at each shift.

The box of the mouth comes from RetinaFace's mouth corners, or from the mouth's usual position in dlib's box. Eleven
mouth features (darkness, redness, motion, vertical profile, four principal components) are compared with seven band
energies and their onsets. Four measures of dependence over shifts are standardised and averaged, and the peak gives the
offset. The confidence is the lead of the peak over the best shift more than three frames away, scaled with the clip's
length, because in short clips chance peaks are as high as true ones.

Shapes: T frames, M mouth features, K principal components, A audio features, S shifts.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from scipy.ndimage import rank_filter
from scipy.signal import butter, sosfiltfilt

from avf_curation.media.types import FULL_SCALE, Bytes, Samples
from avf_curation.stages.sync import PEAK_HALF_WIDTH, SEARCHES_IN_CLIP, is_at_rim

Floats = npt.NDArray[np.float64]
PATCH_W, PATCH_H = 32, 20  # pixels of a mouth patch
SPEECH_HZ = (0.7, 8.0)  # rates at which mouths and syllables move
BANDS_HZ = ((80, 300), (300, 700), (700, 1200), (1200, 2200), (2200, 4000), (4000, 8000))
# Added to standardised covariances: without it the few frames of a short clip correlate strongly at any shift.
RIDGE = 0.3
FULL_LENGTH_S = 8.0  # from this length on a clip's confidence is not scaled down
# Shorter clips tell no offset: 2 to 3 s hold six words, and chance peaks led by as much as true ones (a GRID clip in
# sync was moved by 120 ms). Neither does a peak at the rim of the search.
TELLING_LENGTH_S = 3.0
RANGE = 9.0  # nats, 39 dB: a band's levels that are further below its loudest count as equal
# A click is no reference: a band's loudest frame counts for at most this much, 17 dB, above the level that it reaches
# in 8 of 25 frames. Clicks are 28 dB and more above; the bands of speech, whose hisses are short, stay below.
CREST, LASTING_FRAMES = 4.0, 8  # nats, frames
_TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class EnvelopeScore:
    """Offset and confidence of one clip."""

    offset: int  # frames by which the sound must be moved later
    confidence: float  # lead of the peak in robust standard deviations, scaled with the clip's length; 0: cannot tell
    curve_S: Floats  # dependence at each shift, from -shifts to +shifts
    mouth_motion: float  # how much the mouth opens and shuts, over the contrast of its image


@dataclass(frozen=True, kw_only=True)
class MouthPosition:
    """Position of the mouth in each frame of a clip."""

    centres_T2: Floats  # x, y in pixels of the crop
    width_px: float  # of the mouth's box, in pixels of the crop; the same in every frame


def mouth_from_landmarks(mouths_T2: Floats, face_width_px: float) -> MouthPosition:
    """Return the mouth's position from the centres between its corners, in pixels of the crop."""
    width = 0.75 * face_width_px
    return MouthPosition(centres_T2=np.add(mouths_T2, (0.0, 0.05 * width)), width_px=width)


def mouth_from_box(centres_T2: Floats, face_width_px: float, face_height_px: float) -> MouthPosition:
    """Return the mouth's position from dlib's boxes, whose mouth lies a quarter of the height below the centre."""
    return MouthPosition(centres_T2=np.add(centres_T2, (0.0, 0.26 * face_height_px)), width_px=0.6 * face_width_px)


def mouth_patches(frames_THWC: Bytes, mouth: MouthPosition) -> Bytes:
    """Return the image of the mouth in each frame, (T, 20, 32, 3)."""
    width = max(8, round(mouth.width_px))
    height = max(5, round(mouth.width_px * PATCH_H / PATCH_W))
    rows, columns = frames_THWC.shape[1:3]
    corners_T2 = np.rint(mouth.centres_T2 - np.array([width / 2, height / 2]))
    limits_2 = max(0, columns - width), max(0, rows - height)
    corners = np.clip(corners_T2, 0, limits_2).astype(int).tolist()
    patches_THWC = np.empty((len(frames_THWC), PATCH_H, PATCH_W, 3), np.uint8)
    for t, (frame_HWC, (left, top)) in enumerate(zip(frames_THWC, corners, strict=True)):
        box_HWC = frame_HWC[top : top + height, left : left + width]
        patches_THWC[t] = cv2.resize(box_HWC, (PATCH_W, PATCH_H), interpolation=cv2.INTER_AREA)
    return patches_THWC


def score_envelope_sync(patches_THWC: Bytes, samples: Samples, shifts: int) -> EnvelopeScore | None:
    """Return offset and confidence over -shifts to +shifts frames.

    None means that the clip is shorter than three times `shifts`, that its mouth does not move, or that its sound does
    not change.
    """
    frames = len(patches_THWC)
    if frames < SEARCHES_IN_CLIP * shifts:
        return None
    mouth_TM, shape_TK, motion = _mouth_features(patches_THWC)
    energy_TA, onset_TA = _sound_features(samples, frames)
    if energy_TA.std() < _TINY or mouth_TM.std() < _TINY:
        return None
    sound_TA = np.concatenate([energy_TA, onset_TA], 1)
    mouth_and_shape_TM = np.concatenate([mouth_TM, shape_TK[:, :4]], 1)
    curves = np.zeros((4, 2 * shifts + 1))
    for index, shift in enumerate(range(-shifts, shifts + 1)):
        curves[0, index] = np.sum(_correlations(*_overlap(mouth_TM, sound_TA, shift)) ** 2)
        squares = _canonical_correlations(*_overlap(mouth_and_shape_TM, energy_TA, shift), RIDGE) ** 2
        curves[1, index], curves[2, index] = squares[:1].sum(), squares[:3].sum()
        shape = _canonical_correlations(*_overlap(shape_TK, energy_TA, shift), RIDGE / 3)
        curves[3, index] = np.sum(shape[:2] ** 2)
    curve_S = standardise_curve(np.mean([standardise_curve(curve) for curve in curves], axis=0))
    best = int(np.argmax(curve_S))
    elsewhere = np.abs(np.arange(len(curve_S)) - best) > PEAK_HALF_WIDTH
    lead = curve_S[best] - max(0.0, float(curve_S[elsewhere].max()))
    length_s = frames / FRAMES_PER_SECOND
    confidence = float(lead * min(1.0, length_s / FULL_LENGTH_S) ** 0.5)
    if length_s < TELLING_LENGTH_S or is_at_rim(best - shifts, shifts):
        confidence = min(confidence, 0.0)
    return EnvelopeScore(offset=best - shifts, confidence=confidence, curve_S=curve_S, mouth_motion=motion)


def _overlap(mouth_TM: Floats, sound_TA: Floats, shift: int) -> tuple[Floats, Floats]:
    """Return the parts of both that overlap when the sound is moved later by `shift` frames, each standardised."""
    frames = len(mouth_TM)
    mouth_part_TM = mouth_TM[shift:] if shift >= 0 else mouth_TM[: frames + shift]
    sound_part_TA = sound_TA[: frames - shift] if shift >= 0 else sound_TA[-shift:]
    return _standardise(mouth_part_TM), _standardise(sound_part_TA)


def _standardise(x: Floats) -> Floats:
    standardised: Floats = (x - x.mean(0)) / (x.std(0) + _TINY)
    return standardised


def standardise_curve(curve_S: Floats) -> Floats:
    """Return the curve in robust standard deviations from its median, so that the peak does not count as noise."""
    median = np.median(curve_S)
    # 1.48 median absolute deviations are one standard deviation of a normal distribution.
    return np.asarray((curve_S - median) / (1.48 * np.median(np.abs(curve_S - median)) + _TINY))


def _correlations(mouth_TM: Floats, sound_TA: Floats) -> Floats:
    return np.asarray(mouth_TM.T @ sound_TA / len(mouth_TM))


def _canonical_correlations(mouth_TM: Floats, sound_TA: Floats, ridge: float) -> Floats:
    """Return the canonical correlations of two standardised feature sets, largest first, with ridge regularisation."""
    mouth_MM = mouth_TM.T @ mouth_TM / len(mouth_TM) + ridge * np.eye(mouth_TM.shape[1])
    sound_AA = sound_TA.T @ sound_TA / len(sound_TA) + ridge * np.eye(sound_TA.shape[1])
    # Whitening by Cholesky factors: the singular values of the whitened cross-covariance are the correlations.
    left = np.linalg.solve(np.linalg.cholesky(mouth_MM), _correlations(mouth_TM, sound_TA))
    return np.asarray(np.linalg.svd(np.linalg.solve(np.linalg.cholesky(sound_AA), left.T), compute_uv=False))


def _band_pass(x: Floats) -> Floats:
    """Return the features at the rates of speech alone."""
    filters = butter(2, SPEECH_HZ, "band", fs=FRAMES_PER_SECOND, output="sos")
    return np.asarray(sosfiltfilt(filters, x, axis=0, padlen=min(len(x) - 1, 30)))


def measure_mouth_motion(patches_THWC: Bytes) -> float:
    """Return how much the mouth opens and shuts, over the contrast of its image, from patches by `mouth_patches`."""
    grey_THW = patches_THWC.astype(np.float64).mean(-1)
    level_T = grey_THW.mean((1, 2))
    darkness_T1 = _band_pass(_middle_darkness(grey_THW, level_T)[:, None])
    return _motion(darkness_T1[:, 0], grey_THW - level_T[:, None, None])


def _middle_darkness(grey_THW: Floats, level_T: Floats) -> Floats:
    """Return the level of the dark part of the middle of the mouth, which opening makes darker, over the mean, (T,)."""
    return np.percentile(grey_THW[:, 5:17, 8:24].reshape(len(grey_THW), -1), 15, axis=1) - level_T


def _motion(darkness_T: Floats, flat_THW: Floats) -> float:
    """Return how much the mouth opens and shuts, over the contrast of its image."""
    return float(darkness_T.std() / (flat_THW.std() + _TINY))


def _mouth_features(patches_THWC: Bytes) -> tuple[Floats, Floats, float]:
    """Return band-passed mouth features (T, 7), principal components of the patch (T, 6), and the mouth's motion."""
    grey = patches_THWC.astype(np.float64).mean(-1)
    frames = len(grey)
    level = grey.mean((1, 2))
    flat = grey - level[:, None, None]
    red = patches_THWC[..., 2].astype(np.float64) - patches_THWC[..., 1]
    column = flat[:, :, 10:22].mean(2)
    features = [
        np.percentile(grey.reshape(frames, -1), 10, axis=1) - level,
        _middle_darkness(grey, level),
        red[:, 4:18, 6:26].mean((1, 2)),
        np.abs(np.diff(flat, axis=0, prepend=flat[:1])).mean((1, 2)),
        column[:, 8:14].mean(1),
        column[:, 14:].mean(1),
        flat.reshape(frames, -1).std(1),
    ]
    moving = _band_pass(flat.reshape(frames, -1))
    components, strength, _ = np.linalg.svd(moving - moving.mean(0), full_matrices=False)
    features_TM = _band_pass(np.stack(features, 1))
    return features_TM, components[:, :6] * strength[:6], _motion(features_TM[:, 1], flat)


def _lasting_levels(levels_TA: Floats) -> Floats:
    """Return the level that sound reaches for 0.32 s of the second around each frame, (T, A)."""
    lasting_TA: Floats = rank_filter(
        levels_TA, -LASTING_FRAMES, (FRAMES_PER_SECOND, 1), mode="constant", cval=levels_TA.min()
    )
    return lasting_TA


def _sound_features(samples: Samples, frames: int) -> tuple[Floats, Floats]:
    """Return band-passed log energies (T, 7), of all frequencies and of six bands, and their onsets (T, 7)."""
    window = 800  # samples: 50 ms around the middle of each 40 ms frame
    ahead = (window - SAMPLES_PER_FRAME) // 2
    padded = np.concatenate([np.zeros(ahead), samples[: frames * SAMPLES_PER_FRAME] / FULL_SCALE, np.zeros(window)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, window)[::SAMPLES_PER_FRAME][:frames]
    power = np.abs(np.fft.rfft(windows * np.hanning(window), 1024)) ** 2
    hz = np.fft.rfftfreq(1024, 1 / SAMPLE_RATE_HZ)
    bands = [power.sum(1)] + [power[:, (hz >= low) & (hz < high)].sum(1) for low, high in BANDS_HZ]
    levels = np.log(np.stack(bands, 1) + 1e-7)
    loudest = np.minimum(levels.max(0), _lasting_levels(levels).max(0) + CREST)
    levels = np.clip(levels, loudest - RANGE, loudest)
    onsets = np.abs(np.diff(levels, axis=0, prepend=levels[:1]))
    return _band_pass(levels), _band_pass(onsets)
