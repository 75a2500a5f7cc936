"""Find the Ray cluster of this machine, and ask a cluster before joining it whether it takes this process's token.

Ray's own attempts take 20 to 30 seconds and then say "connection timeout" of a refused token, too.
"""

import os

import grpc
from ray._private.grpc_utils import init_grpc_channel  # adds the token and the TLS settings of Ray's environment
from ray._private.services import find_bootstrap_address
from ray.exceptions import AuthenticationError

from avf_curation.execution.cluster import connect_port
from avf_curation.pipeline.failures import InfrastructureError

_ANSWER_TIMEOUT_S = 10.0
# Calls that change nothing: of Ray's client port, and of the port that nodes join.
_CLIENT_CALL = "/ray.rpc.RayletDriver/ClusterInfo"
_NODE_CALL = "/ray.rpc.NodeInfoGcsService/CheckAlive"
_ADVICE = "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file with the token that the cluster was started with"


def find_started_cluster() -> str:
    """Return what the address "auto" stands for: RAY_ADDRESS, or the cluster of the last `ray start` on this machine.

    Ray's own search falls back to any cluster on the machine, and would join the private one of another run, which
    ends with that run. Raises InfrastructureError where there is none.
    """
    named = os.environ.get("RAY_ADDRESS", "auto")
    address = find_bootstrap_address(None) if named in ("", "auto") else named
    if not address:
        raise InfrastructureError(
            "no Ray cluster on auto: nobody has run `ray start` on this machine; do so, name HOST:PORT, or leave "
            "--address out to start Ray for this run alone"
        )
    return address


def check_access(address: str) -> None:
    """Ask the cluster at HOST:PORT or ray://HOST:PORT whether it lets this process in.

    Other addresses name no port and are left to Ray. Raises ConnectionError where nothing listens or
    answers, and InfrastructureError where the token is missing, cannot be read, or is refused.
    """
    target = connect_port(address)
    if target is None:
        return
    _take_own_token()
    host, port = target
    call = _CLIENT_CALL if address.startswith("ray://") else _NODE_CALL
    try:
        with init_grpc_channel(f"{host}:{port}") as channel:
            channel.unary_unary(call)(b"", timeout=_ANSWER_TIMEOUT_S)
    except AuthenticationError as error:
        raise unreadable_token(error) from None
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise ConnectionError(f"what listens there does not answer in {_ANSWER_TIMEOUT_S:g} s") from None
        # An empty call may be refused for other reasons; only this one is about the token.
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            raise InfrastructureError(f"the Ray cluster on {address} refuses the token: {_ADVICE}") from None


def _take_own_token() -> None:
    """Send the token of ~/.ray where there is one, as `ray start` and `ray.init` do since Ray 2.56.

    Ray writes that file when it first starts a cluster for one program alone, and every later `ray start` asks for it.
    """
    try:
        from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available
    except ImportError:  # an earlier Ray, which sends a token only where it is told to
        return
    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


def unreadable_token(error: AuthenticationError) -> InfrastructureError:
    """Return the error that says why Ray has no token: the first sentence of its own, which names the file."""
    reason = error.message.split(". ")[0].rstrip(".")
    return InfrastructureError(f"no token for the Ray cluster: {reason}; {_ADVICE}")
