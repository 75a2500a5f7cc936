"""What the product shows of a generated file, and how far that is from the film."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_curation.media.decode import MediaFile
from avf_curation.media.frame_converter import FrameConverter
from avf_curation.media.types import MediaError
from avf_curation.recipe import load_recipe
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLE_RATE_HZ, Span

from benchmarks.media.cases import MediaCase
from benchmarks.media.source import WIDTH_PX, find_beeps, make_film, read_number

_SECONDS_READ_TWICE = 1


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A file as the product reads it, beside the film."""

    frames: int = 0  # of the timeline, 25 per second
    expected_frames: int = 0  # of the right timeline
    missing: int = 0  # frames of the film that are not shown; 0 above 25 fps, where not all have a place
    picture_ms: float = 0.0  # largest distance of a shown frame from the time at which the film shows it
    sound_ms: float | None = None  # largest distance between a beep and its place on the right timeline; None: no sound
    second_read_equal: bool = True  # a span that is read again has the same pixels
    error: str = ""  # why there is no reading


def read_case(case: MediaCase, folder: Path) -> Reading:
    """Generate a file, read it as curation does, and compare it with the film."""
    error = case.write(make_film(case.rate, folder), folder)
    if error:
        return Reading(error=f"ffmpeg cannot write it: {error}")
    try:
        return _read(case, folder / case.file)
    except MediaError as fault:
        return Reading(error=f"failed: {fault}")
    finally:
        (folder / case.file).unlink()


def deviations(case: MediaCase, reading: Reading) -> list[str]:
    """Return what of a reading breaks the promises of docs/media.md, in words; nothing for a file that was not written."""
    if reading.error:
        return [reading.error] if reading.error.startswith("failed") else []
    faults = []
    if abs(reading.frames - reading.expected_frames) > 1:
        faults.append(f"{reading.frames} frames, not {reading.expected_frames}")
    if reading.missing > 1:
        faults.append(f"{reading.missing} frames are not shown")
    if reading.picture_ms > case.picture_limit_ms:
        faults.append(f"a picture is {reading.picture_ms:.0f} ms from its time")
    if reading.sound_ms is not None and not reading.sound_ms <= case.sound_limit_ms:  # NaN: not all beeps are there
        faults.append(f"a beep is {reading.sound_ms:.0f} ms from its time")
    if not reading.second_read_equal:
        faults.append("the second read differs")
    return faults


def _read(case: MediaCase, path: Path) -> Reading:
    with MediaFile(path, load_recipe().defaults.media) as media:
        converter = FrameConverter()
        shown, pixels = [], {}
        for item in media.frames():
            shown.append(read_number(converter.long_side(item.frame, WIDTH_PX, "gray")[0]))
            if item.index < _SECONDS_READ_TWICE * FRAMES_PER_SECOND + 40:
                pixels[item.index] = converter.long_side(item.frame, WIDTH_PX, "bgr24")[0]
        assert media.video_track is not None
        span = Span(40, min(40 + _SECONDS_READ_TWICE * FRAMES_PER_SECOND, len(shown)))
        again = [converter.long_side(frame, WIDTH_PX, "bgr24")[0] for frame in media.read(span)]
        equal = all(np.array_equal(frame, pixels[span.start_frame + n]) for n, frame in enumerate(again))
        audio = media.audio(media.video_track.frames)
    expected = [_expected_number(case, index) for index in range(round(case.seconds * FRAMES_PER_SECOND))]
    return Reading(
        frames=media.video_track.frames,
        expected_frames=len(expected),
        missing=len(set(expected) - set(shown)) if case.rate <= FRAMES_PER_SECOND else 0,
        picture_ms=1000 * max(_distance_s(case, index, number) for index, number in enumerate(shown)),
        sound_ms=None if audio is None else _sound_ms(case, audio.samples),
        second_read_equal=equal and len(again) == span.frames,
    )


def _expected_number(case: MediaCase, index: int) -> int:
    """Return the frame of the film that a player shows at `index` of the timeline: the newest that has begun."""
    return int(
        Fraction(case.shown(index / FRAMES_PER_SECOND)).limit_denominator(100_000) * case.rate + Fraction(1, 1000)
    )


def _distance_s(case: MediaCase, index: int, number: int) -> float:
    """Return how far `index` is from the time for which the film shows frame `number`; 0 inside of that time."""
    time_s = case.shown(index / FRAMES_PER_SECOND)
    start_s, stop_s = float(number / case.rate), float((number + 1) / case.rate)
    distance_s = max(0.0, start_s - time_s, time_s - stop_s)
    # The last frame of a film that begins again is near to the first one.
    return distance_s if case.repeats_s is None else min(distance_s, case.repeats_s - distance_s)


def _sound_ms(case: MediaCase, samples: npt.NDArray[np.int16]) -> float:
    beeps_s = find_beeps(samples, SAMPLE_RATE_HZ)
    if len(beeps_s) != len(case.beeps_s):
        return float("nan")
    return 1000 * max(abs(beep - expected) for beep, expected in zip(beeps_s, case.beeps_s, strict=True))
