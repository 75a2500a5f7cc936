"""Batches of voice windows in an order drawn by the seed and the epoch; their position is the loader's state.

Shapes: B windows, N samples (64,000), S steps, W seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from torch import Tensor

from avf_training.framewise.metrics import MISSING_CLASS
from avf_training.framewise.models.speech_heads import STEPS, WINDOWS
from avf_training.framewise.sampling.voice_segments import segment_sound
from avf_training.framewise.speech.voice_windows import VoiceWindow
from avf_training.framewise.speech.wave_store import WaveStore, to_fractions

NOISE_SHARES = (0.0001, 0.005)  # deviation of the noise by that of the wave
GAIN_DB = (-20.0, -1.0)


@dataclass(frozen=True, kw_only=True)
class SpeechBatch:
    """Windows of one step."""

    number: int  # of the step: what is random in it depends on this and the seed
    wave_BN: Tensor  # in -1..1, 16 kHz
    affect_BS2: Tensor  # nan where it is not learned
    expressions_BW: Tensor  # -1 where they are not learned


class SpeechLoader:
    """Endless batches; each epoch has every window once, but for those that fill no batch."""

    def __init__(
        self, windows: Sequence[VoiceWindow], waves: WaveStore, *, batch: int, seed: int, augment: bool
    ) -> None:
        """Remember the windows. Raises UserError where there are fewer than a batch."""
        if len(windows) < batch:
            raise UserError(f"{len(windows)} voice windows make no batch of {batch}; take a smaller batch")
        self._windows, self._waves, self._batch, self._seed, self._augment = windows, waves, batch, seed, augment
        self._step = 0
        self.device: torch.device | str = "cpu"

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def steps_per_epoch(self) -> int:
        """Return the batches of an epoch."""
        return len(self._windows) // self._batch

    def __iter__(self) -> Iterator[SpeechBatch]:
        """Yield batches from the current step on."""
        while True:
            epoch, number = divmod(self._step, self.steps_per_epoch)
            order = np.random.default_rng((self._seed, epoch)).permutation(len(self._windows))
            chosen = order[number * self._batch : (number + 1) * self._batch]
            random = np.random.default_rng((self._seed, epoch, number))
            batch = self.make_batch(chosen, random if self._augment else None)
            self._step += 1
            yield batch

    def make_batch(
        self, chosen: Sequence[int] | npt.NDArray[np.int64], random: np.random.Generator | None
    ) -> SpeechBatch:
        """Return a batch of these windows, augmented where there is a generator."""
        windows = [self._windows[int(index)] for index in chosen]
        waves = [segment_sound(to_fractions(self._waves.read(each.file)), each.segment) for each in windows]
        if random is not None:
            waves = [augment_wave(wave, random) for wave in waves]
        affect = [
            np.full((STEPS, 2), np.nan, np.float32) if each.affect_S2 is None else each.affect_S2 for each in windows
        ]
        expressions = [
            np.full(WINDOWS, MISSING_CLASS, np.int64) if each.expressions_W is None else each.expressions_W
            for each in windows
        ]
        return SpeechBatch(
            number=self._step,
            wave_BN=torch.from_numpy(np.stack(waves).astype(np.float32)).to(self.device),
            affect_BS2=torch.from_numpy(np.stack(affect)).to(self.device),
            expressions_BW=torch.from_numpy(np.stack(expressions)).to(self.device),
        )

    def batches(self) -> Iterator[SpeechBatch]:
        """Yield all windows once, in order and as they are."""
        for start in range(0, len(self._windows), self._batch):
            yield self.make_batch(range(start, min(start + self._batch, len(self._windows))), None)

    def state_dict(self) -> dict[str, Any]:
        """Return the step from which the loader continues."""
        return {"windows": len(self._windows), "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state. Raises UserError for one of other windows."""
        if state.get("windows") != len(self._windows):
            raise UserError(
                f"the checkpoint is of {state.get('windows')} voice windows, and there are {len(self._windows)}; train "
                "in another folder"
            )
        self._step = int(state["step"])


def augment_wave(wave_N: npt.NDArray[np.floating], random: np.random.Generator) -> npt.NDArray[np.floating]:
    """Return a wave with the other sign, with white noise, or with less loudness: one of the three, always."""
    kind = random.integers(3)
    if kind == 0:
        return -wave_N
    if kind == 1:
        noise_N = random.standard_normal(len(wave_N)) * random.uniform(*NOISE_SHARES) * wave_N.std()
        return np.asarray(wave_N + noise_N.astype(wave_N.dtype))
    gain = wave_N.dtype.type(10 ** (random.uniform(*GAIN_DB) / 20))
    return np.asarray(wave_N * gain)
