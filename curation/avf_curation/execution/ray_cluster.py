"""Connect to a Ray cluster, or start one on this machine, and ask about its CPUs and nodes."""

import logging
import os
import socket
import time
from typing import Any

import ray

from avf_curation.execution.cluster import ClusterConfig
from avf_curation.pipeline.failures import InfrastructureError

log = logging.getLogger(__name__)
_OBJECT_STORE_BYTES = 200_000_000  # only metadata and reports go through it; Ray's default takes 30 % of the memory
_CONNECT_TIMEOUT_S = 5.0  # of the first connection to a cluster
_PROBE_PAUSES_S = (0.5, 0.0)  # after each of two probes of a node


def connect_cluster(cluster: ClusterConfig, device: str) -> bool:
    """Join the configured cluster, or start Ray on this machine. Return whether this process must shut Ray down.

    Raises InfrastructureError.
    """
    if ray.is_initialized():
        return False
    # Ray's announced default for workers that declare no GPU; unset, every worker warns of the change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    level = logging.INFO if log.isEnabledFor(logging.DEBUG) else logging.ERROR
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": level}
    try:
        if cluster.address:
            _check_reachable(cluster.address)
            ray.init(address=cluster.address, **common)
            log.info("joined the Ray cluster at %s with %d CPUs", cluster.address, count_cpus())
        else:
            cpus = (cluster.workers or os.cpu_count() or 1) + cluster.refiners
            ray.init(
                address="local",  # without this Ray would join a cluster that happens to run on this machine
                num_cpus=cpus,
                num_gpus=0 if device == "cpu" else None,  # None: Ray counts them
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **common,
            )
            log.info("started Ray on this machine with %d CPUs", cpus)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        if cluster.address:
            raise InfrastructureError(
                f"no Ray cluster on {cluster.address}: {reason}; is it up, and is its port open?"
            ) from None
        raise InfrastructureError(
            f"Ray does not start on this machine: {reason}; --engine inline works without Ray"
        ) from None
    return True


def _check_reachable(address: str) -> None:
    """Raise ConnectionError unless something listens at HOST:PORT; Ray itself waits for two minutes.

    Other addresses, such as "auto", name no port and are left to Ray.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ConnectionError(error.strerror or "no answer") from None


def count_cpus() -> int:
    """Return how many CPUs the cluster has now."""
    return int(ray.cluster_resources().get("CPU", 0))


def any_node_alive() -> bool:
    """Return whether Ray knows of a node that is alive."""
    return any(node["Alive"] for node in ray.nodes())


def node_is_alive(node_id: str) -> bool:
    """Return whether a node outlived a worker that died on it.

    Ray takes half a minute to call a silent node dead, and the node's raylet may outlive its workers for a moment.
    So the raylet's port is probed twice.
    """
    for pause_s in _PROBE_PAUSES_S:
        node = next((node for node in ray.nodes() if node["NodeID"] == node_id and node["Alive"]), None)
        if node is None:
            return False
        try:
            socket.create_connection((node["NodeManagerAddress"], node["NodeManagerPort"]), timeout=3).close()
        except OSError:
            return False
        time.sleep(pause_s)
    return True
