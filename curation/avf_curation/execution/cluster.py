"""How a run uses Ray: where the cluster is, how many workers, whether refining has a pool of its own."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """workers: None takes one for each CPU of the cluster, and more as it grows. refiners: a pool of their own with
    `gpus_each` (0 refiners: the workers do it all, and have the GPUs). start_timeout_s: seconds after which a pool
    without any worker ends the run; an autoscaler that boots machines may need more."""

    address: str | None = None
    workers: int | None = None
    refiners: int = 0
    gpus_each: float = 1.0
    start_timeout_s: float = 600.0
