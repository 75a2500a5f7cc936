"""Whether pictures in a row are one picture that turns into another: by a mixture of the two, or by a wipe.

Motion is neither: what moves passes through places that neither the first nor the last picture shows it at, and it
keeps its detail. A mixture has less of it: where two unlike pictures are mixed half and half, half of the energy of
their edges is left. Shapes: T pictures, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from avf_curation.detectors.alignment import Image
from avf_curation.media.types import Bytes

SIZE_PX = (64, 48)  # width and height of the compared pictures
MIN_CHANGE = 18.0  # grey levels; measured: dissolves change the picture by 25 and more
MAX_CORRELATION = 0.6  # of the two pictures; measured: talkers 0.62 and more where a mixture explains 0.9 of a change
MAX_DETAIL = (
    0.33  # 0: the edges of mixed pictures are as weak as a mixture's, 1: as strong as those of the two pictures
)
MIN_WIPE = 0.965  # of the change, which a wipe explains; measured: moving cameras up to 0.958
_BLUR_PX = 5
_MIXED = (0.1, 0.9)  # shares of the second picture between which a picture counts as mixed
_MIN_LEVELS = 2  # different mixtures: a cut has none, and between two fields one
_MIN_STEP = 0.02  # of the share, between two different mixtures
_MIN_RISING = 0.9  # of the steps of a wipe, weighted by their size: a wipe does not go back
_REFERENCES = 5  # pictures on either side of a change, of which each is compared with the mean
_ROUNDS = 3  # of fitting the ends of a change, each with the references beside the ends that were fitted before
_SURE_SHARE = 0.15  # what the people do on either side of a dissolve looks like a smaller share
_MAX_MISFIT = 0.06  # of the share, from an even rise; measured: 0.02 where it rises smoothly
_REACH = 0.35  # of the length of a wipe that is looked at on either side of an even rise
_RARE = 0.05  # of the area of a wipe: what people change beside it
_TAIL_SHARE = 0.04  # of the length of a change, beside a frame, that is cut out more on either side


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How far pictures in a row are the first of them turning into the last."""

    share: float  # of the change that a mixture of the two explains, or a wipe; 0 where there is no change
    is_wipe: bool = False  # each pixel goes from one picture to the other at once, at a time of its own


def shrink_picture(small_HWC: Bytes) -> Image:
    """Return a picture as it is compared: small, grey and soft, (H, W)."""
    grey_HW = cv2.cvtColor(small_HWC, cv2.COLOR_BGR2GRAY)
    resized_HW = cv2.resize(grey_HW, SIZE_PX, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(resized_HW, (_BLUR_PX, _BLUR_PX), 0))


def explain_turn(pictures: Sequence[Image]) -> Turn:
    """Return whether the first picture turns into the last."""
    first_HW, last_HW = pictures[0], pictures[-1]
    change_HW = last_HW - first_HW
    if np.abs(change_HW).mean() < MIN_CHANGE or _correlation(first_HW, last_HW) > MAX_CORRELATION:
        return Turn(share=0.0)
    stack_THW = np.stack(pictures)
    shares_T = np.clip(mixture_shares(stack_THW, first_HW, last_HW), 0, 1)
    mixed_T = (shares_T > _MIXED[0]) & (shares_T < _MIXED[1])
    if not mixed_T.any() or 1 + np.count_nonzero(np.diff(np.sort(shares_T[mixed_T])) > _MIN_STEP) < _MIN_LEVELS:
        return Turn(share=0.0)
    energy = float((change_HW**2).sum())
    seen_THW = stack_THW[mixed_T]
    mixtures_THW = first_HW + shares_T[mixed_T, None, None] * change_HW
    mixture, wipe = 0.0, 0.0
    if _detail_left(seen_THW, mixtures_THW, first_HW, last_HW, shares_T[mixed_T]) <= MAX_DETAIL:
        mixture = 1 - float(((seen_THW - mixtures_THW) ** 2).sum((1, 2)).mean()) / energy
    steps = np.diff(shares_T)
    if steps.clip(0).sum() >= _MIN_RISING * np.abs(steps).sum():
        rests_THW = np.minimum((seen_THW - first_HW) ** 2, (seen_THW - last_HW) ** 2)
        wipe = 1 - float(rests_THW.sum((1, 2)).mean()) / energy
    return Turn(share=wipe, is_wipe=True) if wipe > max(mixture, MIN_WIPE) else Turn(share=mixture)


def mixture_shares(stack_THW: Image, first_HW: Image, last_HW: Image) -> Image:
    """Return how much of the way from the first picture to the last each one has gone, (T,)."""
    change_HW = last_HW - first_HW
    energy = (change_HW**2).sum() + 1e-3
    return np.asarray(((stack_THW - first_HW) * change_HW).sum((1, 2)) / energy, np.float32)


