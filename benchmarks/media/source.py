"""The film that every file is encoded from: each frame shows its own number, and a white square flashes with a beep.

Frame n of the film is shown from n / rate seconds on. Its upper half has its number as ten black or white bars, lowest
bit first. The lower half is white while the beep sounds, and black otherwise. Encoders at any useful quality keep both.
"""

import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

WIDTH_PX, HEIGHT_PX = 320, 192
SECONDS = 5
BEEPS_S = (1.0, 2.0, 3.0, 4.0)
BEEP_S = 0.12
SAMPLE_RATE_HZ = 48_000
_BITS = 10
_BAR_PX = WIDTH_PX // _BITS
_BLACK, _WHITE = 0, 255


@dataclass(frozen=True, kw_only=True)
class Film:
    """The raw picture and sound of one frame rate, as input of the ffmpeg program."""

    rate: Fraction  # frames per second
    pictures: Path  # raw grey frames
    sound: Path  # wav, one channel

    def picture_input(self) -> list[str]:
        """Return the options of ffmpeg that read the pictures."""
        size = f"{WIDTH_PX}x{HEIGHT_PX}"
        return ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-r", str(self.rate), "-i", str(self.pictures)]

    def sound_input(self) -> list[str]:
        """Return the options of ffmpeg that read the sound."""
        return ["-i", str(self.sound)]


def make_film(rate: Fraction, folder: Path) -> Film:
    """Write the film of a frame rate below `folder`, where it is not there yet."""
    name = str(rate).replace("/", "_")
    film = Film(rate=rate, pictures=folder / f"{name}.gray", sound=folder / "sound.wav")
    if not film.sound.exists():
        soundfile.write(film.sound, _sound(), SAMPLE_RATE_HZ, subtype="PCM_16")
    if not film.pictures.exists():
        frames = range(int(SECONDS * rate))
        film.pictures.write_bytes(b"".join(_draw(number, is_lit(number, rate)).tobytes() for number in frames))
    return film


def is_lit(number: int, rate: Fraction) -> bool:
    """Return whether frame `number` is shown while a beep sounds."""
    time_s = number / rate
    return any(beep_s <= time_s < beep_s + BEEP_S for beep_s in BEEPS_S)


def read_number(grey_HW: npt.NDArray[np.uint8]) -> int:
    """Return the number that a frame shows."""
    height, width = grey_HW.shape
    row = grey_HW[height // 4]
    return sum(1 << bit for bit in range(_BITS) if row[int((bit + 0.5) * width / _BITS)] > 127)


def find_beeps(samples: npt.NDArray[np.int16], rate_hz: int) -> list[float]:
    """Return the seconds at which a beep begins."""
    loud = np.flatnonzero(np.abs(samples.astype(float)) > 0.25 * np.abs(samples.astype(float)).max())
    return [float(loud[n]) / rate_hz for n in range(len(loud)) if n == 0 or loud[n] - loud[n - 1] > 0.3 * rate_hz]


def run_ffmpeg(arguments: list[str]) -> str:
    """Run the ffmpeg program; return "" or the last line of its error."""
    done = subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1][:90] if done.returncode and done.stderr.strip() else ""


def _draw(number: int, lit: bool) -> npt.NDArray[np.uint8]:
    frame_HW = np.full((HEIGHT_PX, WIDTH_PX), _BLACK, np.uint8)
    for bit in range(_BITS):
        frame_HW[: HEIGHT_PX // 2, bit * _BAR_PX : (bit + 1) * _BAR_PX] = _WHITE if number >> bit & 1 else _BLACK
    frame_HW[HEIGHT_PX // 2 :] = _WHITE if lit else _BLACK
    return frame_HW


def _sound() -> npt.NDArray[np.float64]:
    time_s = np.arange(SECONDS * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    sounding = np.zeros(len(time_s), bool)
    for beep_s in BEEPS_S:
        sounding |= (time_s >= beep_s) & (time_s < beep_s + BEEP_S)
    return 0.5 * np.sin(2 * np.pi * 1000 * time_s) * sounding
