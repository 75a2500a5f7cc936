"""What listens at an address and is no Ray cluster is named within seconds."""

import socket

import pytest
from avf_curation.execution import ray_access
from avf_curation.execution.ray_access import check_access


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_server_that_never_answers_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_access, "_ANSWER_TIMEOUT_S", 0.5)
    silence = r"what listens there does not answer in 0\.5 s"
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConnectionError, match=silence):
        check_access(f"{scheme}127.0.0.1:{server.getsockname()[1]}")
