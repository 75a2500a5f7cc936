"""Parity with the authors' code: our numbers beside files of tensors that it computed on small random models.

The tensors in a file tell of which kind it is. Errors are |ours - theirs| / max(1, |theirs|); tolerances by precision:
in float64 1e-12 against numbers stored in float64, 2e-7 against numbers rounded to float32, 1e-7 for losses (the mean
and deviation of images are float32 constants in the authors' code); in float32 2e-5 for all, times the scale of what
batch norm adds up for gradients (`GradientScale`). A file may hold a part of a model's numbers.
Log-mels are computed in float32 alone. Each processor rounds their Fourier transform in its own way, relative to the
loudest band of a frame, and the logarithm of a quiet band magnifies that; so their energies are compared, as shares of
the loudest band's.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from avf_shards.errors import UserError
from avf_shards.timeline import SAMPLE_RATE_HZ
from torch import Tensor

from avf_training.conversion.gradient_scale import GRADIENT_SCALE
from avf_training.conversion.parity_models import Oracle, classifier_numbers, mae_dfer_numbers, mae_numbers
from avf_training.data.fbank import MEAN, TWO_STD, log_mel
from avf_training.models.mask_sampling import block_mask, running_cells, tube_mask
from avf_training.models.patch_embed import sincos_table

_RESULTS = ("out.", "loss.", "grad.", "target.", "bn_after.", "pt.", "ft.")

Numbers = Mapping[str, Tensor]
STORED_F64, STORED_F32, LOSS, SINGLE = 1e-12, 2e-7, 1e-7, 2e-5


@dataclass(frozen=True, kw_only=True)
class ParityRow:
    """The worst difference in one group of numbers."""

    file: str  # of the oracle
    precision: str  # `float64` or `float32`; empty where it does not apply
    group: str  # outputs, losses or gradients of one part
    numbers: int  # how many were compared
    worst: float  # |ours - theirs| / max(1, |theirs|)
    tolerance: float  # largest difference that passes
    where: str  # name of the tensor with the worst difference

    @property
    def passed(self) -> bool:
        """Return whether the worst difference lies within the tolerance."""
        return self.worst <= self.tolerance  # False for nan


def compare_with_oracle(path: Path) -> list[ParityRow]:
    """Return every group of one file in float64 and, for models, float32. Raises UserError for an unknown kind."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            oracle = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (ValueError, BadZipFile, EOFError, AttributeError, TypeError):
        raise UserError(f"{path}: damaged, or not a .npz file of plain arrays, as numpy.savez writes it") from None
    try:
        if "meta.config" in oracle:
            return _models(path.name, oracle)
        return _exact(path.name, oracle)
    except KeyError as error:
        raise UserError(f"{path}: has no {error}, so it is not an oracle file of a kind known here") from None


def _models(file: str, oracle: Oracle) -> list[ParityRow]:
    config = json.loads(str(oracle["meta.config"]))
    numbers: Callable[[Oracle, dict[str, object], torch.dtype], Numbers]
    if any(name.startswith("pt.w.") for name in oracle):
        numbers = mae_dfer_numbers
    else:
        numbers = mae_numbers if "decoder_embed_dim" in config else classifier_numbers
    rows, scale = [], 1.0
    for dtype in (torch.float64, torch.float32):
        ours = dict(numbers(oracle, config, dtype))
        computed_scale = float(ours.pop(GRADIENT_SCALE, torch.ones(())))
        scale = computed_scale if dtype == torch.float64 else scale  # float32 is not asked how exact it is
        precision = str(dtype).removeprefix("torch.")
        rows += _rows(file, precision, oracle, ours, partial(_tolerance, oracle, dtype, scale))
    missing = [name for name in oracle if name not in ours and name.startswith(_RESULTS) and ".w." not in name]
    if missing:
        rows.append(
            ParityRow(
                file=file,
                precision="",
                group="not computed here",
                numbers=len(missing),
                worst=float("inf"),
                tolerance=0.0,
                where=missing[0],
            )
        )
    return rows


def _tolerance(oracle: Oracle, dtype: torch.dtype, scale: float, name: str) -> float:
    if dtype == torch.float32:
        return SINGLE * scale if name.startswith("grad.") else SINGLE
    if name.startswith("loss."):
        return LOSS
    return STORED_F64 if oracle[name].dtype == np.float64 else STORED_F32


