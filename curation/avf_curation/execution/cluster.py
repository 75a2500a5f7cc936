"""Settings of the Ray engine: the cluster, the number of workers, and a separate pool of workers for refining."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Settings of the Ray engine. They never change a result, so they are no part of a run's identity."""

    address: str | None = None  # of a Ray cluster to join; None starts Ray on this machine
    workers: int | None = None  # None: one for each CPU of the cluster, and more when it grows
    refiners: int = 0  # workers of the refining pool; 0: the workers screen and refine, and have the GPUs
    gpus_per_worker: float = 1.0  # GPUs of each worker that refines; 0.25 lets four workers share a GPU
    start_timeout_s: float = 600.0  # a pool without any worker for longer ends the run; booting machines may need more
