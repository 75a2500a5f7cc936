"""The slot for a vocal separator: a command outside this program that leaves the voice of a sound file.

SUN heard the vocals that Spleeter leaves; it cannot be installed beside this program, and others can, such as Demucs.
The command reads a WAV file of one channel at 44.1 kHz and writes one of its own, of the same length. Its words and its
version are part of what a track is of. S samples.
"""

import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError, UserError
from avf_shards.system.child_process import child_environment
from avf_shards.timeline import SAMPLE_RATE_HZ

from avf_training.framewise.tracks.sound_decoder import decode_sound

RATE_HZ = 44_100  # of what the command reads
_INPUT, _OUTPUT = "{input}", "{output}"
_MAX_DIFFERENCE_S = 0.1  # between the lengths of what it reads and writes


@dataclass(frozen=True, kw_only=True)
class VocalSeparator:
    """A command, and what it calls its version."""

    words: tuple[str, ...]  # of which {input} and {output} stand for files
    version: str  # as the user gives it: its release, and that of its weights
    timeout_s: float = 7200.0  # for one file

    @classmethod
    def parse(cls, command: str, version: str | None) -> "VocalSeparator":
        """Return the separator of two options. Raises UserError for a command without its files, or no version."""
        try:
            words = tuple(shlex.split(command))
        except ValueError as error:
            raise UserError(f"--separator {command}: {error}") from None
        missing = [name for name in (_INPUT, _OUTPUT) if not any(name in word for word in words)]
        if missing:
            raise UserError(
                f"--separator {command}: has no {missing[0]}; name the files it reads and writes, as in "
                f"'demucs-vocals {_INPUT} {_OUTPUT}'"
            )
        if not version or not version.strip():
            raise UserError("--separator-version is missing: tracks record it, as in --separator-version 'demucs 4.1'")
        return cls(words=words, version=version.strip())

    @property
    def settings(self) -> dict[str, str | int | float | bool]:
        """Return what the identity of an extractor says of it."""
        return {"separator": shlex.join(self.words), "separator_version": self.version}

    def decode_voice(self, path: Path) -> npt.NDArray[np.float32]:
        """Return the voice in a file as `decode_sound`, (S,). Raises FaultError, also for what the command leaves."""
        import soundfile

        sound_S = decode_sound(path, rate_hz=RATE_HZ)
        with tempfile.TemporaryDirectory(prefix="avf-voice-") as folder:
            source, output = Path(folder) / "sound.wav", Path(folder) / "voice.wav"
            soundfile.write(source, sound_S, RATE_HZ, subtype="FLOAT")
            self._run(path, source, output)
            if not output.is_file():
                raise FaultError(f"{path}: {self.words[0]} wrote no file")
            try:
                voice_S = decode_sound(output)
            except FaultError as error:
                raise FaultError(f"{path}: what {self.words[0]} wrote is no sound ({error})") from None
        length = round(len(sound_S) * SAMPLE_RATE_HZ / RATE_HZ)
        if abs(len(voice_S) - length) > _MAX_DIFFERENCE_S * SAMPLE_RATE_HZ or not np.isfinite(voice_S).all():
            raise FaultError(
                f"{path}: {self.words[0]} wrote {len(voice_S) / SAMPLE_RATE_HZ:.2f} s of "
                f"{length / SAMPLE_RATE_HZ:.2f} s, or values that are no numbers"
            )
        return np.pad(voice_S[:length], (0, max(0, length - len(voice_S))))

    def _run(self, path: Path, source: Path, output: Path) -> None:
        """Run the command. Raises FaultError, which names the file, and UserError where there is no such command."""
        command = [word.replace(_INPUT, str(source)).replace(_OUTPUT, str(output)) for word in self.words]
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                timeout=self.timeout_s,
                check=False,
            )
        except (FileNotFoundError, PermissionError):
            raise UserError(f"--separator {self.words[0]}: no such command, or it cannot be run") from None
        except subprocess.TimeoutExpired:
            raise FaultError(f"{path}: {self.words[0]} took more than {self.timeout_s:g} s") from None
        if ended.returncode:
            error_lines = ended.stdout.decode("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise FaultError(f"{path}: {self.words[0]} ended with status {ended.returncode} ({error_lines[0][:200]})")
