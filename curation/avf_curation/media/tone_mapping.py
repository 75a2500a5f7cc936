"""High dynamic range and wide gamut as BT.709: colours of a frame for a screen of 203 cd/m2, as players show them.

PQ and HLG follow ITU-R BT.2100, the roll-off of highlights is the EETF of ITU-R BT.2390-11 section 5.4.1 on the largest
component, and diffuse white lies at 203 cd/m2 as in ITU-R BT.2408. FFmpeg's library in PyAV has no zscale, and its own
colour management takes 7 s of set-up for each picture size.
"""

from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.media.picture_format import side_data
from avf_curation.media.types import Bytes

Floats = npt.NDArray[np.float32]
_WHITE_NITS = 203.0  # BT.2408: diffuse white of HDR video; SDR white after the conversion
_PEAK_NITS = 1000.0  # of HLG's reference display, and the usual mastering peak of PQ; what is brighter is white
_SDR_GAMMA = 2.4  # of BT.1886, the display of BT.709 video
_LEVELS = 4096  # entries of the tables below: 12 bits, as PQ needs
_STRIP = 32  # rows
_PQ, _HLG = 16, 18  # AVColorTransferCharacteristic
_UNSPECIFIED = 2  # of AVColorPrimaries and AVColorTransferCharacteristic
_BT2020_MATRICES = (9, 10)  # AVColorSpace
_FOREIGN_MATRICES = (14, 15)  # AVColorSpace: ICtCp and IPT-C2, which swscale would read as YCbCr
# Linear RGB to linear BT.709, all with the white point D65, by AVColorPrimaries: BT.2020 (BT.2087-0) and Display P3.
_TO_BT709 = {
    9: ((1.6605, -0.5876, -0.0728), (-0.1246, 1.1329, -0.0083), (-0.0182, -0.1006, 1.1187)),
    12: ((1.2249, -0.2249, 0.0), (-0.0420, 1.0420, 0.0), (-0.0197, -0.0786, 1.0983)),
}
_LUMA_2020 = (0.2627, 0.6780, 0.0593)


def color_kind(frame: Any) -> str:
    """Return "PQ", "HLG" or "wide gamut" for a frame whose colours need conversion, "" for plain BT.709 or BT.601."""
    if frame.color_trc in (_PQ, _HLG):
        return "PQ" if frame.color_trc == _PQ else "HLG"
    return "wide gamut" if _primaries(frame) in _TO_BT709 else ""


def is_convertible(frame: Any) -> bool:
    """Return whether the colours of a frame can be brought to BT.709; those of Dolby Vision profile 5 cannot."""
    if int(frame.colorspace) in _FOREIGN_MATRICES:
        return False
    dolby_vision = any(side_data(frame, kind) for kind in ("DOVI_METADATA", "DOVI_RPU_BUFFER"))
    return not dolby_vision or color_kind(frame) != "" or frame.color_trc != _UNSPECIFIED


def _primaries(frame: Any) -> int:
    primaries = int(frame.color_primaries)
    if primaries == _UNSPECIFIED and int(frame.colorspace) in _BT2020_MATRICES:
        return 9
    if primaries not in _TO_BT709 and frame.color_trc in (_PQ, _HLG):
        return 9  # BT.2100 knows no other primaries
    return primaries


def to_bt709(rgb_HWC: npt.NDArray[np.uint16], frame: Any) -> Bytes:
    """Return 8-bit BT.709 RGB of the frame's own RGB of 16 bits (H, W, 3).

    The tables make the error at most one level against the formulas.
    """
    kind, to_bt709_33 = color_kind(frame), np.array(_TO_BT709[_primaries(frame)], np.float32)
    out = np.empty(rgb_HWC.shape, np.uint8)
    for row in range(0, len(rgb_HWC), _STRIP):  # strips stay in the processor's cache, which halves the time
        code = rgb_HWC[row : row + _STRIP] >> 4
        linear = np.take(_eotf(kind), code, mode="clip")  # 1.0 is diffuse white
        if kind == "HLG":
            luminance = cv2.transform(linear, np.array([_LUMA_2020], np.float32))
            # The system gamma of 1.2 at 1000 cd/m2 (BT.2100 table 5), on scene light.
            linear = _scaled(linear, cv2.pow(luminance, 0.2) * np.float32(_PEAK_NITS / _WHITE_NITS))
        if kind in ("PQ", "HLG"):
            peak = cv2.max(cv2.max(linear[..., 0], linear[..., 1]), linear[..., 2])
            index = (peak * np.float32((_LEVELS - 1) * _WHITE_NITS / _PEAK_NITS)).astype(np.int32)
            linear = _scaled(linear, np.take(_highlight_scale(), index, mode="clip"))
        # The root spreads the dark levels over the table.
        root = np.sqrt(np.maximum(cv2.transform(linear, to_bt709_33), 0))
        out[row : row + _STRIP] = np.take(_sdr_code(), (root * (_LEVELS - 1) + 0.5).astype(np.int32), mode="clip")
    return out


def _scaled(image_HWC: Floats, factor_HW: Floats) -> Floats:
    return np.asarray(cv2.multiply(image_HWC, cv2.merge([factor_HW] * 3)), np.float32)


@cache
def _eotf(kind: str) -> Floats:
    """Return linear light by code value: scene light of 0 to 1 for HLG, else in units of diffuse white."""
    code = np.linspace(0, 1, _LEVELS)
    if kind == "PQ":
        return (pq_to_nits(code) / _WHITE_NITS).astype(np.float32)
    if kind == "HLG":
        return hlg_to_scene(code).astype(np.float32)
    return np.power(code, _SDR_GAMMA).astype(np.float32)


@cache
def _highlight_scale() -> Floats:
    """Return by how much light up to the peak is dimmed."""
    nits = np.linspace(0, _PEAK_NITS, _LEVELS)
    nits[0] = nits[1]
    return (roll_off(nits) / nits).astype(np.float32)


@cache
def _sdr_code() -> Bytes:
    root = np.linspace(0, 1, _LEVELS)
    return np.round(255 * np.power(root, 2 / _SDR_GAMMA)).astype(np.uint8)


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # BT.2100 table 4


def pq_to_nits(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the light in cd/m2 of PQ code values of 0 to 1."""
    power = np.power(code, 1 / _M2)
    return 10_000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)


def nits_to_pq(nits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the PQ code values, 0 to 1, of light in cd/m2."""
    power = np.power(nits / 10_000, _M1)
    return np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2)


def hlg_to_scene(code: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return scene light of 0 to 1 of HLG code values of 0 to 1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073  # BT.2100 table 5
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)


def roll_off(nits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return light of 0 to 1000 cd/m2 for a screen of 203 cd/m2: dark and middle tones stay, highlights bend."""
    source_peak, target_peak = nits_to_pq(np.array([_PEAK_NITS, _WHITE_NITS]))
    level, highest = nits_to_pq(nits) / source_peak, target_peak / source_peak
    knee = 1.5 * highest - 0.5
    t = (level - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (-2 * t**3 + 3 * t**2) * highest
    return pq_to_nits(np.where(level < knee, level, spline) * source_peak)
