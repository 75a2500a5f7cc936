"""Settings of the Ray engine: the cluster, the number of workers, and a separate pool of workers for refining."""

import socket
from dataclasses import dataclass

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """Settings of the Ray engine. They never change a result, so they are no part of a run's identity."""

    address: str | None = None  # of a Ray cluster to join; None starts Ray on this machine
    workers: int | None = None  # None: one for each CPU of the cluster, and more when it grows
    refiners: int = 0  # workers of the refining pool; 0: the workers screen and refine, and have the GPUs
    gpus_per_worker: float = 1.0  # GPUs of each worker that refines; 0.25 lets four workers share a GPU
    start_timeout_s: float = 600.0  # a pool without any worker for longer ends the run; booting machines may need more


def connect_port(address: str) -> tuple[str, int] | None:
    """Return (host, port) of an address HOST:PORT or ray://HOST:PORT, after a connection to it.

    Other addresses name no port; they are left to Ray, and None is returned. Raises ConnectionError where nothing
    listens.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        return None
    try:
        # An IPv6 address stands in brackets beside a port, and without them where it is connected to.
        socket.create_connection((host.removeprefix("[").removesuffix("]"), int(port)), _CONNECT_TIMEOUT_S).close()
    except UnicodeError:  # Python encodes a name before it looks it up
        raise ConnectionError(f"{host!r} is no host name") from None
    except (OSError, OverflowError) as error:
        raise ConnectionError(getattr(error, "strerror", None) or "no answer") from None
    return host, int(port)


def describe_lost_address(address: str, reason: str) -> str:
    """Return the sentence about a cluster that cannot be joined."""
    return f"no Ray cluster on {address}: {reason}; is it up, and is its port open?"
