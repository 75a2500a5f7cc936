"""Promise: a cluster that grows by Ray's autoscaler gets workers when a run asks for them, and shrinks after it.

The nodes are processes of this machine, which Ray's own fake provider starts and stops. The cluster asks for a token,
as every `ray start` does on a machine where Ray has run before.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ray._private.services import get_node_ip_address
from support.demo_files import DemoFiles
from support.ray_runs import copy_demo_videos, curate_command
from support.trees import result_digests
from support.waiting import wait_until

pytestmark = pytest.mark.slow
_RAY = str(Path(sys.executable).with_name("ray"))
_LISTS = (
    *("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands"),
    *("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter"),
)
_MEMORY = {"object_store_memory": 80_000_000}


@dataclass(frozen=True, kw_only=True)
class ScalingCluster:
    """A cluster whose head has no CPU."""

    address: str
    environment: dict[str, str]  # of programs that may join it
    folder: Path  # of Ray's files

    def workers(self) -> int:
        """Return how many nodes beside the head the autoscaler reports as active."""
        status = subprocess.run(
            [_RAY, "status", f"--address={self.address}"], capture_output=True, text=True, env=self.environment
        ).stdout
        active = (
            status.partition("Active:")[2].partition("Idle:")[0] + status.partition("Idle:")[2].partition("Pending:")[0]
        )
        return sum(int(line.split()[0]) for line in active.splitlines() if line.strip().endswith(" cpu"))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder with a short path: Ray keeps sockets in it, whose paths have 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def cluster(folder: Path) -> Iterator[ScalingCluster]:
    (folder / ".ray").mkdir()
    (folder / ".ray/auth_token").write_text("0123456789abcdef" * 4)
    config = folder / "autoscaling.json"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(folder), "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    port = _free_port()
    config.write_text(json.dumps(_config(f"{get_node_ip_address()}:{port}")))
    options = {
        "--port": port,
        "--ray-client-server-port": _free_port(),
        "--num-cpus": 0,
        "--object-store-memory": _MEMORY["object_store_memory"],
        "--autoscaling-config": config,
        "--temp-dir": folder / "t",
        "--include-dashboard": "false",
    }
    command = [_RAY, "start", "--head", "--block", *(f"{name}={value}" for name, value in options.items())]
    with open(folder / "head.log", "wb") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    started = ScalingCluster(address=f"127.0.0.1:{port}", environment=environment, folder=folder)
    try:
        wait_until(
            lambda: head.poll() is not None or b"Ray runtime started" in (folder / "head.log").read_bytes(), "the head"
        )
        assert head.poll() is None, (folder / "head.log").read_text()
        yield started
    finally:
        subprocess.run(["pkill", "-KILL", "-f", str(folder / "t")], check=False)
        head.kill()
        head.wait()


def _config(address: str) -> dict[str, object]:
    """Return what Ray's autoscaler wants to know: one type of node with one CPU, two at most."""
    provider = {
        "type": "fake_multinode",
        "gcs_address": address,
        "use_node_id_as_ip": True,
        "disable_node_updaters": True,
    }
    return {
        "cluster_name": "fake",
        "max_workers": 2,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.05,
        "provider": provider | {"disable_launch_config_check": True},
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {"resources": {"CPU": 1} | _MEMORY, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in _LISTS},
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_gets_workers_from_an_autoscaler_and_gives_them_back(
    cluster: ScalingCluster, corpus: DemoFiles, tmp_path: Path
) -> None:
    (tmp_path / "videos").mkdir()
    source = copy_demo_videos(corpus, tmp_path / "videos")
    assert cluster.workers() == 0
    command = curate_command(source, tmp_path / "run", 2)
    done = subprocess.run(
        [*command, "--address", cluster.address], capture_output=True, text=True, env=cluster.environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (tmp_path / "run/log/events.jsonl").read_text().splitlines()]
    nodes = {event.get("node") for event in events if event["name"] == "unit_started"} - {None, ""}
    assert nodes, events
    inline = curate_command(source, tmp_path / "inline", 1)
    subprocess.run([*inline, "--engine", "inline"], check=True, capture_output=True)
    assert result_digests(tmp_path / "run") == result_digests(tmp_path / "inline")
    wait_until(lambda: cluster.workers() == 0, "the autoscaler to stop idle nodes")
