"""Only a cluster that somebody started is found, and what is no cluster is named in seconds."""

import socket

import pytest
from avf_curation.execution import ray_access
from avf_curation.execution.cluster import connect_port
from avf_curation.execution.ray_access import check_access, find_started_cluster
from avf_curation.pipeline.failures import InfrastructureError


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_server_that_never_answers_is_named(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_access, "_ANSWER_TIMEOUT_S", 0.5)
    silence = r"what listens there does not answer in 0\.5 s"
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(ConnectionError, match=silence):
        check_access(f"{scheme}127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize("address", ["..:6379", f"ray://{'a' * 70}:10001"])
def test_what_is_no_host_name_is_said(address: str) -> None:
    with pytest.raises(ConnectionError, match="is no host name"):
        connect_port(address)


@pytest.mark.parametrize("address", ["local", "auto", "127.0.0.1:\N{SUPERSCRIPT TWO}", "127.0.0.1:1/"])
def test_what_names_no_port_is_left_to_ray(address: str) -> None:
    assert connect_port(address) is None


def test_an_ipv6_address_has_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], timeout: float) -> socket.socket:
        connected.append(address)
        return socket.socket()

    monkeypatch.setattr(socket, "create_connection", connect)
    assert connect_port("ray://[::1]:6379") == ("[::1]", 6379)
    assert connected == [("::1", 6379)]


def test_auto_is_a_cluster_that_was_started_and_never_the_private_one_of_another_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private = {"10.0.0.1:6379"}
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", lambda: private)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_access, "find_bootstrap_address", lambda folder: None)
    with pytest.raises(InfrastructureError, match="nobody has run `ray start`"):
        find_started_cluster()
    monkeypatch.setattr(ray_access, "find_bootstrap_address", lambda folder: "10.0.0.2:6379")
    assert find_started_cluster() == "10.0.0.2:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.3:6379")
    assert find_started_cluster() == "10.0.0.3:6379"
