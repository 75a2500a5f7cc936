"""Learning rates as functions of the position in training, so that a resumed run needs no state of a schedule."""

import math


def cosine_between(highest: float, lowest: float, position: float, length: float) -> float:
    """Return the rate at `position` of half a cosine wave that falls from `highest` at 0 to `lowest` at `length`."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * position / length)) / 2


def warmup_then_epoch_cosine(
    step: int,
    *,
    steps_per_epoch: int,
    highest: float = 0.005,
    lowest: float = 1e-4,
    warmup_from: float = 5e-5,
    warmup_steps: int = 100,
) -> float:
    """Return the rate of SUN's visual nets at a step, counted from 0.

    It rises linearly for the first steps, and then falls and rises with a period of ten epochs, once an epoch. The
    default start of the warm-up is the paper's; the code's is 1e-5.
    """
    if step < warmup_steps:
        return warmup_from + (highest - warmup_from) * step / warmup_steps
    epochs_since_warmup = step // steps_per_epoch - warmup_steps // steps_per_epoch
    return cosine_between(highest, lowest, epochs_since_warmup, 5)


def cosine_with_restarts(
    step: int, *, steps_per_epoch: int, highest: float, lowest: float, restart_epochs: int = 10
) -> float:
    """Return the rate of SUN's audio-visual fusion and audio nets at a step, counted from 0.

    The clock of the authors' code stands at 0 for the first step and at one epoch for the second. With `highest` equal
    to `lowest`, as for audio, the rate is constant.
    """
    epochs = 1 + (step - 1) / steps_per_epoch if step else 0.0
    return cosine_between(highest, lowest, epochs % restart_epochs, restart_epochs)


def netease_epoch_rate(epoch: int, *, highest: float = 5e-5, lowest: float = 1e-5) -> float:
    """Return the rate of NetEase's fusion transformer in an epoch: a triangle with a period of four epochs."""
    return cosine_between(highest, lowest, epoch, 2)


def run_cosine_rate(epoch: float, *, epochs: float, highest: float = 1e-4, lowest: float = 0.0) -> float:
    """Return the rate of our protocol for the fusion transformer: one fall over the whole run."""
    return cosine_between(highest, lowest, min(epoch, epochs), epochs)


def masked_autoencoder_rate(
    epoch: float,
    *,
    base_rate: float = 1.5e-4,
    batch: int = 4096,
    epochs: float = 800,
    warmup_epochs: float = 40,
) -> float:
    """Return the rate of image MAE at a fraction of an epoch: linear from 0, then half a cosine wave to 0.

    `base_rate` is that of 256 pictures in a batch.
    """
    highest = base_rate * batch / 256
    if epoch < warmup_epochs:
        return highest * epoch / warmup_epochs
    return cosine_between(highest, 0.0, epoch - warmup_epochs, epochs - warmup_epochs)