def _exact(file: str, oracle: Oracle) -> list[ParityRow]:
    """Return the groups of masks, positions and log-mels, which need no weights and are computed in one precision."""
    ours: dict[str, Tensor] = {}
    theirs = dict(oracle)
    audio = {name for name in oracle if name.startswith("fbank_norm.")}
    for name, stored in oracle.items():
        computed = _position(name) if name.startswith("n") and "_d" in name else _mask(name)
        if computed is None and name in audio:
            wave = torch.from_numpy(np.asarray(oracle[name.replace("fbank_norm.", "wave.")]))
            mel_MF = log_mel(wave, SAMPLE_RATE_HZ)[0].double().numpy()
            loudest_M1 = _band_energies(stored).max(1, keepdims=True)
            theirs[name] = _band_energies(stored) / loudest_M1
            computed = _band_energies(mel_MF) / loudest_M1
        if computed is not None:
            ours[name] = torch.from_numpy(np.asarray(computed)[: len(stored)].reshape(stored.shape))
    if not ours:
        raise KeyError("meta.config")
    return _rows(file, "as stored", theirs, ours, lambda name: SINGLE if name in audio else STORED_F32)


def _band_energies(mel_MF: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return the energies of normalized log-mels."""
    return np.asarray(np.exp(mel_MF.astype(np.float64) * TWO_STD + MEAN))


def _position(name: str) -> npt.NDArray[np.float64]:
    tokens, width = (int(part[1:]) for part in name.split("_")[:2])
    return sincos_table(tokens, width).double().numpy()


def _mask(name: str) -> npt.NDArray[np.float64] | None:
    """Masks named like tube_seed0_8x10x10_r0.9_win5x10, drawn from numpy's old generator."""
    parts = name.split("_")
    grids = [tuple(map(int, part.split("x"))) for part in parts if part[0].isdigit() and "x" in part]
    ratios = [float(part[1:]) for part in parts if part[0] == "r" and part[1:2].isdigit()]
    if not grids or not ratios:
        return None
    grid, ratio = grids[0], ratios[0]
    if name.startswith("run_cell"):
        return (~running_cells((grid[0], grid[1], grid[2]), ratio)).astype(float)
    random = np.random.RandomState(0)
    windows = [part[3:] for part in parts if part.startswith("win") and part[3:4].isdigit()]
    masks = []
    for _ in range(4):
        if len(grid) == 3:
            window = tuple(map(int, windows[0].split("x"))) if windows else grid[1:]
            size = window[0] * window[1]
            masks.append(tube_mask(random, (grid[0], grid[1], grid[2]), (window[0], window[1]), int(ratio * size)))
        else:
            masks.append(block_mask(random, (grid[0], grid[1]), (grid[0], grid[1]), int(ratio * grid[0] * grid[1])))
    return np.stack(masks).astype(float)


def _rows(
    file: str, precision: str, oracle: Oracle, ours: Numbers, tolerance: Callable[[str], float]
) -> list[ParityRow]:
    """Return the worst difference of each group, in units of its tolerance where a group has more than one."""
    worst: dict[tuple[str, float], tuple[float, str, int]] = {}
    for name, value in ours.items():
        theirs = oracle[name].astype(np.float64)
        got = value.detach().double().numpy()
        if got.shape != theirs.shape:
            raise UserError(f"{file}: {name}: shape {got.shape} here, {theirs.shape} in the file")
        error = float(np.max(np.abs(got - theirs) / np.maximum(1.0, np.abs(theirs)), initial=0.0))
        group = _group(name), tolerance(name)
        before = worst.get(group, (-1.0, "", 0))
        count = before[2] + theirs.size
        worst[group] = (error, name, count) if not error <= before[0] else (*before[:2], count)
    return [
        ParityRow(file=file, precision=precision, group=group, numbers=count, worst=error, tolerance=limit, where=where)
        for (group, limit), (error, where, count) in worst.items()
    ]


def _group(name: str) -> str:
    """The part of a name that says what kind of number it is."""
    parts = name.split(".")
    if parts[0] in ("grad", "bn_after"):
        return {"grad": "gradients", "bn_after": "batch-norm statistics"}[parts[0]]
    if parts[0] == "loss":
        return "losses"
    if parts[0] == "target":
        return "targets"
    if parts[0] in ("out", "pt", "ft"):
        return ".".join(part for part in parts[:3] if not part.isdigit())
    return "features" if parts[0].startswith("fbank") else name.split("_seed")[0].split("_8x")[0]
