"""The sound of a run's videos, decoded once: RUN/waves/NUMBER.npy, 16-bit samples that are read from the disk."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.system import durable_io

_SCALE = 32767.0


class WaveStore:
    """Waves by file."""

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self._paths = {file: folder / f"{number:06d}.npy" for number, file in enumerate(sorted(set(files)))}
        self._waves: dict[Path, npt.NDArray[np.int16]] = {}

    def decode(self, decode: Callable[[Path], npt.NDArray[np.float32]], on_file: Callable[[int, int], None]) -> None:
        """Decode what is not there yet; files are written under another name and renamed.

        Raises FaultError for a file that does not decode.
        """
        for number, (file, path) in enumerate(self._paths.items(), 1):
            if path.is_file():
                continue
            on_file(number, len(self._paths))
            buffer = io.BytesIO()
            np.save(buffer, (decode(file).clip(-1, 1) * _SCALE).round().astype(np.int16))
            durable_io.make_folder(path.parent)
            durable_io.replace_file(path, buffer.getvalue())

    def read(self, file: Path) -> npt.NDArray[np.int16]:
        """Return a wave, mapped from the disk."""
        if file not in self._waves:
            self._waves[file] = np.load(self._paths[file], mmap_mode="r")
        return self._waves[file]


def to_fractions(wave_S: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """Return samples in -1..1."""
    return wave_S.astype(np.float32) / np.float32(_SCALE)