def find_ends(pictures: Sequence[Image], *, is_wipe: bool) -> tuple[int, int]:
    """Return the first picture that shows something of the last one, and the first behind it that shows it alone.

    The share of the last picture is taken to rise evenly. People who move change it, too: the two pictures are compared
    as they are right before and behind the change.
    """
    stack_THW = np.stack(pictures)
    count = len(stack_THW)
    start, stop = 0.0, float(count - 1)
    measure = _wiped_shares if is_wipe else mixture_shares
    for number in range(_ROUNDS):
        shares_T = measure(stack_THW, *_references(stack_THW, start, stop))
        start, stop = _fit_ramp(shares_T)
        if number == 0 and _misfit(shares_T, start, stop) > _MAX_MISFIT:  # it rises by leaps, or somebody moves a lot
            start, stop = _find_sure_ends(shares_T)
            break
    if is_wipe:
        start, stop = _extend_wipe(stack_THW, start, stop)
    tail = 1 + _TAIL_SHARE * (stop - start)
    return max(0, int(np.floor(start - tail)) + 1), min(count, int(np.ceil(stop + tail)))


def _references(stack_THW: Image, start: float, stop: float) -> tuple[Image, Image]:
    """Return the mean pictures right before and right behind a change."""
    before, behind = max(1, int(start)), min(len(stack_THW) - 1, int(np.ceil(stop)))
    first_HW = stack_THW[max(0, before - _REFERENCES) : before].mean(0)
    return np.asarray(first_HW), np.asarray(stack_THW[behind : behind + _REFERENCES].mean(0))


def _wiped_shares(stack_THW: Image, first_HW: Image, last_HW: Image) -> Image:
    """Return the share of the area, where the two pictures differ, that looks more like the last one, (T,)."""
    differs_HW = np.abs(last_HW - first_HW) > MIN_CHANGE
    is_last_THW = np.abs(stack_THW - last_HW) < np.abs(stack_THW - first_HW)
    return np.asarray(is_last_THW[:, differs_HW].mean(1), np.float32)


def _find_sure_ends(shares_T: Image) -> tuple[float, float]:
    """Return the ends of a change as far as they are certain, and a part of what lies between beside them."""
    start, stop = sorted(
        (int(np.flatnonzero(shares_T <= _SURE_SHARE)[-1]), int(np.argmax(shares_T >= 1 - _SURE_SHARE)))
    )
    tail = _SURE_SHARE / (1 - 2 * _SURE_SHARE) * (stop - start)
    return max(0.0, start - tail), min(len(shares_T) - 1.0, stop + tail)


def _extend_wipe(stack_THW: Image, start: float, stop: float) -> tuple[float, float]:
    """Return the ends of a wipe: when the first pixels leave the first picture for good, and when the last ones do.

    A circle begins and ends at another pace than an even rise of the area.
    """
    reach = _REACH * (stop - start)
    low, high = max(0, int(start - reach)), min(len(stack_THW) - 1, int(np.ceil(stop + reach)))
    first_HW, last_HW = _references(stack_THW, low, high)
    differs_HW = np.abs(last_HW - first_HW) > MIN_CHANGE
    window_TD = stack_THW[low : high + 1, differs_HW]
    is_first_TD = np.abs(window_TD - last_HW[differs_HW]) >= np.abs(window_TD - first_HW[differs_HW])
    arrivals_D = low + len(is_first_TD) - np.argmax(is_first_TD[::-1], axis=0)
    early, late = np.quantile(arrivals_D, (_RARE, 1 - _RARE))
    return min(start, float(early)), max(stop, float(late))


def _fit_ramp(shares_T: Image) -> tuple[float, float]:
    """Return where an even rise from 0 to 1 begins and ends that fits best, by least squares."""
    times_T = np.arange(len(shares_T), dtype=np.float32)
    best, best_error = (0.0, float(len(shares_T) - 1)), np.inf
    starts = times_T[:-1]
    for length in range(1, len(shares_T)):
        ramps_ST = np.clip((times_T[None] - starts[:, None]) / length, 0, 1)
        errors_S = ((ramps_ST - shares_T[None]) ** 2).sum(1)
        index = int(errors_S.argmin())
        if errors_S[index] < best_error:
            best, best_error = (float(starts[index]), float(starts[index] + length)), float(errors_S[index])
    return best


def _misfit(shares_T: Image, start: float, stop: float) -> float:
    """Return the standard deviation of shares from an even rise."""
    ramp_T = np.clip((np.arange(len(shares_T)) - start) / max(stop - start, 1e-3), 0, 1)
    return float(np.sqrt(((shares_T - ramp_T) ** 2).mean()))


def _detail_left(seen_THW: Image, mixtures_THW: Image, first_HW: Image, last_HW: Image, shares_T: Image) -> float:
    """Return where the energy of the edges lies between that of mixtures (0) and of the two pictures by turns (1)."""
    first, last = _edge_energy(np.stack([first_HW, last_HW]))
    even, mixed = ((1 - shares_T) * first + shares_T * last).sum(), _edge_energy(mixtures_THW).sum()
    return float((_edge_energy(seen_THW).sum() - mixed) / max(even - mixed, 1e-3))


def _edge_energy(stack_THW: Image) -> npt.NDArray[np.float32]:
    return np.asarray(
        (np.diff(stack_THW, axis=1) ** 2).mean((1, 2)) + (np.diff(stack_THW, axis=2) ** 2).mean((1, 2)), np.float32
    )


def _correlation(first_HW: Image, second_HW: Image) -> float:
    first_HW, second_HW = first_HW - first_HW.mean(), second_HW - second_HW.mean()
    return float((first_HW * second_HW).sum() / np.sqrt((first_HW**2).sum() * (second_HW**2).sum() + 1e-6))
