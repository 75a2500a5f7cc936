"""Processes that train together, as torchrun says, or this one alone: how a model is spread over them."""

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from avf_training.distributed.context import DistributedContext, Parallel
from avf_training.models.lgi import LGIBlock
from avf_training.models.mae import MaskedAutoencoder


def parallelize(model: MaskedAutoencoder, parallel: Parallel, place: DistributedContext) -> nn.Module:
    """The model as all processes train it. ddp: a copy in each. fsdp: each holds its share of every block (FSDP2).

    Batch norm keeps each process's own running statistics, as the authors' does; nothing of them is read in training.
    """
    if parallel == "ddp":
        return wrap_ddp(model, place)
    mesh = init_device_mesh(place.device.type, (place.size,))
    for part in (*model.encoders(), *model.decoders()):
        for block in part.get_submodule("blocks").children():
            fully_shard(block, mesh=mesh)
            if isinstance(block, LGIBlock):
                register_fsdp_forward_method(block, "forward_local")
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "levels")
    return model


def wrap_ddp(model: nn.Module, place: DistributedContext) -> nn.Module:
    """The model as all processes train it, a copy in each."""
    return model if place.size == 1 else DistributedDataParallel(model, broadcast_buffers=False)


def full_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """All tensors of a model, also of one that is spread. Called by all ranks; only rank 0 gets them then."""
    found = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    return {name: tensor for name, tensor in found.items() if isinstance(tensor, Tensor)}
