"""Connect to a Ray cluster, or start one on this machine, and ask about its CPUs and nodes."""

import logging
import os
import signal
import socket
import time
from typing import Any

import ray
from ray.exceptions import AuthenticationError

from avf_curation.execution.cluster import ClusterConfig, describe_lost_address
from avf_curation.execution.ray_access import check_access, find_started_cluster, unreadable_token
from avf_curation.pipeline.failures import InfrastructureError

log = logging.getLogger(__name__)
_OBJECT_STORE_BYTES = 200_000_000  # only metadata and reports go through it; Ray's default takes 30 % of the memory
_JOINS = 3  # attempts to join through Ray's client port
_NO_CLIENT_SERVER = "Starting Ray client server failed"
_PROBE_PAUSES_S = (0.5, 0.0)  # after each of two probes of a node


def connect_cluster(cluster: ClusterConfig, device: str) -> bool:
    """Join the configured cluster, or start Ray on this machine. Return whether this process must shut Ray down.

    Raises InfrastructureError, and KeyboardInterrupt for a SIGTERM in the meantime.
    """
    if ray.is_initialized():
        return False
    # Ray's announced default for workers that declare no GPU; unset, every worker warns of the change.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    level = logging.INFO if log.isEnabledFor(logging.DEBUG) else logging.ERROR
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": level}
    address = find_started_cluster() if cluster.address == "auto" else cluster.address
    try:
        if address:
            check_access(address)
            _join(address, common)
            log.info("joined the Ray cluster at %s with %d CPUs", address, count_cpus())
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
    except SystemExit as error:  # Ray's handler of SIGTERM while it starts or joins: it ends the process in silence
        if error.code != signal.SIGTERM:
            raise
        raise KeyboardInterrupt from None
    except AuthenticationError as error:
        raise unreadable_token(error) from None
    except Exception as error:
        # Where a process of its own does not start in time, Ray raises a bare Exception.
        if type(error) is not Exception and not isinstance(error, (ConnectionError, RuntimeError, ValueError)):
            raise
        reason = " ".join(str(error).split())[:300]
        if address:
            raise InfrastructureError(describe_lost_address(address, reason)) from None
        raise InfrastructureError(
            f"Ray does not start on this machine: {reason}; --engine inline works without Ray"
        ) from None
    return True


def _join(address: str, options: dict[str, Any]) -> None:
    """Join a cluster. Raises what ray.init raises.

    The head starts a process for each driver that comes through its client port, by a fork of a process with threads,
    which fails now and then; so these failures, and no others, are tried again.
    """
    for attempt in range(1, _JOINS + 1):
        try:
            ray.init(address=address, **options)
            return
        except ConnectionError as error:
            if attempt == _JOINS or _NO_CLIENT_SERVER not in str(error):
                raise
            log.warning("the head of the Ray cluster did not start a process for this driver; trying again")


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
