"""Connect to a Ray cluster whose nodes see the same folders, or start one on this machine."""

import os
from dataclasses import dataclass

from avf_shards.errors import UserError


@dataclass(frozen=True, kw_only=True)
class RayResources:
    """What the nodes of a cluster have together."""

    cpus: int
    gpus: int
    node_gpus: int  # of the node with the most: a task is on one node


def connect_ray(address: str) -> RayResources:
    """Join the cluster at HOST:PORT, the one that was started here ("auto"), or start one ("local").

    Raises UserError for "auto" where nobody has started a cluster on this machine, and for an address where none is.
    """
    import ray

    found = _find_started_cluster() if address == "auto" else address
    try:
        ray.init(address=found, log_to_driver=False, configure_logging=False)
    except Exception as error:
        # Where a process of its own does not start in time, Ray raises a bare Exception.
        if type(error) is not Exception and not isinstance(error, (ConnectionError, ValueError)):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise UserError(f"--ray {address}: no Ray cluster answers ({reason}); name HOST:PORT, auto or local") from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return RayResources(
        cpus=int(sum(node.get("CPU", 0) for node in nodes)),
        gpus=int(sum(node.get("GPU", 0) for node in nodes)),
        node_gpus=int(max((node.get("GPU", 0) for node in nodes), default=0)),
    )


def _find_started_cluster() -> str:
    """Return RAY_ADDRESS, or the cluster of the last `ray start` on this machine, and never another program's own."""
    from ray._private.services import find_bootstrap_address

    named = os.environ.get("RAY_ADDRESS", "auto")
    address = find_bootstrap_address(None) if named in ("", "auto") else named
    if not address:
        raise UserError("--ray auto: nobody has run `ray start` on this machine; do so, or name HOST:PORT or local")
    return str(address)
