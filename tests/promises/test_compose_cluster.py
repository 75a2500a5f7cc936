"""The Ray cluster of docker/compose.yaml curates, locked as it is, and lets nobody in without its token.

The services run in the kernel's namespaces, because a container engine is not everywhere: one network without a way
out, read-only roots, user 10001 without capabilities.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.containers import (
    enclose,
    internal_network,
    prepare_folder,
    running,
    service,
    service_words,
    why_unavailable,
)
from support.demo_files import DemoFiles
from support.ray_runs import QUICK_SETTINGS
from support.waiting import wait_until

TOKEN = "c0ffee" * 8
SETTINGS = [word for setting in QUICK_SETTINGS for word in ("--set", setting)]

# They start Ray clusters in namespaces of the kernel, which takes minutes and which not every machine allows.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_unavailable()), reason=why_unavailable() or "available")]


@pytest.fixture(scope="module")
def cluster(corpus: DemoFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The head and a worker, up; a source of two videos in data/in/raw."""
    folder = tmp_path_factory.mktemp("compose")
    prepare_folder(folder, TOKEN)
    source = folder / "data/in/raw"
    source.mkdir()
    for name in ("studio/talk_0.mp4", "archive/truncated.mp4"):
        (source / Path(name).name).write_bytes(corpus.draw(name).read_bytes())
    with internal_network(), running("head", folder):
        wait_until(lambda: is_healthy(folder), "a healthy head")
        with running("worker", folder):
            yield folder


def is_healthy(folder: Path) -> bool:
    """Run the health check of the compose file, from a neighbour of the head."""
    _, *words = service("head")["healthcheck"]["test"]
    words = [word.replace("localhost", "head") for word in words]
    return subprocess.run(enclose("curate", folder, words), capture_output=True, timeout=120).returncode == 0


def run_service(name: str, folder: Path, words: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(enclose(name, folder, words, **variables), capture_output=True, text=True, timeout=240)


def test_the_curate_service_runs_on_the_cluster(cluster: Path) -> None:
    done = run_service("curate", cluster, [*service_words("curate"), *SETTINGS, "--workers", "1"])
    assert done.returncode == 0, done.stderr + (cluster / "worker.log").read_text()
    assert "2/2 videos" in done.stderr
    assert "Traceback" not in done.stderr
    packed = run_service("curate", cluster, ["avf-shards", "pack", "/data/out/run", "--out", "/data/out/shards"])
    assert packed.returncode == 0, packed.stderr


@pytest.mark.parametrize("address", ["ray://head:10001", "head:6379"])
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"RAY_AUTH_TOKEN": "wrong"}, "refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"),
        ({"RAY_AUTH_MODE": "disabled"}, "refuses the token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, "no token for the Ray cluster: RAY_AUTH_TOKEN_PATH is set but"),
    ],
    ids=["wrong token", "no authentication", "no file"],
)
def test_a_driver_without_the_token_is_refused(
    cluster: Path, address: str, variables: dict[str, str], reason: str
) -> None:
    words = [*service_words("curate"), "--out", "/data/out/refused", "--address", address, *SETTINGS]
    done = run_service("curate", cluster, words, **variables)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_without_the_token_does_not_join(cluster: Path) -> None:
    words = ["timeout", "40", "ray", "start", "--address=head:6379"]
    assert run_service("curate", cluster, words, RAY_AUTH_TOKEN="wrong").returncode != 0


def test_the_dashboard_does_not_listen(cluster: Path) -> None:
    listening = run_service("head", cluster, ["python", "-c", _LIST_PORTS])
    ports = [int(port) for port in listening.stdout.split()]
    assert {6379, 10001} <= set(ports), listening.stderr
    assert 8265 not in ports


# Of the network that the head has; /proc/net is of the caller's network.
_LIST_PORTS = """
for table in ("tcp", "tcp6"):
    for line in open(f"/proc/net/{table}").readlines()[1:]:
        local, state = line.split()[1], line.split()[3]
        if state == "0A":
            print(int(local.rpartition(":")[2], 16))
"""


# Paths inside the container.
@pytest.mark.parametrize("path", ["/data/in/raw/mine.txt", "/etc/mine.txt", "/opt/mine.txt"])
def test_a_service_cannot_write_to_the_raw_video_or_its_root(cluster: Path, path: str) -> None:
    done = run_service("worker", cluster, ["sh", "-c", 'echo > "$0" || exit 7', path])
    assert done.returncode == 7
