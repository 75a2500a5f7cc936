"""Distribution of a model over the ranks: a copy on each rank (DDP), or a shard of every block (FSDP2)."""

import logging
from collections.abc import Iterable

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from avf_training.distributed.context import DistributedContext
from avf_training.distributed.environment import Parallel
from avf_training.models.lgi import LGIBlock
from avf_training.models.mae import MaskedAutoencoder

log = logging.getLogger(__name__)


def parallelize_model(model: MaskedAutoencoder, parallel: Parallel, context: DistributedContext) -> nn.Module:
    """Return the model as all ranks train it.

    ddp: a copy on each rank. fsdp: each rank holds its shard of every block (FSDP2). The train step gives all ranks the
    same running statistics of batch norm.
    """
    if parallel == "ddp":
        return wrap_ddp(model, context)
    parts = (*model.encoders(), *model.decoders())
    blocks = [block for part in parts for block in part.get_submodule("blocks").children()]
    shard_blocks(model, blocks, context)
    # FSDP gathers parameters in hooks around forward(); other entry points must be registered to get them too.
    for block in blocks:
        if isinstance(block, LGIBlock):
            register_fsdp_forward_method(block, "forward_local")
    register_fsdp_forward_method(model, "level_features")
    return model


def shard_blocks(model: nn.Module, blocks: Iterable[nn.Module], context: DistributedContext) -> nn.Module:
    """Return the model, of which each rank now holds its shard of every block and of the rest (FSDP2)."""
    mesh = init_device_mesh(context.device.type, (context.size,))
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    log.info("FSDP: blocks are sharded over %d ranks", context.size)
    return model


def wrap_ddp(model: nn.Module, context: DistributedContext) -> nn.Module:
    """Return the model with a copy on each rank; the model itself when there is one rank."""
    if context.size == 1:
        return model
    log.info("DDP: the model is copied to %d ranks", context.size)
    return DistributedDataParallel(model, broadcast_buffers=False)  # the train step keeps buffers equal


def full_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Return all tensors of a model, also of a sharded one (collective: all ranks must call it; rank 0 gets them)."""
    state = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
