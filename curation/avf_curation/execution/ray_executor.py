"""Run units on Ray: warm actors with one unit in flight each, on this machine or a cluster.

One pool of actors curates whole units. Where refining needs GPUs, one pool screens on CPUs and a second pool refines.
Only metadata goes from one pool to the other; frames never travel.
"""

import logging
from collections.abc import Callable, Iterator

import ray
from ray.exceptions import RayError

from avf_curation.execution import signals
from avf_curation.execution.circuit_breaker import CircuitBreaker
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.execution.events import Event
from avf_curation.execution.ray_cluster import connect_cluster
from avf_curation.execution.ray_scheduler import UnitScheduler
from avf_curation.execution.worker import WorkerSetup
from avf_curation.pipeline.failures import InfrastructureError
from avf_curation.pipeline.unit_job import UnitJob, UnitReport

log = logging.getLogger(__name__)


def run_units(
    jobs: Iterator[UnitJob],
    setup: WorkerSetup,
    cluster: ClusterConfig,
    breaker: CircuitBreaker,
    emit: Callable[[Event], None],
) -> Iterator[UnitReport]:
    """Run `jobs` and yield a report whenever a unit is committed. Raises InfrastructureError."""
    started_here = connect_cluster(cluster, setup.device)
    signals.restore_handlers()  # Ray's own, for SIGTERM, prints a native stack and aborts
    scheduler = UnitScheduler(setup, cluster, breaker, emit)
    try:
        yield from scheduler.run(jobs)
    except (RayError, ConnectionError) as error:
        log.debug("lost the Ray cluster", exc_info=True)
        kind = type(error).__name__
        raise InfrastructureError(f"the Ray cluster was lost ({kind}); the same command continues") from None
    finally:
        scheduler.stop()
        if started_here:
            ray.shutdown()
