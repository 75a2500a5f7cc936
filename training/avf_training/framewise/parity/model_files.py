"""What the comparisons of models share: weights from a file or by rule, no dropout, and both precisions."""

import zlib
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from avf_training.conversion.parity import ParityRow
from avf_training.framewise.models.checkpoint_names import load_authors_tensors, names_in_checkpoint
from avf_training.framewise.parity.rows import OracleNumbers, compare_pairs

DOUBLE, SINGLE = 1e-12, 2e-5

Compute = Callable[[torch.dtype], Mapping[str, Tensor]]


def stored_tensor(oracle: OracleNumbers, name: str, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of a file, in `dtype` where it is given and the tensor holds fractions."""
    tensor = torch.from_numpy(np.array(oracle[name]))
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def load_stored(model: nn.Module, oracle: OracleNumbers, prefix: str, dtype: torch.dtype) -> None:
    """Load the weights that a file holds under `prefix`, all of them, and set eval mode."""
    theirs = {name[len(prefix) :]: stored_tensor(oracle, name) for name in oracle if name.startswith(prefix)}
    load_authors_tensors(model.to(dtype), theirs, prefix)
    model.eval()


def load_filled(model: nn.Module, prefix: str, dtype: torch.dtype) -> None:
    """Give each tensor values drawn by its name in the authors' code, as the makers of a file did; set eval mode."""
    model.to(dtype).eval()
    state = model.state_dict()
    filled = {
        ours: filled_by_name(prefix + theirs, state[ours])
        for ours, theirs in names_in_checkpoint(model).items()
        if state[ours].is_floating_point()
    }
    model.load_state_dict(filled, strict=False)


def filled_by_name(name: str, like: Tensor) -> Tensor:
    """Return values drawn from a generator that the name seeds, rounded to float32."""
    shape = tuple(like.shape)
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    last = name.rpartition(".")[2]
    if last == "running_var":
        values = 1 + 0.3 * np.abs(drawn)
    elif last == "running_mean" or len(shape) < 2:
        values = 0.1 * drawn + (len(shape) == 1 and last == "weight")
    else:
        values = drawn / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(values, np.float32))


def switch_off_dropout(model: nn.Module) -> None:
    """Set every probability of dropout to 0, so that train mode has batch statistics alone."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention | nn.GRU):
            module.dropout = 0.0


def gradients_by_their_names(model: nn.Module, oracle: OracleNumbers, prefix: str) -> dict[str, Tensor]:
    """Return the gradients that a file holds under `prefix`."""
    names = names_in_checkpoint(model)
    gradients = {f"{prefix}{names[ours]}": value.grad for ours, value in model.named_parameters()}
    return {name: grad for name, grad in gradients.items() if grad is not None and name in oracle}


def compare_both_precisions(
    file: str,
    oracle: OracleNumbers,
    compute: Compute,
    group: Callable[[str], str] = lambda _: "outputs",
    double: Callable[[str], float] = lambda _: DOUBLE,
) -> list[ParityRow]:
    """Return a row for each group and precision of the numbers that `compute` returns by their names in the file.

    `double`: the tolerance of a group in float64.
    """
    rows = []
    for dtype in (torch.float64, torch.float32):
        groups: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
        for name, ours in compute(dtype).items():
            groups.setdefault(group(name), []).append((name, ours.detach().double().numpy(), oracle[name]))
        precision = str(dtype).removeprefix("torch.")
        rows += [
            compare_pairs(file, title, pairs, double(title) if dtype == torch.float64 else SINGLE, precision)
            for title, pairs in groups.items()
        ]
    return rows


def missing_row(file: str, names: list[str], why: str) -> ParityRow:
    """Return a row that fails, for numbers of a file that cannot be compared."""
    return ParityRow(
        file=file,
        precision="",
        group=f"not compared: {why}",
        numbers=len(names),
        worst=float("inf"),
        tolerance=0.0,
        where=names[0],
    )
