"""Counts the multiply-adds and the activation memory of a model's forward pass without computing it.

The model runs once, on fake tensors, which have shapes and no values; its weights are not initialized. Blocks of a
stack cost the same for inputs of the same shape, so each kind of block runs once and its cost is added for the others.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from avf_training.models.config import Precision
from avf_training.models.masks import Masks

_FLASH_CPU = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


@dataclass(frozen=True, kw_only=True)
class ForwardCost:
    """Cost of one forward pass of a batch."""

    parts: Mapping[str, int]  # parameters by the name of the child module; the rest is under the empty name
    gmacs: float  # multiply-adds of one clip, in 10^9
    single_gmacs: float  # those of them whose operands are in single precision
    activation_bytes: int  # that the backward pass of the batch needs besides parameters, with fused attention


def count_forward(
    build: Callable[[], nn.Module],
    shapes: tuple[tuple[int, ...] | None, ...],
    masks: tuple[Masks, ...],
    batch: int,
    precision: Precision,
) -> ForwardCost:
    """Return the cost of one forward pass of the model that `build` returns.

    Args:
        shapes: of one clip of each input of the model; None for an input that the model does not take.
        masks: for at least `batch` clips, where the model takes masks.
    """
    with _SkipInitialization():  # type: ignore[no-untyped-call]  # torch types no __init__ of its modes
        model = build()
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        batch_masks = [Masks(*(fake.from_tensor(part)[:batch] for part in stacked)) for stacked in masks]
        inputs = [None if shape is None else torch.zeros(batch, *shape) for shape in shapes]
        counter = _Counter()
        hooks = torch.autograd.graph.saved_tensors_hooks(counter.save, lambda x: x)
        with _reuse_blocks(model, counter), hooks, precision.autocast("cpu"), counter:
            out = model(*inputs, *batch_masks)
        del out
    parts = {name: sum(p.numel() for p in child.parameters()) for name, child in model.named_children()}
    parts[""] = sum(p.numel() for p in model.parameters()) - sum(parts.values())
    return ForwardCost(
        parts=parts,
        gmacs=counter.flops / 2 / batch / 1e9,  # two operations a multiply-add
        single_gmacs=counter.single_flops / 2 / batch / 1e9,
        activation_bytes=counter.extra_bytes + sum(counter.saved.values()),
    )


class _SkipInitialization(TorchDispatchMode):
    """Leaves out operations that write into a tensor: the values of fake tensors mean nothing."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        return args[0] if name.endswith("_") and not name.endswith("__") else func(*args, **(kwargs or {}))


class _Counter(TorchDispatchMode):
    """Counts operations, and the bytes of tensors that autograd saves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch types no __init__ of its modes
        self.parameters: set[int] = set()  # storages that are there without a backward pass
        self.flops = 0
        self.single_flops = 0  # those of them whose operands are in single precision
        self.saved: dict[int, int] = {}  # bytes by storage: tensors that share a storage count once
        self.extra_bytes = 0  # of blocks that were not run
        self._alive: list[Tensor] = []  # held so that no later storage takes the identity of a counted one

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        flops = 0
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        elif packet is _FLASH_CPU:  # torch's counter knows this kernel only on GPUs
            flops = sdpa_flop_count(*(x.shape for x in args[:3]))
        if flops:
            self.flops += flops
            self.single_flops += (
                flops if args[-1 if packet is torch.ops.aten.addmm else 0].dtype == torch.float32 else 0
            )
        return out

    def save(self, x: Tensor) -> Tensor:
        """Count a tensor that autograd saves."""
        storage = x.untyped_storage()
        if storage._cdata not in self.parameters:
            self.saved[storage._cdata] = storage.nbytes()
        self._alive.append(x)
        return x


@dataclass(frozen=True, kw_only=True)
class _BlockCost:
    """Cost of one run of a block."""

    flops: int  # floating-point operations
    single_flops: int  # those of them in single precision
    saved_bytes: int  # saved for the backward pass, without the block's input
    shape: torch.Size  # of the output
    dtype: torch.dtype  # of the output


@contextmanager
def _reuse_blocks(model: nn.Module, counter: _Counter) -> Iterator[None]:
    """Run only the first of equal blocks of each stack, and count its cost for the others.

    Blocks that are recomputed in the backward pass save nothing of their own, and are all run.
    """
    recomputed = any(getattr(module, "checkpointing", False) for module in model.modules())
    stacks = [] if recomputed else [[*module] for module in model.modules() if isinstance(module, nn.ModuleList)]
    late = {module for stack in stacks for block in stack[:-1] for module in block.modules()}
    for module in model.modules():
        if module not in late:  # the last block of a stack may be called by another method than `forward`
            _make_fake(module, counter)
    for stack in stacks:
        costs: dict[Any, _BlockCost] = {}
        for block in stack:
            block.forward = _reusing(block, block.forward, costs, counter)
    try:
        yield
    finally:
        for stack in stacks:
            for block in stack:
                del block.__dict__["forward"]


def _make_fake(module: nn.Module, counter: _Counter) -> None:
    """Replace the parameters and buffers of one module, without its children, by fake tensors of the same shapes."""
    for tensors in (module._parameters, module._buffers):
        for name, x in tensors.items():
            if x is not None and not isinstance(x, FakeTensor):
                fake: Any = torch.empty(x.shape, dtype=x.dtype, requires_grad=x.requires_grad)
                tensors[name] = fake
                counter.parameters.add(fake.untyped_storage()._cdata)


def _reusing(
    block: nn.Module, forward: Callable[..., Any], costs: dict[Any, _BlockCost], counter: _Counter
) -> Callable[..., Any]:
    """Return `forward` of a block that takes its cost from `costs` where an equal block was run before."""
    structure = (
        tuple((name, type(module)) for name, module in block.named_modules()),
        tuple((name, p.shape) for name, p in block.named_parameters()),
    )

    def run_block(*inputs: Any) -> Any:
        for module in block.modules():  # here, because making fake parameters takes longer than all else
            _make_fake(module, counter)
        return forward(*inputs)

    def run(x: Tensor, *more: Any) -> Any:
        if more:
            return run_block(x, *more)
        kind = (structure, x.shape, x.dtype)
        storage = x.untyped_storage()
        if kind in costs:
            cost = costs[kind]
            counter.flops += cost.flops
            counter.single_flops += cost.single_flops
            counter.extra_bytes += cost.saved_bytes
            counter.save(x)
            return torch.empty(cost.shape, dtype=cost.dtype, requires_grad=True)
        flops, single_flops, before = counter.flops, counter.single_flops, dict(counter.saved)
        out = run_block(x)
        counter.save(x)  # every block normalizes its input, which saves it
        if isinstance(out, Tensor) and out.untyped_storage().nbytes() == out.numel() * out.itemsize:
            new = {key: size for key, size in counter.saved.items() if key not in before and key != storage._cdata}
            costs[kind] = _BlockCost(
                flops=counter.flops - flops,
                single_flops=counter.single_flops - single_flops,
                saved_bytes=sum(new.values()),
                shape=out.shape,
                dtype=out.dtype,
            )
        return out

    return run
